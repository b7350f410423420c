"""Every one-line command of README and examples/ works at the defaults that it names."""

import itertools
import re
import shlex

import pytest
from omegaconf import OmegaConf

from medical_rl.config.arguments import split_options, with_default_scale_and_engine
from medical_rl.config.compose import choices, compose
from medical_rl.config.settings import with_absolute_reward_paths, with_card_facts
from medical_rl.pipeline.sweep import jobs_of
from medical_rl.pipeline.validate import check_config

PAGES = ("README.md", "CONTRIBUTING.md", "examples")
# Both defaults of a command that names no scale: where no accelerator is visible, and a node of eight GPUs.
DEFAULTS = (("conf/scale=tiny", "conf/engine=cpu"), ("conf/scale=paper", "conf/engine=gpu_node"))

FILES = ("source", "params.boxes")


def commands(text: str) -> list[list[str]]:
    """The overrides of each command in a page: code that has conf=RECIPE and names one there is, no `...` left open."""
    text = text.replace("\\\n", " ")
    spans = re.findall(r"`([^`\n]+)`", text) + [line.split("  #")[0] for line in text.splitlines()]
    found = []
    for span in spans:
        start = re.search(r"(?<![\w/.$\"])conf=(\w+)", span)
        if not start or start[1] not in choices() or "`" in span or "..." in span or "$" in span:
            continue
        try:
            words = shlex.split(span[start.start() :])
        except ValueError:  # prose with an apostrophe
            continue
        overrides = [word for word in words if re.match(r"[~+]?[\w./@]+(=|$)", word) or word.startswith("-")]
        if overrides == words:
            for chosen in itertools.product(*map(alternatives, words)):
                if list(chosen) not in found:
                    found.append(list(chosen))
    return found


def alternatives(word: str) -> list[str]:
    """The overrides that `KEY=a|b` in a page stands for: either."""
    key, equals, value = word.partition("=")
    return [f"{key}{equals}{one}" for one in value.split("|")]


def pages(root):
    for name in PAGES:
        path = root / name
        yield from sorted(path.rglob("*.md")) if path.is_dir() else [path]


@pytest.fixture(scope="module")
def written(root):
    """[(page, overrides)] of every command in the pages."""
    found = []
    for page in pages(root):
        for overrides in commands(page.read_text(encoding="utf-8")):
            found.append((page.relative_to(root).as_posix(), overrides))
    return found


def at_defaults(overrides: list[str]) -> list[list[str]]:
    """The jobs of a command at the scale that it names, or at both defaults."""
    plain = [override for override in split_options(overrides)[0] if override != "conf/launcher=slurm"]
    given = {override.partition("=")[0] for override in plain}
    jobs = []
    for default in DEFAULTS:
        missing = [override for override in default if override.partition("=")[0] not in given]
        if "conf/scale" in given and default[0] not in plain:
            continue
        complete, _ = with_default_scale_and_engine([*plain, *missing])
        # Where the user's files lie is for the user to say; nothing else may be lacking.
        lacking = sorted(OmegaConf.missing_keys(compose(jobs_of(complete)[0]).conf.data))
        complete += [f"{key}=/data" for key in lacking if key.removeprefix("conf.data.") in FILES]
        jobs += jobs_of(complete)
    return jobs


def test_commands_are_found_in_prose_tables_and_fences():
    page = "run `conf=vrft_aug conf.seed=2` or\n```\npython -m medical_rl.main conf=medgr2 \\\n  conf/scale=tiny -m  # all\n```\n`conf=RECIPE`"
    assert commands(page) == [["conf=vrft_aug", "conf.seed=2"], ["conf=medgr2", "conf/scale=tiny", "-m"]]
    either = commands("`conf=vrft_aug_localize conf.localize.by=rl|sft`")
    assert [overrides[1] for overrides in either] == ["conf.localize.by=rl", "conf.localize.by=sft"]


def test_the_pages_have_commands_of_every_recipe(written):
    assert len(written) >= 6
    recipes = {override for _, overrides in written for override in overrides if override.startswith("conf=")}
    assert {"conf=vrft_aug", "conf=vrft_aug_localize", "conf=medgr2"} <= recipes


def test_every_command_is_composed_and_checked_at_its_defaults(written, monkeypatch):
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "a key")
    for page, overrides in written:
        for job in at_defaults(overrides):
            config = with_absolute_reward_paths(with_card_facts(compose(job)))
            try:
                check_config(config)
            except Exception as error:
                pytest.fail(f"{page}: {' '.join(overrides)} ({' '.join(job)}): {error}")


@pytest.mark.parametrize("by", ["rl", "sft"])
def test_both_arms_of_localisation_run_on_the_eight_ranks_of_the_default(by):
    # four rows a step, the paper's batch: four of the eight ranks take one each in the supervised arm
    for default in DEFAULTS:
        job = ["conf=vrft_aug_localize", f"conf.localize.by={by}", *default]
        for complete in at_defaults(job):
            check_config(compose(complete))


def test_supervised_training_takes_the_ranks_its_batch_fills():
    from medical_rl.errors import UserError
    from medical_rl.stages.common.models import ranks_for_batch

    assert [ranks_for_batch(batch, 8) for batch in (1, 2, 4, 8, 16, 6)] == [1, 2, 4, 8, 8, 8]
    sweep = ["conf=vrft_aug_localize", "conf.localize.by=sft", *DEFAULTS[1], "conf.data.source=/data"]
    with pytest.raises(UserError, match="12 cannot be divided among 8 ranks"):
        check_config(compose([*sweep, "conf.sft.batch_size=12"]))
