"""Fixtures that every test may use."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
    """A fake OpenAI-compatible endpoint, running in a process of its own (tests/judges/fake_endpoint.py).

    Loaded by its path: `tests` is also the name of a package that some distributions install.
    """
    spec = importlib.util.spec_from_file_location("fake_endpoint", ROOT / "tests" / "judges" / "fake_endpoint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.FakeEndpoint() as running:
        yield running


@pytest.fixture
def command(tmp_path):
    """Runs `python -m medical_rl.main ...` in an empty folder; gives the finished process."""

    def run(
        *arguments: str, timeout: float = 120, cwd: Path | None = None, module: str = "medical_rl.main", **environment
    ):
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=cwd or tmp_path, capture_output=True, text=True, timeout=timeout, env=os.environ | environment,
        )  # fmt: skip

    return run
