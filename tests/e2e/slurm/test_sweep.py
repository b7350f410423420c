"""A sweep on a real Slurm: jobs one after the other, taken back by Slurm in the middle, and one table at the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from medical_rl.run.folder import RunFolder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3600)]


def test_each_job_has_a_run_folder_of_its_own_with_results_and_no_other(sweep):
    assert sorted(p.name for p in sweep.folder.iterdir()) == [
        ".prepared",  # the one preparation that both jobs share
        ".submitit",
        "conf.seed=1",
        "conf.seed=2",
        "multirun.yaml",
    ]
    for seed in (1, 2):
        results = json.loads((sweep.runs[seed] / "results.json").read_text())
        assert results["seed"] == seed and [e["model"] for e in results["evaluations"]] == [
            "base",
            "warm_start",
            "rl",
        ]


# The first words of each life of a job; and by seed, how its first life was ended. A job near its time limit queues itself again,
# and Slurm's own SIGTERM may then come before submitit has said so: what is certain is the signal it caught.
LIFE = "Starting with JobEnvironment"
TAKEN_BACK = {1: "Slurm takes this job back", 2: "Caught signal SIGUSR2"}


@pytest.mark.parametrize("seed", TAKEN_BACK, ids=["requeued", "near its time limit"])
def test_a_job_that_is_taken_back_skips_what_was_done_and_goes_on_with_what_was_not(sweep, seed):
    stages, said = sweep.stages(seed), sweep.said[seed]
    attempts = {name: entry["attempts"] for name, entry in stages.items()}
    assert attempts == {"prepare": 1, "warm_start": 2, "rl": 1, "evaluate": 1}
    _, first, second = said.split(LIFE)
    assert "✓ prepare in" in first and "warm_start in" not in first and TAKEN_BACK[seed] in first
    assert "done before, skipped" in second and "earlier attempt ended as interrupted" in second
    assert not [end for end in TAKEN_BACK.values() if end in second]
    if seed == 1:
        assert "failed" not in said, "the end of the engine's processes is not the job's failure"


def test_each_job_had_a_ray_of_its_own_and_left_nothing(sweep):
    folders = []
    for seed in (1, 2):
        log = (sweep.runs[seed] / "logs" / "rl.log").read_text()
        folders.append(log.split("'_temp_dir': '")[1].split("'")[0])
        assert "'address': 'local'" in log
    assert folders == [f"/tmp/medical_rl-ray-{job}" for job in sweep.jobs]
    assert not [folder for folder in folders if Path(folder).exists()]
    marks = {RunFolder(run).id for run in sweep.runs.values()}
    assert not [p for p in psutil.process_iter() if _mark(p) in marks]


def test_collect_makes_one_table_of_the_sweep(sweep, tmp_path):
    command = [
        sys.executable,
        "-m",
        "medical_rl.evaluation",
        "collect",
        str(sweep.folder),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "| rl |" in line]
    runs = [row for row in rows if "conf.seed=" in row]
    assert len(runs) == 2 and "conf.seed=1" in runs[0] and "conf.seed=2" in runs[1]
    assert "2 runs, 0 without results" in done.stdout


def test_the_command_says_where_jobs_print_and_that_it_waits(sweep):
    assert f"{sweep.folder}/.submitit" in sweep.printed and "Traceback" not in sweep.printed


def test_a_partition_that_is_not_there_is_the_users_error(slurm, command, tmp_path):
    done = command(
        "conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/launcher=slurm", "conf.seed=1", "-m",
        "hydra.launcher.partition=nowhere", **slurm.environment,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "Slurm did not take the jobs" in done.stderr and "invalid partition" in done.stderr


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("MEDICAL_RL_RUN") if process.pid != os.getpid() else None
    except (psutil.Error, OSError):
        return None
