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
