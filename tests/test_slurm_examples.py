"""examples/slurm: the scripts hold together, and the commands in them compose. The real thing is tests/accept/vrft_aug/test_slurm.py."""

import os
import subprocess
import time

import pytest

SCRIPTS = ("sweep.sh", "multi_node.sh")
# Stands in for a program: notes how it was called, then does what the test says.
STUB = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "{log}"
[ -z "$RAY_AUTH_TOKEN" ] || echo "TOKEN $RAY_AUTH_TOKEN" >> "{log}"
{then}
"""


@pytest.fixture
def stubs(tmp_path):
    """Makes programs in <tmp>/bin whose calls are noted in <tmp>/calls; gives what was noted."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    log.touch()

    def make(**programs: str):
        for name, then in programs.items():
            (folder / name).write_text(STUB.format(log=log, then=then))
            (folder / name).chmod(0o755)
        return lambda: log.read_text().splitlines()

    return make


def composed(command, arguments: list[str]) -> str:
    """What Hydra composes of a script's command, everything resolved."""
    shown = [a for a in arguments if a != "-m"]
    done = command(*shown, "--cfg", "job", "--resolve")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_reads_every_script_and_it_may_be_run(root, name):
    script = root / "examples" / "slurm" / name
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0 and os.access(script, os.X_OK)


def test_the_sweep_composes_and_its_results_are_collected(root, command, stubs, tmp_path):
    calls = stubs(python="")
    environment = os.environ | {"PYTHON": str(tmp_path / "bin" / "python"), "SEEDS": "4,5"}
    script = [str(root / "examples" / "slurm" / "sweep.sh"), "hydra.launcher.partition=gpu"]
    assert subprocess.run(script, env=environment, timeout=60).returncode == 0
    (run,) = map(str.split, calls())  # no run has left a manifest, as after a dry run: nothing is collected
    assert run[:3] == ["python", "-m", "medical_rl.main"] and run[-1] == "-m" and "conf.seed=4,5" in run
    text = composed(command, [a.replace("4,5", "4") for a in run[3:]])
    assert "scale: paper" in text and "name: gpu_node" in text and "run_dir: runs/slurm-vrft_aug" in text
    out = tmp_path / "sweep"
    (out / "conf.seed=4").mkdir(parents=True)
    (out / "conf.seed=4" / "manifest.json").touch()
    assert subprocess.run(script, env=environment | {"OUT": str(out)}, timeout=60).returncode == 0
    collect = f"python -m medical_rl.evaluation collect {out} --out {out}/collected"
    assert calls()[1].startswith("python -m medical_rl.main ") and calls()[2:] == [collect]


# Three nodes of four GPUs and sixteen cores, and a port that the job's id gives.
JOB = {
    "SLURM_JOB_ID": "1234567", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_CPUS_PER_TASK": "16", "SLURM_GPUS_ON_NODE": "4",
    "SLURM_CPUS_ON_NODE": "16",
}  # fmt: skip
# Runs the command in the stub's own process, as srun's end is its command's end.
SRUN = 'while [[ "$1" == --* ]]; do [[ "$1" == --nodelist ]] && shift; shift; done; exec "$@"'
# Knows as many nodes as were started.
RAY = """case $1 in
  start) exec sleep 600;;
  status) grep "^ray start" "$(dirname "$0")/../calls" | while read -r _; do echo " 1 node_ab12"; done;;
esac"""


@pytest.fixture
def multi_node(root, stubs, tmp_path):
    """Starts multi_node.sh as Slurm would, with stand-ins for Slurm and Ray; gives the process and its calls."""
    started = []

    def start(*arguments: str, python: str = "") -> tuple[subprocess.Popen, object]:
        scontrol = '[ "$1" = requeue ] || printf "n1\\nn2\\nn3\\n"'
        calls = stubs(
            srun=SRUN, scontrol=scontrol, ray=RAY, python=python, hostname="echo 127.0.0.1 10.0.0.7"
        )
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        environment = os.environ | JOB | {"PATH": path, "VENV": str(tmp_path), "SLURM_SUBMIT_DIR": str(root)}
        script = ["bash", str(root / "examples" / "slurm" / "multi_node.sh"), *arguments]
        started.append(subprocess.Popen(script, env=environment, start_new_session=True))
        return started[-1], calls

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, 9)


def children(calls) -> list[str]:
    return [line for line in calls() if line.startswith("ray start")]


def test_ray_is_started_on_every_node_and_the_run_attaches_and_all_is_ended(command, multi_node):
    process, calls = multi_node("conf=vrft_aug", "conf/scale=paper", python="exit 7")
    assert process.wait(timeout=60) == 7, "the run's exit code is the job's"
    head, *workers = sorted(children(calls), key=lambda line: "--head" not in line)
    # 20000 + 1234567 % 10000; three logical cores a GPU and 12 are more than the job's 16
    assert "--head" in head and "--node-ip-address=10.0.0.7" in head and "--port=24567" in head
    assert "--temp-dir=/tmp/medical_rl-ray-1234567" in head
    assert len(workers) == 2 and all("--address=10.0.0.7:24567" in line for line in workers)
    assert all("--num-cpus=24" in line and "--num-gpus=4" in line for line in (head, *workers))
    nodes = [
        line.split("--nodelist ")[1].split()[0]
        for line in calls()
        if line.startswith("srun") and "start" in line
    ]
    assert sorted(nodes) == ["n1", "n2", "n3"]
    run = next(line for line in calls() if line.startswith("python")).split()
    text = composed(command, run[3:])
    assert "address: auto" in text and "nnodes: 3" in text and "n_gpus_per_node: 4" in text
    tokens = {line.split()[1] for line in calls() if line.startswith("TOKEN")}
    assert len(tokens) == 1 and len(tokens.pop()) == 64, "the head, the workers and the run share one"
    time.sleep(0.5)
    assert not _sleeping(process.pid), "Ray was left behind"


def test_near_the_time_limit_the_run_is_ended_and_the_job_queues_itself_again(multi_node):
    waits = 'trap "echo ended >> $0.log; exit 130" TERM; while :; do sleep 0.1; done'
    process, calls = multi_node("conf=vrft_aug", "conf/scale=paper", python=waits)
    deadline = time.monotonic() + 60
    while not any(line.startswith("python") for line in calls()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(10)  # SIGUSR1, as #SBATCH --signal=B:USR1@180 says
    process.wait(timeout=60)
    assert "scontrol requeue 1234567" in calls()
    assert not _sleeping(process.pid)


def test_without_a_recipe_the_script_says_how_it_is_called(multi_node):
    process, calls = multi_node()
    assert process.wait(timeout=60) == 2 and not calls()


def _sleeping(session: int) -> list[str]:
    """Stand-ins for Ray that still run in the script's session."""
    listed = subprocess.run(["ps", "-o", "args=", "-s", str(session)], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if "sleep 600" in line]
