"""`conf.dry_run=true`: everything is checked, nothing is trained; and the bad inputs a user brings."""

import pytest

TINY = ("conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf.dry_run=true")
SIZES = "conf.data.params.sizes={warm_start: 16, train: 20, val: 5, test: 5}"


def refused(done):
    assert done.returncode == 2, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stderr.split())


def test_it_checks_everything_and_leaves_nothing(command, tmp_path):
    done = command(*TINY, SIZES)
    assert done.returncode == 0, done.stderr
    for name in ("data", "rewards on the gold answers", "model", "disk", "hardware"):
        assert name in done.stdout
    assert "20 rows right by their own reward; mean reward 1.000" in " ".join(done.stdout.split())
    assert not list(tmp_path.iterdir())


def test_ten_shots_fill_a_batch_of_256_by_repetition(command, realdata):
    source = realdata / "medmnist" / "pneumoniamnist.npz"
    done = command(
        "conf=vrft_aug", "conf/scale=paper", "conf/engine=gpu_node", "conf/model=tiny", "conf.dry_run=true",
        f"conf.data.source={source}", "conf.data.allow_altered=true", "conf.data.shots=10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "train 256 rows" in said and "20" in said


def test_a_missing_npz_says_where_it_was_looked_for_and_how_to_get_it(command, tmp_path):
    message = refused(
        command(*TINY, "conf/data=pneumoniamnist", f"conf.data.source={tmp_path}/pneumoniamnist.npz")
    )
    assert f"{tmp_path}/pneumoniamnist.npz" in message and "medmnist" in message


def test_a_truncated_npz_is_named(command, tmp_path):
    broken = tmp_path / "pneumoniamnist.npz"
    broken.write_bytes(b"PK\x03\x04" + b"0" * 500)
    assert str(broken) in refused(command(*TINY, "conf/data=pneumoniamnist", f"conf.data.source={broken}"))


def test_labels_of_the_wrong_shape_are_named(command, tmp_path):
    import numpy as np

    arrays = {f"{s}_images": np.zeros((4, 28, 28), dtype=np.uint8) for s in ("train", "val", "test")}
    arrays |= {f"{s}_labels": np.zeros((4, 3), dtype=np.uint8) for s in ("train", "val", "test")}
    np.savez(tmp_path / "pneumoniamnist.npz", **arrays)
    message = refused(
        command(
            *TINY,
            "conf/data=pneumoniamnist",
            f"conf.data.source={tmp_path}/pneumoniamnist.npz",
            "conf.data.allow_altered=true",
        )
    )
    assert "labels" in message and "(4, 3)" in message


def test_an_altered_mirror_is_refused_unless_it_is_allowed(command, realdata):
    source = realdata / "medmnist" / "pneumoniamnist.npz"
    message = refused(command(*TINY, "conf/data=pneumoniamnist", f"conf.data.source={source}"))
    assert "3,882" in message and "4,708" in message and "allow_altered" in message


def test_a_folder_that_is_no_model_says_what_is_missing(command, tmp_path):
    (tmp_path / "model").mkdir()
    message = refused(command(*TINY, SIZES, "conf/model=custom", f"conf.model.path={tmp_path}/model"))
    assert "config.json" in message and "not a model folder" in message


def test_a_hub_model_that_cannot_be_had_offline_is_a_clear_error(command, tmp_path):
    message = refused(
        command(*TINY, SIZES, "conf/model=qwen2_5_vl_3b", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hf"))
    )
    assert (
        "Qwen/Qwen2.5-VL-3B-Instruct" in message
        and "HF_HUB_OFFLINE" in message
        and "conf.model.path" in message
    )


def test_a_disk_too_small_is_said_before_training(monkeypatch):
    from collections import namedtuple

    from medical_rl.config.compose import compose
    from medical_rl.errors import UserError
    from medical_rl.pipeline import disk_space

    config = compose(["conf=vrft_aug", "conf/scale=paper", "conf/engine=gpu_node"])
    # 3.75e9 parameters, 16 bytes each a saved step: two kept, one being written, and the best's 4 bytes a parameter
    assert disk_space.bytes_needed(config) == pytest.approx(3.75e9 * (16 * 3 + 4))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 10**9, 10**9))
    monkeypatch.setattr(disk_space, "count_gpus", lambda: 0)
    assert "too little here" in disk_space.check_disk_space(config), (
        "where the run's GPUs are not, its disk is not either"
    )
    monkeypatch.setattr(disk_space, "count_gpus", lambda: 8)
    with pytest.raises(UserError, match="Not enough disk.*195.0 GB.*1.0 GB free"):
        disk_space.check_disk_space(config)


