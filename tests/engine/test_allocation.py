"""The Ray of a Slurm job: sized by the job, not by the node; never somebody else's."""

import pytest

from medical_rl.engine.host.allocation import (
    LONGEST_FOLDER,
    Allocation,
    ray_folder,
    ray_settings,
    slurm_allocation,
)
from medical_rl.engine.host.environment import stage_environment

# As Slurm 22.05 sets them for `sbatch --gpus-per-node=2 --cpus-per-task=16 --mem=64G` on a node of 128 cores and 8 GPUs.
HALF_A_NODE = {
    "SLURM_JOB_ID": "4711", "SLURM_ARRAY_JOB_ID": "4710", "SLURM_ARRAY_TASK_ID": "1", "SLURM_CPUS_PER_TASK": "16",
    "SLURM_CPUS_ON_NODE": "16", "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_GPUS": "4,5", "SLURM_MEM_PER_NODE": "65536",
}  # fmt: skip
# verl's own defaults
NOTHING = {"num_cpus": None}


def fitted(environment, given=NOTHING, device="cuda", needed=14, **host):
    return ray_settings(given, slurm_allocation(environment), device=device, needed=needed, **host)


def test_outside_slurm_there_is_no_allocation_and_ray_is_as_it_was_but_never_another_one():
    assert slurm_allocation({"SLURM_CONF": "/etc/slurm.conf", "SLURM_CPUS_ON_NODE": "4"}) is None
    assert fitted({}) == {"num_cpus": None, "address": "local"}


def test_a_jobs_ray_has_the_jobs_cores_gpus_and_memory():
    # 0.3 of 64 GiB
    assert fitted(HALF_A_NODE) == {
        "num_cpus": 16, "num_gpus": 2, "object_store_memory": int(0.3 * (64 << 30)),
        "address": "local", "_temp_dir": "/tmp/medical_rl-ray-4711",
    }  # fmt: skip


def test_two_jobs_of_one_array_have_folders_of_their_own():
    other = HALF_A_NODE | {"SLURM_JOB_ID": "4712", "SLURM_ARRAY_TASK_ID": "2"}
    assert fitted(HALF_A_NODE)["_temp_dir"] != fitted(other)["_temp_dir"]


def test_fewer_cores_than_verls_actors_hold_do_not_make_them_wait_for_ever():
    assert fitted(HALF_A_NODE | {"SLURM_CPUS_PER_TASK": "4"})["num_cpus"] == 14


def test_the_cpu_engine_keeps_its_logical_sizes():
    given = {"num_cpus": 16, "num_gpus": 1, "object_store_memory": 400_000_000}
    found = fitted(
        {"SLURM_JOB_ID": "3", "SLURM_CPUS_PER_TASK": "2", "SLURM_MEM_PER_NODE": "1000"}, given, "cpu"
    )
    assert found == given | {"address": "local", "_temp_dir": "/tmp/medical_rl-ray-3"}


def test_what_a_user_set_is_kept():
    given = {"num_cpus": 99, "num_gpus": 1, "object_store_memory": 5, "_temp_dir": "/mine"}
    assert fitted(HALF_A_NODE, given) == given | {"address": "local"}


def test_a_ray_that_is_there_is_told_no_sizes():
    given = {
        "address": "auto",
        "num_cpus": 16,
        "num_gpus": 1,
        "object_store_memory": 5,
        "runtime_env": {"a": 1},
    }
    assert fitted(HALF_A_NODE, given) == {"address": "auto", "runtime_env": {"a": 1}}


def test_objects_fit_into_the_shared_memory_that_is_free():
    # 64 MiB of /dev/shm, a container's default: Ray refuses less than a few MiB, so 200 MiB is asked for and Ray says what is wrong
    assert fitted(HALF_A_NODE, shared_memory=10 << 30)["object_store_memory"] == int(0.95 * (10 << 30))
    assert fitted(HALF_A_NODE, shared_memory=64 << 20)["object_store_memory"] == 200 << 20


