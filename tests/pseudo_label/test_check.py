"""What is refused before a run with pseudo-labels starts, rather than hours into it."""

import pytest

from medical_rl.config.compose import compose
from medical_rl.errors import UserError
from medical_rl.pipeline.validate import check_config

TINY = ["conf=medfact_r1", "conf/scale=tiny", "conf/engine=cpu"]
LIVE = ["conf/rewards=medfact_r1_offline", "conf/judge=none"]


def test_the_recipe_as_it_is_is_accepted():
    check_config(compose(TINY))
    check_config(compose([*TINY, "conf/labeller=local"]))  # its model is the run's own


@pytest.mark.parametrize(
    "override, said",
    [
        ("conf.labeller.on_silence=maybe", "on_silence"),
        ("conf.calibration.alpha=1.5", "strictly between 0 and 1"),
        ("conf.retriever.near_duplicate=0", "near_duplicate"),
        ("conf.pseudo_label.concepts=guess", "Available: judge, prepared"),
        ("conf.pseudo_label.concepts=judge", "no judge is chosen"),
    ],
)
def test_what_could_not_work_is_refused_before_anything_starts(override, said):
    with pytest.raises(UserError, match=said):
        check_config(compose([*TINY, override]))


def test_a_missing_key_is_said_before_retrieval(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        check_config(compose([*TINY, *LIVE, "conf/labeller=openai"]))


def test_labels_that_are_taken_ask_nobody(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    check_config(compose([*TINY, *LIVE, "conf/labeller=openai", "conf.pseudo_label.path=/elsewhere"]))
