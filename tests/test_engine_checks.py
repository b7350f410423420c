"""verl's own validation and the model's own processor are asked before anything is paid for, and once."""

import json

import pytest

from medical_rl.config.compose import compose
from medical_rl.errors import UserError
from medical_rl.pipeline import engine_checks
from medical_rl.run.folder import RunFolder

TINY = ("conf/scale=tiny", "conf/engine=cpu")


@pytest.fixture
def folder(tmp_path):
    """A run folder with a card and a model that the stage prepare built."""
    run = RunFolder(tmp_path / "run")
    run.create()
    (run.path / "data").mkdir()
    (run.path / "data" / "card.json").write_text(
        json.dumps({"recipe": "x", "splits": {"train": {"rows": 3}}})
    )
    (run.path / "model").mkdir()
    run.update_stage("prepare", status="done", outputs={"model": {"path": "model"}})
    return run


@pytest.fixture
def asked(monkeypatch):
    """[what was asked of the engine]; `asked.answer` is what it finds wrong."""

    class Asked(list):
        answer: list[str] = []

    calls = Asked()

    def settings(config, reinforced, supervised=()):
        calls.append(("settings", reinforced, tuple(supervised)))
        return list(calls.answer)

    def prompt(config, model, rows):
        calls.append(("prompt", str(model), str(rows)))
        return list(calls.answer)

    monkeypatch.setattr(engine_checks, "settings_problems", settings)
    monkeypatch.setattr(engine_checks, "prompt_problems", prompt)
    return calls


@pytest.mark.parametrize(
    "overrides, expected",
    [
        (["conf=vrft_aug"], (True, ("warm_start",))),
        (["conf=vrft_aug", "conf.arm=sft"], (False, ("sft", "warm_start"))),
        (["conf=medgr2"], (True, ("warm_start",))),
        (["conf=vrft_aug", "conf/warm_start=none"], (True, ())),
    ],
)
def test_verl_is_asked_about_the_stages_that_train(asked, overrides, expected):
    engine_checks.verl_problems(compose([*overrides, *TINY]))
    assert asked == [("settings", *expected)]


def test_verl_is_not_asked_where_nothing_is_trained(asked):
    config = compose(["conf=vrft_aug", *TINY, "conf.stages=[prepare,evaluate]"])
    assert engine_checks.verl_problems(config) == [] and not asked


def test_what_passed_is_not_asked_again_until_a_setting_changes(asked, folder):
    config = compose(["conf=vrft_aug", *TINY])
    for _ in range(2):
        engine_checks.check_settings_once(config, folder)
        engine_checks.check_prompt_once(config, folder)
    assert [call[0] for call in asked] == ["settings", "prompt"]
    assert asked[1][1:] == (str(folder.path / "model"), str(folder.path / "data" / "train.parquet"))
    changed = compose(["conf=vrft_aug", *TINY, "data.max_prompt_length=300"])
    engine_checks.check_settings_once(changed, folder)
    engine_checks.check_prompt_once(changed, folder)
    assert len(asked) == 4


def test_what_is_wrong_ends_the_run_and_is_asked_again(asked, folder):
    config = compose(["conf=vrft_aug", *TINY])
    asked.answer = ["actor_rollout_ref.rollout.n=0: at least 1"]
    for check in (engine_checks.check_settings_once, engine_checks.check_prompt_once):
        for _ in range(2):
            with pytest.raises(UserError, match="rollout.n=0"):
                check(config, folder)
    assert len(asked) == 4


def test_a_model_that_is_not_in_the_cache_is_said_and_not_asked(asked, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    config = compose(
        ["conf=vrft_aug", "conf/scale=paper", "conf/engine=gpu_node", "conf/model=custom",
         "conf.model.path=nobody/never", "conf.data.source=x"]
    )  # fmt: skip
    note = engine_checks.check_prompt_once(config, folder)
    assert "nobody/never" in note and not asked


def test_a_run_that_only_prepares_asks_nothing(asked, folder):
    config = compose(["conf=vrft_aug", *TINY, "conf.stages=[prepare]"])
    assert engine_checks.check_prompt_once(config, folder) is None and not asked


def test_a_folder_that_was_not_prepared_is_told_what_is_wanted(capsys, tmp_path, monkeypatch):
    from medical_rl.evaluation.__main__ import main

    (tmp_path / "raw").mkdir()
    monkeypatch.setattr("sys.argv", ["evaluation", "distribution", str(tmp_path / "raw"), "--out", "x.png"])
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    message = " ".join(capsys.readouterr().err.split()) or str(code)
    assert "no card.json" in message and "data_preprocess" in message and "runs/NAME" in message


def test_a_mistyped_file_is_never_asked_of_the_hub(monkeypatch):
    from medical_rl.data.sources import hub

    for name in ("x/y.csv", "data/Cases.JSONL", "scans/all.parquet", "sets/pneumoniamnist.npz", "a/b.tar.gz"):
        assert not hub.is_hub_id(name), name
    for name in ("owner/set", "owner/set-v1.0", "owner/my.set", "hf://owner/x.csv"):
        assert hub.is_hub_id(name), name