@pytest.mark.parametrize(
    "environment, expected",
    [
        # the step of srun in 22.05 does not know the cores of a task
        ({"SLURM_CPUS_ON_NODE": "8"}, Allocation("1", 8, None, None)),
        # by its kind; a memory of 0 is the whole node's
        ({"SLURM_GPUS_ON_NODE": "h200:4", "SLURM_MEM_PER_NODE": "0"}, Allocation("1", None, 4, None)),
        # listed, not counted
        ({"SLURM_JOB_GPUS": "0,3,5"}, Allocation("1", None, 3, None)),
        ({"SLURM_MEM_PER_CPU": "2000", "SLURM_CPUS_ON_NODE": "4"}, Allocation("1", 4, None, 8000 << 20)),
        ({"SLURM_CPUS_ON_NODE": "", "SLURM_GPUS_ON_NODE": "(null)"}, Allocation("1", None, None, None)),
    ],
)
def test_slurms_variables_are_read_in_the_forms_they_have(environment, expected):
    assert slurm_allocation({"SLURM_JOB_ID": "1"} | environment) == expected


def test_rays_longest_socket_path_fits_below_the_folder():
    socket = "/session_2026-11-20_19-20-49_123456_4194304/sockets/plasma_store"
    assert LONGEST_FOLDER + len(socket) <= 107
    assert len(ray_folder("123456789_1234", "/local/scratch/slurm.123456789")) <= LONGEST_FOLDER
    assert ray_folder("12", "/scratch") == "/scratch/medical_rl-ray-12"


def test_a_process_has_no_more_threads_than_its_part_of_the_job():
    engine = {"device": "cuda", "threads": 8, "ranks": 2}
    made = stage_environment(engine, "id", "rl", "/m", base=HALF_A_NODE | {"SLURM_CPUS_PER_TASK": "6"})
    assert made["OMP_NUM_THREADS"] == "3"
    assert stage_environment(engine, "id", "rl", "/m", base={})["OMP_NUM_THREADS"] == "8"
    assert stage_environment(engine, "id", "rl", "/m", base={"SLURM_JOB_ID": "1"})["OMP_NUM_THREADS"] == "8"


def test_each_jobs_ray_has_a_token_of_its_own_which_is_handed_to_no_log():
    from medical_rl.engine.host.environment import names_for_workers

    engine = {"device": "cuda"}
    one, two = (stage_environment(engine, "id", "rl", "/m", base=HALF_A_NODE) for _ in range(2))
    assert len(one["RAY_AUTH_TOKEN"]) == 64 and one["RAY_AUTH_TOKEN"] != two["RAY_AUTH_TOKEN"]
    assert "RAY_AUTH_TOKEN" not in names_for_workers(one)
    for kept in ({"RAY_ADDRESS": "n1:6379"}, {"RAY_ADDRESS": "n1:6379", "RAY_AUTH_TOKEN": "the cluster's"}):
        made = stage_environment(engine, "id", "rl", "/m", base=HALF_A_NODE | kept)
        assert made.get("RAY_AUTH_TOKEN") == kept.get("RAY_AUTH_TOKEN")
    assert "RAY_AUTH_TOKEN" not in stage_environment(engine, "id", "rl", "/m", base={})


@pytest.mark.engine
def test_two_runs_on_one_host_have_weight_sockets_of_their_own():
    # Both are the first job of their own Ray, 01000000, which is all that verl puts into the socket's name.
    import subprocess
    import sys

    code = (
        "import inspect, os, ray\n"
        "import medical_rl.engine.verl.plugin\n"
        "from verl.workers.rollout.vllm_rollout import utils, vllm_async_server, vllm_rollout\n"
        "ray.init(address='local', num_cpus=1, include_dashboard=False, object_store_memory=10**8, log_to_driver=False)\n"
        "end = utils.vLLMColocateWorkerExtension.__new__(utils.vLLMColocateWorkerExtension)\n"
        "end.local_rank, end.model_runner = 0, None\n"
        "for run in ('aaaa', 'bbbb'):\n"
        "    os.environ['MEDICAL_RL_RUN'] = run\n"
        "    os.environ['VERL_RAY_JOB_ID'] = ray.get_runtime_context().get_job_id()\n"
        "    print('SOCKET', end._get_zmq_handle())\n"
        "ask = 'ray.get_runtime_context().get_job_id()'\n"
        "print('ENDS', *[ask in inspect.getsource(module) for module in (vllm_async_server, vllm_rollout)])"
    )
    environment = stage_environment({"device": "cpu"}, "aaaa", "rl", "/dev/null")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    sockets = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("SOCKET")]
    assert sockets == [
        f"ipc:///tmp/rl-colocate-zmq-01000000-{run}-replica-0-rank-0.sock" for run in ("aaaa", "bbbb")
    ]
    assert (
        "ENDS True True" in done.stdout
    )  # the receiver is told VERL_RAY_JOB_ID by its server, the sender asks for itself
