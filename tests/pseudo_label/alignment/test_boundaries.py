"""What must stay light: making pairs and reading a report load neither torch nor TRL, which the processes of their own do."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "trl", "peft", "ray", "vllm", "verl")


@pytest.mark.parametrize("module", ["pairs", "align", "report", "dpo"])
def test_nothing_heavy_is_imported(module):
    code = f"import medical_rl.pseudo_label.alignment.{module}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
