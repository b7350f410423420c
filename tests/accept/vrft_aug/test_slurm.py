"""On a real Slurm: two jobs at once on one node, one of them requeued in the middle of GRPO; and the script for several nodes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
SIZES = "conf.data.params.sizes={warm_start: 64, train: 16, val: 4, test: 20}"
STEPS = 4


@pytest.fixture(scope="module")
def pair(accept, slurm) -> Path:
    """The folder of two jobs that shared the node, a core each; seed 1 was requeued once its first step was saved."""
    folder = accept.runs / "slurm" / "pair"
    first, second = (folder / f"conf.seed={seed}" for seed in (1, 2))
    if all((run / "results.json").exists() for run in (first, second)):
        return folder
    command = accept.command(
        "slurm/pair", SIZES, *accept.two_steps, f"trainer.total_training_steps={STEPS}", "trainer.save_freq=1",
        "conf/launcher=slurm", "hydra.launcher.cpus_per_task=1", "conf.seed=1,2", "-m",
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sweep.out").open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=accept.root,
            env=os.environ | slurm.environment,
        )
    tracker = first / "checkpoints" / "rl" / "latest_checkpointed_iteration.txt"
    try:
        while not (tracker.exists() and (second / "logs" / "rl.log").exists()):
            assert process.poll() is None, (folder / "sweep.out").read_text()[-4000:]
            time.sleep(0.5)
        array = slurm.run("squeue", "-h", "-o", "%F").split()[0]
        slurm.run("scontrol", "requeue", f"{array}_0")
        assert process.wait(timeout=3000) == 0, (folder / "sweep.out").read_text()[-4000:]
    finally:
        if process.poll() is None:
            process.kill()
    return folder


def stages(run: Path) -> dict:
    return json.loads((run / "manifest.json").read_text())["stages"]


def test_a_job_requeued_in_the_middle_of_grpo_goes_on_from_its_checkpoint(pair):
    run = pair / "conf.seed=1"
    assert {name: entry["attempts"] for name, entry in stages(run).items()} == {
        "prepare": 1, "warm_start": 1, "rl": 2, "evaluate": 1,
    }  # fmt: skip
    log = (run / "logs" / "rl.log").read_text().rsplit("Started a local Ray instance", 1)[1]
    assert "Found checkpoint" in log and "checkpoints/rl/global_step_" in log
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["stage"] == "rl" and "reward/total" in line]
    assert sorted(set(steps)) == list(range(1, STEPS + 1)) and steps.count(1) == 1, (
        "step 1 was saved, so not taken again"
    )


def test_two_jobs_at_once_on_one_node_have_rays_and_weights_of_their_own(pair):
    folders, begun, ended = [], [], []
    for seed in (1, 2):
        run = pair / f"conf.seed={seed}"
        log = (run / "logs" / "rl.log").read_text()
        folders.append(log.split("'_temp_dir': '")[1].split("'")[0])
        begun.append(stages(run)["prepare"]["started"])
        ended.append(stages(run)["evaluate"]["finished"])
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        # 1 where vLLM generates with the actor's own weights; another run's would be far from it
        found = [v for line in lines for k, v in line.items() if "rollout_actor_probs_pearson_corr" in k]
        assert found and min(found) > 0.999, found
    assert folders[0] != folders[1] and max(begun) < min(ended), "they did not run at the same time"


def test_the_script_for_several_nodes_attaches_to_the_ray_it_started(accept, slurm, monkeypatch):
    folder = accept.runs / "slurm" / "multi_node"
    if not (folder / "results.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / "job.out"
        script = accept.root / "examples" / "slurm" / "multi_node.sh"
        # One node, and the CPU engine's logical GPU: what the script does is the same on two.
        arguments = [
            *accept.command("slurm/multi_node", SIZES, *accept.two_steps)[3:], "+ray_kwargs.ray_init.address=auto",
        ]  # fmt: skip
        arguments = [a for a in arguments if not a.startswith("conf/engine=")]
        for name, value in {
            "ENGINE": "cpu",
            "GPUS": "1",
            "VENV": str(Path(sys.executable).parents[1]),
        }.items():
            monkeypatch.setenv(name, value)
        options = ["--nodes=1", "--gpus-per-node=0", "--cpus-per-task=2", f"--output={out}"]
        job = slurm.run("sbatch", "--parsable", *options, str(script), *arguments)
        while slurm.run("squeue", "-h", "-j", job, check=False):
            time.sleep(1)
        assert slurm.job(job)["JobState"] == "COMPLETED", out.read_text()[-4000:]
    log = (folder / "logs" / "rl.log").read_text()
    assert "'address': 'auto'" in log and "Connecting to existing Ray cluster" in log
    assert set(accept.results(folder)) == {"base", "warm_start", "rl"}
    assert not list(Path("/tmp").glob("medical_rl-ray-*"))
