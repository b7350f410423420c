"""Makes `import torchvision` work beside a CPU build of PyTorch.

The ordinary package index carries one torchvision, built for CUDA. Its compiled
operators do not load on a CPU build of PyTorch, and its import then fails because
two operator schemas are missing ("operator torchvision::nms does not exist").
transformers needs the import, not the operators: with the schemas defined first,
all of torchvision that Qwen2.5-VL's processors use (transforms in plain PyTorch)
works. Where PyTorch's own CPU wheels are installed nothing here acts.

`python -m medical_rl.torchvision_ops` (run by `make setup`) tests the import and,
only where it fails, writes a one-line .pth file, so that every Python process of
that environment (driver, Ray actors, vLLM's workers, a user's own script) has it.
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
PTH = "medical_rl_torchvision.pth"
_library = None


def define_schemas() -> None:
    """None; defines the missing operator schemas once in this process."""
    global _library
    if _library is None:
        import torch

        _library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            _library.define(schema)


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing: on the first `import torchvision` it defines the schemas and steps aside."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            define_schemas()
        return None


def install_hook() -> None:
    """None; from now on this process defines the schemas before torchvision is imported."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _BeforeTorchvision) for f in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())


def import_works() -> bool:
    """True if a fresh Python process can import torchvision."""
    return subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0


def main() -> int:
    """0 if torchvision imports, if need be after writing the .pth file; 1 if it still does not."""
    if import_works():
        return 0
    pth = Path(sysconfig.get_paths()["purelib"]) / PTH
    pth.write_text("import medical_rl.torchvision_ops as _ops; _ops.install_hook()\n")
    if import_works():
        print(
            f"torchvision is a CUDA build beside a CPU PyTorch: its two missing schemas are defined by {pth.name}."
        )
        return 0
    pth.unlink()
    print("torchvision cannot be imported; `python -c 'import torchvision'` shows why.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
