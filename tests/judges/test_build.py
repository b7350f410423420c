"""A judge of conf/judge: every choice builds, mistyped settings are named, files are where they should be."""

import asyncio
import copy

import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import compose
from medical_rl.errors import UserError
from medical_rl.judges.judge import from_config


@pytest.fixture(scope="module")
def settings():
    """conf.judge of conf/judge=local, as a plain dict."""
    config = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/judge=local"])
    return OmegaConf.to_container(config.conf.judge, resolve=True)


def test_no_judge_is_none():
    assert from_config({"enabled": False}) is None and from_config(None) is None


def test_every_setting_of_the_files_arrives(settings, tmp_path):
    one = from_config(settings, tmp_path)
    assert (
        one.endpoint.local
        and one.endpoint.model == "Qwen/Qwen2.5-VL-7B-Instruct"
        and one.endpoint.temperature == 0.2
    )
    assert one.desk.limits.concurrency == 64
    assert sorted(p.name for p in (tmp_path / "judge").glob("*.sqlite")) == ["cache.sqlite", "ledger.sqlite"]


def test_a_shared_cache_is_where_it_is_named_and_a_desk_may_be_given(settings, tmp_path):
    shared = settings | {"cache": str(tmp_path / "shared.sqlite")}
    one = from_config(shared, tmp_path / "run")
    assert (tmp_path / "shared.sqlite").exists() and not (
        tmp_path / "run" / "judge" / "cache.sqlite"
    ).exists()
    assert from_config(settings, None, desk=one.desk).desk is one.desk


@pytest.mark.parametrize(
    "path, value, said",
    [
        ("tempratur", 1, "setting of conf.judge named 'tempratur'"),
        ("endpoint.timeout", 1, "Did you mean 'timeout_s'"),
        ("endpoint.base_url", None, "conf.judge.endpoint.base_url must be given"),
        ("limits.rpm", 1, "conf.judge.limits named 'rpm'"),
        ("limits.concurrency", 0, "null sets no limit"),
        ("budget.max_cost", -1, "conf.judge.budget.max_cost=-1"),
        ("mode", "record", "conf.judge.mode 'record'"),
        ("on_budget", "stop", "conf.judge.on_budget 'stop'"),
        ("on_met", "pause", "conf.judge.on_met is called conf.judge.on_budget now"),
        ("max_attempts", 0, "at least one attempt"),
    ],
)
def test_what_could_not_work_is_named(settings, tmp_path, path, value, said):
    changed = OmegaConf.create(copy.deepcopy(settings))
    OmegaConf.update(changed, path, value, force_add=True)
    with pytest.raises(UserError) as refused:
        from_config(OmegaConf.to_container(changed), tmp_path)
    assert said in str(refused.value)


def test_a_missing_key_is_said_at_once_and_not_missed_in_a_replay(settings, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    keyed = copy.deepcopy(settings)
    keyed["endpoint"]["api_key_env"] = "NO_SUCH_KEY"
    with pytest.raises(UserError, match="NO_SUCH_KEY, which is not set"):
        from_config(keyed, tmp_path)
    from_config(settings, tmp_path)
    assert from_config(keyed | {"mode": "replay"}, tmp_path).mode == "replay"


def test_a_replay_without_a_cache_names_the_file(settings, tmp_path):
    with pytest.raises(UserError, match="replay answers from .*cache.sqlite, and there is no such file"):
        from_config(settings | {"mode": "replay"}, tmp_path)


def test_a_wrong_judge_is_found_before_anything_starts(command):
    done = command(
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/judge=local",
        "conf.judge.on_budget=stop",
        "conf.dry_run=true",
    )
    assert done.returncode == 2 and "pause" in done.stderr


def test_a_built_judge_judges(endpoint, settings, tmp_path):
    here = copy.deepcopy(settings)
    here["endpoint"]["base_url"] = endpoint().url
    assert asyncio.run(from_config(here, tmp_path).consistency("q", "t", "a")).verdict == "sound"
