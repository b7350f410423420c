"""Fixtures that every test may use."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# As a stage's own process has it (engine/environment.py), before torch is loaded: on two cores spinning threads of one process
# take the time of the engine's other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Started in the background by a shell, this process ignores Ctrl-C, and so would the runs that the tests stop by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


def _by_path(name: str, path: Path):
    """The module in `path`; not imported by name, as `tests` is also a package that some distributions install."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(items):
    """The engine's tests first: beside them, in another process, is time for all the others."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The lanes of `make test`: files that run the engine one after the other in one process, since two verl jobs on one host
    can collide; each other file where there is room."""
    from xdist.scheduler import LoadScopeScheduling

    engine = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if "mark.engine" in path.read_text(encoding="utf-8")
    }

    class Lanes(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "engine" if file in engine else file

    return Lanes(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The source tree."""
    return ROOT


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of real dataset files, beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "realdata"
    if not folder.is_dir():
        pytest.skip("the real dataset files (../shared/realdata) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def fake_endpoint():
    """A fake OpenAI-compatible endpoint, running in a process of its own (tests/judges/fake_endpoint.py)."""
    module = _by_path("fake_endpoint", ROOT / "tests" / "judges" / "fake_endpoint.py")
    with module.FakeEndpoint() as running:
        yield running


@pytest.fixture(scope="session")
def settings_read():
    """The module tests/e2e/settings_read.py: which settings the stages of a run took."""
    return _by_path("settings_read", ROOT / "tests" / "e2e" / "settings_read.py")


@pytest.fixture
def one_thread() -> dict[str, str]:
    """The environment of a process with one thread: weights are compared to the last bit, and a sum over two is not that of one."""
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def phantom():
    """The module tests/pseudo_label/alignment/phantom_reports.py: a labeller that leans on reports, made and measured."""
    pytest.importorskip("trl", reason="preference alignment needs trl: pip install -e .[align]")
    return _by_path("phantom_reports", ROOT / "tests" / "pseudo_label" / "alignment" / "phantom_reports.py")


@pytest.fixture(scope="session")
def composed():
    """A function of overrides to the resolved `conf` of vrft_aug at the tiny scale."""
    from omegaconf import OmegaConf

    from medical_rl.config.compose import compose

    base = ("conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu")
    return functools.cache(
        lambda *overrides: OmegaConf.to_container(compose([*base, *overrides]), resolve=True)["conf"]
    )


@pytest.fixture(scope="session")
def serving(composed):
    """A function that gives the settings of conf/<group>=NAME, with changes; `service` may be given in part."""

    def make(group, name, service=None, **changes):
        found = {**composed(f"+conf/{group}={name}")[group], **changes}
        if service is not None:
            at = found["service"]
            found["service"] = {
                **at,
                **service,
                "endpoint": {**at["endpoint"], **service.get("endpoint", {})},
            }
        return found

    return make


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A real Slurm of one node with two cores, this machine (tests/e2e/slurm/cluster.py); skipped where there can be none."""
    cluster = _by_path("slurm_cluster", ROOT / "tests" / "e2e" / "slurm" / "cluster.py")
    if why := cluster.missing():
        pytest.skip(why)
    with cluster.Slurm(tmp_path_factory.mktemp("slurm"), cpus=2) as running:
        yield running
        running.end_all()


@pytest.fixture
def command(tmp_path):
    """Runs `python -m medical_rl.main ...` in an empty folder; gives the finished process."""

    def run(
        *arguments: str,
        timeout: float = 300,
        cwd: Path | None = None,
        module: str = "medical_rl.main",
        **environment,
    ):
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=cwd or tmp_path, capture_output=True, text=True, timeout=timeout, env=os.environ | environment,
        )  # fmt: skip

    return run


@pytest.fixture
def answered(capsys, monkeypatch, tmp_path):
    """Runs medical_rl.main in this process, in an empty folder; gives (exit code, standard output, standard error)."""
    from hydra.core.global_hydra import GlobalHydra

    from medical_rl.main import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        code = main(list(arguments))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def sent(monkeypatch):
    """[(messages, images)] of every question that reached the client."""
    from medical_rl.judges.judge import Judge

    seen, ask = [], Judge.ask

    async def noted(self, messages, schema, images=(), restricted=False, source=""):
        seen.append((messages, tuple(images)))
        return await ask(self, messages, schema, images, restricted, source)

    monkeypatch.setattr(Judge, "ask", noted)
    return seen
