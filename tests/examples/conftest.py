"""What the scripts of examples/ call, without calling it, and a dry run of one of its jobs in this process."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Prints what it was called with instead of calling it: a line a command, arguments cut at NUL.
RECORDER = "#!{python}\nimport sys\nprint('\\0'.join(['CALLED', *sys.argv[1:]]), file=sys.stderr)\n"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A function (script, arguments, environment) -> [arguments of each command that it calls with Python].

    The scripts are run from a copy of examples/ whose .venv/bin/python writes its arguments down.
    """
    home = tmp_path_factory.mktemp("recorded")
    shutil.copytree(ROOT / "examples", home / "examples")
    recorder = home / ".venv" / "bin" / "python"
    recorder.parent.mkdir(parents=True)
    recorder.write_text(RECORDER.format(python=sys.executable))
    recorder.chmod(0o755)

    def record(script: str, *arguments: str, **environment: str) -> list[list[str]]:
        done = subprocess.run(
            ["bash", str(home / "examples" / script), *arguments],
            env=os.environ | environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        lines = [line for line in done.stderr.splitlines() if line.startswith("CALLED\0")]
        return [line.split("\0")[1:] for line in lines]

    return record


def jobs(call: list[str]) -> list[list[str]]:
    """The overrides of each job of a command, as Hydra's own sweeper divides them and the command line completes them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from medical_rl.config.arguments import with_default_scale_and_engine

    arguments, _ = with_default_scale_and_engine(call)
    overrides = OverridesParser.create().parse_overrides([a for a in arguments if a != "-m"])
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [[one for one in job if not one.startswith("hydra.")] for job in batch]


@pytest.fixture(scope="session")
def dry_ran():
    """A function of the overrides of one job: what its dry run says, in this process."""
    from rich.console import Console

    from medical_rl.config.compose import compose
    from medical_rl.pipeline.dry_run import dry_run
    from medical_rl.pipeline.validate import check_config

    def run(overrides: list[str]) -> str:
        config = compose(overrides)
        check_config(config)
        said = Console(file=io.StringIO(), width=10_000)
        dry_run(config, said)
        return said.file.getvalue()

    return run