def test_a_template_whose_target_the_reward_cannot_read_is_found_on_the_gold_answers(command):
    message = refused(command(*TINY, SIZES, "conf.prompt.target='the answer is {{ answer }}'"))
    assert "not right by its own reward" in message


def test_more_gpus_than_there_are_is_refused_before_anything_starts(command, tmp_path):
    done = command(
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/engine=gpu_node",
        f"conf.run_dir={tmp_path}/run",
        MEDICAL_RL_DEVICE="cpu",
    )
    assert "8 GPUs" in refused(done) and not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_written_is_refused(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused(command(*TINY[:3], f"conf.run_dir={tmp_path}/file/run"))


def test_a_set_that_is_only_tested_on_is_evaluated_and_never_trained(command):
    only = (*TINY, SIZES, "conf.data.only=[test]")
    done = command(*only, "conf.stages=[prepare,evaluate]")
    assert done.returncode == 0, done.stderr
    assert "test 5 rows" in " ".join(done.stdout.split()) and "train 2" not in done.stdout
    message = refused(command(*only))
    assert (
        "The stage warm_start reads the split train" in message
        or "The stage rl reads the split train" in message
    )
    assert "conf.stages=[prepare,evaluate]" in message


def faults(answered, *arguments):
    """What a dry run in this process says of a configuration that cannot work, its lines and its one paragraph."""
    code, out, err = answered(*TINY, SIZES, *arguments)
    assert code == 2 and "Traceback" not in out + err, out + err
    return " ".join(out.split()), " ".join(err.split())


@pytest.mark.parametrize(
    "given",
    [
        (
            "actor_rollout_ref.actor.optim.lr=fast",
            "trainer.total_training_steps=abc",
            "conf.model.lora_rank=abc",
        ),
        ("actor_rollout_ref.rollout.n=0", "algorithm.adv_estimator=gropo", "trainer.logger=[console,wandbb]"),
        ("trainer.v1.trainer_mode=separate_async",),
    ],
)
def test_what_verl_would_refuse_is_named_by_its_key(answered, given):
    said, message = faults(answered, *given)
    for override in given:
        assert override.partition("=")[0] in message, override
    assert "✗ verl's settings" in said and "not checked: disk, which needs verl's settings" in said


@pytest.mark.parametrize(
    "override", ["data.train_batch_size=abc", "actor_rollout_ref.rollout.n=two", "trainer.save_freq=often"]
)
def test_a_number_that_is_none_is_no_traceback(answered, override):
    _, message = faults(answered, override)
    assert f"{override} is no whole number" in message


def test_every_model_that_is_missing_is_named_by_its_setting(answered, tmp_path):
    code, out, err = answered(
        "conf=medgr2", *TINY[1:], "conf/generator=local", f"conf.generator.model={tmp_path}/generator",
        f"conf.reward_training.model={tmp_path}/reward",
    )  # fmt: skip
    message = " ".join(err.split())
    assert code == 2
    for setting, name in (("generator.model", "generator"), ("reward_training.model", "reward")):
        assert f"{tmp_path}/{name} is not a model folder" in message and f"conf.{setting} takes" in message


def test_models_that_are_not_there_stop_a_run_before_its_first_stage(answered, tmp_path):
    code, out, err = answered(
        "conf=medgr2",
        *TINY[1:3],
        f"conf.run_dir={tmp_path}/run",
        f"conf.reward_training.model={tmp_path}/none",
    )
    assert code == 2 and "conf.reward_training.model" in err and not (tmp_path / "run").exists()


def test_wordnet_that_is_not_there_is_named_with_how_to_get_it(answered, monkeypatch, tmp_path):
    import nltk.data

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    code, _, err = answered("conf=medgr2", *TINY[1:], "conf.reward_training.synonyms=wordnet")
    assert code == 2 and "nltk.downloader wordnet" in err and "conf.reward_training.synonyms=wordnet" in err


def test_data_that_cannot_be_prepared_bring_no_second_failure(answered):
    said, message = faults(answered, "conf.data.params.task=nothing")
    assert "1 of 10 checks failed" in message and "nothing" in message
    for name in ("rewards on the gold answers", "a real prompt", "estimate"):
        assert f"not checked: {name}, which needs data" in said


def test_what_cannot_be_checked_is_listed(answered, tmp_path, monkeypatch):
    from medical_rl.pipeline import dry_run

    monkeypatch.setattr(dry_run, "verl_problems", lambda config: [])
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    code, out, _ = answered(
        "conf=medgr2", *TINY[1:], "conf/generator=openai", "conf.generator.images=100", "conf.generator.per_image=2",
        "conf.reward_training.synonyms=builtin", "trainer.logger=[console,wandb]",
    )  # fmt: skip
    said = " ".join(out.split())
    assert code == 0, said
    assert (
        "not checked: whether conf.generator.service.endpoint.base_url=https://api.openai.com/v1 answers"
        in said
    )
    assert "not checked: the log-in of the tracker wandb" in said
    # 100 images, two questions each in one reply, in every round; the picture's tokens, the instruction and the answer
    from medical_rl.config.compose import compose

    conf = compose(["conf=medgr2", "conf/scale=tiny", "conf/engine=cpu", "conf/generator=openai"]).conf
    count = 100 * int(conf.loop.rounds)
    assert f"generate asks conf.generator up to {count:,} times" in said and "by its prices" in said


def test_the_estimate_is_counted_at_the_limits():
    from medical_rl.config.compose import compose
    from medical_rl.pipeline import estimate

    config = compose(
        [
            "conf=medgr2",
            "conf/scale=paper",
            "conf/engine=gpu_node",
            "conf/generator=openai",
            "conf.data.source=x",
        ]
    )
    rows = {"train": 8000, "val": 500, "test": 500}
    # 200 steps of 64 prompts, 8 responses each; 500 rows validated before the first step and every 20 steps
    assert estimate.sampled_responses(config, rows) == (200 * 64 * 8, 500 * (1 + 200 // 20))
    (asked,) = estimate.requests(config, rows)
    # 12,500 images in three rounds, four questions in one reply
    assert (asked.stage, asked.count, asked.answer_tokens) == ("generate", 3 * 12500, 2048)
    # 0.15 for a million tokens of prompt and 0.60 for a million of answer
    assert asked.cost({"prompt": 0.15, "completion": 0.6}) == pytest.approx(
        37500 * (asked.prompt_tokens * 0.15 + 2048 * 0.6) / 1e6
    )
    text = estimate.estimate(config, rows)
    assert "102,400 responses a round and 5,500 to validate" in text and "by its prices" in text
    free = {"prompt": 0, "completion": 0}
    config.conf.generator.service.endpoint.prices = free
    assert "no price is configured" in estimate.estimate(config, rows)


def test_a_prompt_that_the_processor_reads_otherwise_is_refused(answered, monkeypatch, tmp_path):
    from medical_rl.pipeline import dry_run

    model = tmp_path / "model"
    model.mkdir()
    for name, text in (
        ("config.json", '{"model_type": "gemma3"}'),
        ("tokenizer_config.json", "{}"),
        ("a.safetensors", ""),
    ):
        (model / name).write_text(text)
    asked = []

    def problems(config, path, rows):
        asked.append((path, rows.name))
        return ["conf.model.path: the family gemma3 is not known; known families: ..."]

    monkeypatch.setattr(dry_run, "prompt_problems", problems)
    monkeypatch.setattr(dry_run, "verl_problems", lambda config: [])
    _, message = faults(answered, "conf/model=custom", f"conf.model.path={model}")
    assert "the family gemma3 is not known" in message
    assert asked == [(str(model), "train.parquet")]
