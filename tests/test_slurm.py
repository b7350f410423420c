"""Sweeps on Slurm, without one: what is refused and how, what a job asks for, how a job ends when Slurm ends it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from medical_rl.config import slurm
from medical_rl.config.arguments import with_default_scale_and_engine
from medical_rl.config.compose import NAME, choices, root, store_primary
from medical_rl.errors import StageFailed, UserError

SWEEP = ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/launcher=slurm", "conf.seed=1,2", "-m"]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A PATH on which Slurm's commands are."""
    for name in ("sbatch", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def refusal(arguments) -> str:
    with pytest.raises(UserError) as caught:
        with_default_scale_and_engine(arguments)
    return str(caught.value)


def test_without_the_launcher_the_pip_command_is_said(monkeypatch, capsys, cluster):
    from medical_rl.main import main

    monkeypatch.setattr(slurm, "PLUGIN", "hydra_plugins.not_there")
    assert main(SWEEP) == 2
    assert "pip install hydra-submitit-launcher==" in capsys.readouterr().err
    monkeypatch.setattr(slurm, "PLUGIN", "no_such_parent.hydra_submitit_launcher")
    assert "pip install" in refusal(SWEEP)


def test_the_pip_command_names_the_pinned_version(root):
    for profile in ("cpu", "gpu"):
        assert "hydra-submitit-launcher==1.2.0\n" in (root / "requirements" / f"{profile}.txt").read_text()


def test_without_m_nothing_would_be_submitted_so_it_is_refused(cluster):
    assert "needs -m" in refusal([a for a in SWEEP if a != "-m"])


def test_a_machine_without_slurm_is_told_apart_from_one_without_the_launcher(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "login node" in refusal(SWEEP)


def test_what_would_be_submitted_can_be_looked_at_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments, _ = with_default_scale_and_engine([*SWEEP[:-1], "--cfg", "hydra"])
    assert "--cfg" in arguments


def test_several_nodes_are_another_script(cluster):
    message = refusal(["conf/engine=multi_node" if a.startswith("conf/engine") else a for a in SWEEP])
    assert "examples/slurm/multi_node.sh" in message


def test_who_submits_is_told_where_the_jobs_print(cluster):
    _, said = with_default_scale_and_engine(SWEEP)
    assert "runs/vrft_aug/.submitit" in said and "Ctrl-C ends the waiting" in said


@pytest.mark.parametrize("recipe", choices())
@pytest.mark.parametrize("engine, gpus", [("cpu", None), ("gpu_single", 1), ("gpu_node", 8)])
def test_a_job_asks_for_what_its_engine_takes(recipe, engine, gpus):
    from hydra import compose, initialize_config_dir

    store_primary()
    overrides = [f"conf={recipe}", "conf/launcher=slurm", "conf/scale=tiny", f"conf/engine={engine}"]
    with initialize_config_dir(str(root()), version_base="1.3"):
        launcher = compose(NAME, overrides=overrides, return_hydra_config=True).hydra.launcher
    assert launcher.gpus_per_node == gpus and launcher.cpus_per_task >= 2
    assert launcher.additional_parameters.requeue is True and launcher.max_num_timeout > 0
    assert (
        launcher.name == f"medical_rl-{recipe}" and launcher.submitit_folder == f"runs/{recipe}/.submitit/%j"
    )


def test_a_job_that_gives_no_result_is_no_traceback():
    from submitit.core.utils import FailedJobError, UncompletedJobError

    told = slurm.explain_failure(
        UncompletedJobError("Job 7_1 (task: 0) has not produced any output (state: CANCELLED)")
    )
    assert isinstance(told, StageFailed) and "7_1" in str(told) and "same command" in str(told)
    refused = FailedJobError("sbatch: error: invalid partition specified: nowhere")
    refused.__cause__ = subprocess.CalledProcessError(1, ["sbatch", "file.sh"])
    told = slurm.explain_failure(refused)
    assert isinstance(told, UserError) and "nowhere" in str(told)
    assert slurm.explain_failure(ValueError("sbatch")) is None


BLOCK = """
import signal, subprocess, sys, time
from medical_rl.config.slurm import ending_in_order
with ending_in_order():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("ended in order", flush=True)
        raise
"""


def test_a_job_that_is_taken_back_ends_in_order_and_waits_to_be_killed():
    # A preempted job that exits within its grace time is not queued again.
    environment = os.environ | {"SUBMITIT_EXECUTOR": "slurm"}
    job = subprocess.Popen([sys.executable, "-c", BLOCK], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert job.stdout.readline() == "ready\n"
        job.send_signal(signal.SIGTERM)
        assert job.stdout.readline() == "ended in order\n"
        time.sleep(1)
        job.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert job.poll() is None
    finally:
        job.kill()
    assert "queued again, it goes on from there" in job.stdout.read()


def test_outside_a_job_the_block_changes_nothing(monkeypatch):
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    with slurm.ending_in_order():
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def submitted(monkeypatch, cluster):
    """What reached Hydra, which would submit: the arguments of each call."""
    from medical_rl import main as command

    calls = []
    monkeypatch.setattr(command, "_hydra", lambda arguments: calls.append(arguments) or 0)
    return calls


@pytest.mark.parametrize(
    "overrides, expected",
    [
        # one job of two has a source that is not there
        (
            ["conf=vrft_aug", "conf/data=phantom_grading,pneumoniamnist", "conf.data.source=/nowhere/p.npz"],
            "conf.data.source=/nowhere/p.npz does not exist",
        ),
        (["conf=medgr2", "conf/generator=template,openai"], "conf/generator=openai: The endpoint"),
        (["conf=vrft_aug", "conf.stages=[prepare],[prepare,warmstart]"], "warmstart"),
        (["conf=vrft_aug", "conf.seed=1,2", "conf.sede=3"], "conf.sede"),
    ],
)
def test_no_job_is_submitted_where_one_could_not_work(submitted, capsys, monkeypatch, overrides, expected):
    from medical_rl.main import main
    from medical_rl.pipeline import sweep

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(sweep, "verl_problems", lambda config: [])
    fixed = ["conf/scale=tiny", "conf/engine=cpu", "conf/launcher=slurm", "-m"]
    assert main([*overrides, *fixed]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "Nothing was submitted: of 2 jobs" in message and expected in message
    assert not submitted


def test_what_verl_would_refuse_of_one_job_is_said_with_the_job(submitted, capsys, monkeypatch):
    from medical_rl.main import main
    from medical_rl.pipeline import sweep

    def answer(config):
        return [] if config.conf.seed == 1 else ["verl would refuse this"]

    monkeypatch.setattr(sweep, "verl_problems", answer)
    assert main(SWEEP) == 2 and not submitted
    assert "of 2 jobs, conf.seed=2: verl would refuse this" in capsys.readouterr().err
    monkeypatch.setattr(sweep, "verl_problems", lambda config: [])
    assert main(SWEEP) == 0 and len(submitted) == 1
    assert "2 jobs composed and checked here" in capsys.readouterr().out
