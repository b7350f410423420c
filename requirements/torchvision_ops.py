"""Makes `import torchvision` work beside a CPU build of PyTorch; install.sh runs it: `python requirements/torchvision_ops.py`.

The ordinary package index carries one torchvision, built for CUDA. Its compiled
operators do not load on a CPU build of PyTorch, and its import then fails because
two operator schemas are missing ("operator torchvision::nms does not exist").
transformers needs the import, not the operators: with the schemas defined first,
all of torchvision that Qwen2.5-VL's processors use (transforms in plain PyTorch)
works. Where PyTorch's own CPU wheels are installed nothing here acts.

Only where the import fails, this file is copied into site-packages, beside a .pth
that imports the copy and nothing else: so every Python process of that environment
(driver, Ray actors, vLLM's workers, a user's own script) has it. The file imports
neither medical_rl nor, before torchvision itself is imported, torch.
"""

from __future__ import annotations

import importlib.abc
import subprocess
import sys
import sysconfig
from pathlib import Path

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
MODULE = "_torchvision_cpu_ops"
FORMER_PTH = "medical_rl_torchvision.pth"  # of earlier versions: it imported medical_rl in every process
_libraries = []  # a schema lives as long as the library that defined it


class BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing: on the first `import torchvision` it defines the missing schemas and steps aside."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for schema in SCHEMAS:
                library.define(schema)
            _libraries.append(library)
        return None


def hook() -> None:
    """From now on define the schemas in this process before torchvision is imported."""
    # A folder of site-packages, and with it its .pth files, may be read more than once.
    hooked = any(isinstance(finder, BeforeTorchvision) for finder in sys.meta_path)
    if not hooked and "torchvision" not in sys.modules:
        sys.meta_path.insert(0, BeforeTorchvision())


def import_works() -> bool:
    """True if a fresh Python process can import torchvision."""
    return subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0


def remove(site_packages: Path) -> None:
    """Remove what this file, or an earlier version of it, has put into `site_packages`."""
    for name in (f"{MODULE}.py", f"{MODULE}.pth", FORMER_PTH):
        (site_packages / name).unlink(missing_ok=True)


def install(site_packages: Path) -> None:
    """Copy this file to `site_packages` under its own name, with a .pth that imports the copy alone."""
    (site_packages / f"{MODULE}.py").write_text(Path(__file__).read_text())
    (site_packages / f"{MODULE}.pth").write_text(f"import {MODULE}; {MODULE}.hook()\n")


def main() -> int:
    """0 if torchvision imports, if need be by the hook; 1 if it does not."""
    site_packages = Path(sysconfig.get_paths()["purelib"])
    remove(site_packages)
    if import_works():
        return 0
    install(site_packages)
    if import_works():
        print(
            f"torchvision is a CUDA build beside a CPU PyTorch: {MODULE}.pth defines its two missing schemas."
        )
        return 0
    remove(site_packages)
    print("torchvision cannot be imported; `python -c 'import torchvision'` shows why.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
