"""Claims about what importing the evaluation loads."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "metrics",
        "groups",
        "auroc",
        "results",
        "tables",
        "collect",
        "transitions",
        "transfer",
        "scaling",
        "curve",
        "__main__",
    ],
)
def test_importing_the_evaluation_loads_nothing_heavy(module):
    heavy = "{'torch', 'verl', 'vllm', 'ray', 'sklearn', 'scipy', 'numpy', 'matplotlib'}"
    code = f"import medical_rl.evaluation.{module}, sys; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
