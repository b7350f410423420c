"""torchvision's repair beside a CPU PyTorch: outside the package, and nothing of ours in a Python that asks for nothing."""

import importlib.util
import subprocess
import sys

import pytest


@pytest.fixture
def ops(root):
    spec = importlib.util.spec_from_file_location(
        "torchvision_ops", root / "requirements" / "torchvision_ops.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(code: str, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=120)


def test_a_plain_python_of_the_environment_imports_neither_medical_rl_nor_torch():
    report = python("pass", "-X", "importtime").stderr
    modules = {line.rpartition("|")[2].strip().split(".")[0] for line in report.splitlines()}
    assert "site" in modules, "or this would prove nothing"
    assert not modules & {"medical_rl", "torch", "torchvision"}


def test_importing_torchvision_works_and_does_not_import_medical_rl():
    code = "import torchvision, sys; from torchvision.transforms import v2; assert 'medical_rl' not in sys.modules"
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_the_pth_imports_the_copy_alone_and_is_removed_with_it(ops, tmp_path):
    (tmp_path / ops.FORMER_PTH).write_text("import medical_rl.torchvision_ops\n")
    ops.remove(tmp_path)
    assert not list(tmp_path.iterdir())
    ops.install(tmp_path)
    pth = tmp_path / f"{ops.MODULE}.pth"
    assert "medical_rl" not in pth.read_text() and len(list(tmp_path.iterdir())) == 2
    code = (
        f"import site, sys; site.addsitedir({str(tmp_path)!r}); print(sys.meta_path[0], sorted(sys.modules))"
    )
    shown = python(code, "-I", "-S").stdout  # without the environment's own site-packages
    assert "BeforeTorchvision" in shown and "'medical_rl'" not in shown and "'torch'" not in shown
    ops.remove(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
