"""A real Slurm of one node, this one, without systemd: munged, slurmctld and slurmd in a temporary folder, ended by their pids."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
INSTALL = "apt-get install -y slurm-wlm munge"
KEY, MUNGE = Path("/etc/munge/munge.key"), Path("/run/munge")
# One job has the node; a job that was queued again waits no two minutes for its credential to lapse.
CONF = """\
ClusterName=medical-rl-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=20
{more}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> str | None:
    """Why there can be no Slurm here, and the command that helps; None where there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons are started as root, and this is another user"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"no Slurm here ({', '.join(absent)} absent): {INSTALL}"
    return None if KEY.is_file() else f"no {KEY}: {INSTALL}"


class Slurm:
    """The running cluster; `environment` is what makes commands speak to it."""

    def __init__(self, folder: Path, cpus: int, more: str = ""):
        self.folder, self.started = folder, []
        (folder / "state").mkdir(parents=True)
        (folder / "spool").mkdir()
        conf = folder / "slurm.conf"
        host = socket.gethostname().split(".")[0]
        conf.write_text(CONF.format(folder=folder, host=host, ports=_free_ports(2), cpus=cpus, more=more))
        self.environment = {"SLURM_CONF": str(conf), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}

    def __enter__(self) -> Slurm:
        try:
            if subprocess.run(
                ["munge", "-n"], capture_output=True
            ).returncode:  # nobody answers on its socket
                MUNGE.mkdir(exist_ok=True)
                shutil.chown(MUNGE, "munge", "munge")
                self._start("munged", "--foreground", "--force", user="munge")
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D")
            self._wait_until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.started):
            process.terminate()
        for process in reversed(self.started):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    def run(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm printed."""
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | self.environment,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def job(self, name: str) -> dict[str, str]:
        """scontrol's fields of a job, "12" or, of an array, "12_0"."""
        fields = self.run("scontrol", "show", "job", "-o", name).split()
        return dict(field.split("=", 1) for field in fields if "=" in field)

    def end_all(self) -> None:
        """Cancel every job, and wait until none is left."""
        self.run("scancel", "--full", "--user", "root", check=False)
        deadline = time.monotonic() + 60
        while self.run("squeue", "-h") and time.monotonic() < deadline:
            time.sleep(0.5)

    def _start(self, *command: str, user: str | None = None) -> None:
        # ended with this process, should it be killed
        bound = ("setpriv", "--pdeathsig", "KILL", *command)
        with (self.folder / f"{command[0]}.out").open("ab") as log:
            self.started.append(
                subprocess.Popen(
                    bound,
                    stdout=log,
                    stderr=log,
                    env=os.environ | self.environment,
                    cwd="/",
                    user=user,
                    group=user,
                )
            )

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + 60
        while "idle" not in self.run("sinfo", "-h", "-o", "%T", check=False):
            ended = [p.args for p in self.started if p.poll() is not None]
            assert not ended and time.monotonic() < deadline, f"Slurm did not start: {ended}\n{self._logs()}"
            time.sleep(0.3)

    def _logs(self) -> str:
        return "\n".join(f"{p.name}:\n{p.read_text()[-2000:]}" for p in sorted(self.folder.glob("*.log")))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
