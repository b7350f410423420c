"""GRPO that waits for rollouts in vain fails and names the rows whose prompts it waits for."""

import pytest


@pytest.fixture
def buffer(verl, monkeypatch):
    """The replay buffer over a queue of three prompts: one finished, one running, one pending for ever."""
    from medical_rl.engine.verl import trainer

    tags = {
        "a": {"is_prompt": True, "global_steps": 1, "status": "finished"},
        "b": {"is_prompt": True, "global_steps": 1, "status": "running"},
        "c": {"is_prompt": True, "global_steps": 1, "status": "pending"},
    }
    rows = {"a": "row-1", "b": "row-2", "c": "row-3"}
    monkeypatch.setattr(trainer.tq, "kv_list", lambda: {"train": tags})
    monkeypatch.setattr(
        trainer.tq, "kv_batch_get",
        lambda keys, partition_id, select_fields: {"extra_info": [{"id": rows[key]} for key in keys]},
    )  # fmt: skip
    made = trainer.PollingReplayBuffer(
        trainer_mode="sync", trainer_config=None, max_off_policy_threshold=None, max_off_policy_strategy="drop",
        sampler_kwargs={"poll_interval": 0.01, "stall_timeout_s": 0.2},
    )  # fmt: skip
    made.tags = tags
    return made


def test_rollouts_that_never_end_are_named_by_their_rows(buffer):
    with pytest.raises(
        RuntimeError, match=r"waited .*rollouts of 2 prompts \(row-2, row-3\); 1 are finished, 0 failed"
    ):
        buffer.sample(1, "train", 3)


def test_rollouts_that_move_are_waited_for(buffer, monkeypatch):
    looks = []

    def moving():
        looks.append(len(looks))
        if len(looks) == 40:  # 0.4 s: twice the limit, with a new trajectory at each look
            for tag in buffer.tags.values():
                tag["status"] = "finished"
        return {"train": {**buffer.tags, **{f"b_{number}_0": {} for number in looks}}}

    from medical_rl.engine.verl import trainer

    monkeypatch.setattr(trainer.tq, "kv_list", moving)
    monkeypatch.setattr(trainer.tq, "kv_clear", lambda **_: None)
    batch, _ = buffer.sample(1, "train", 3)
    assert len(looks) == 40 and len(batch.keys) == 40


def test_a_batch_whose_rollouts_all_failed_names_its_rows(buffer):
    for tag in buffer.tags.values():
        tag["status"] = "failure"
    with pytest.raises(RuntimeError, match=r"no materializable.*failed of 3 prompts \(row-1, row-2, row-3\)"):
        buffer.sample(1, "train", 3)


def test_where_the_queue_itself_fails_verls_own_ids_are_told(buffer, monkeypatch):
    from medical_rl.engine.verl import trainer

    def broken(**_):
        raise ConnectionError

    monkeypatch.setattr(trainer.tq, "kv_batch_get", broken)
    with pytest.raises(RuntimeError, match=r"2 prompts \(b, c, their rows cannot be read: ConnectionError\)"):
        buffer.sample(1, "train", 3)


def test_the_limit_is_the_stages_own():
    from omegaconf import OmegaConf

    from medical_rl.config.compose import compose

    config = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"])
    limit = OmegaConf.select(config, "trainer.v1.sampler.sampler_kwargs.stall_timeout_s")
    assert limit == config.conf.engine.stall_timeout_s
