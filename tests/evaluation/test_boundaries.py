"""Claims about what importing the evaluation loads."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "metrics",
        "auroc",
        "results",
        "tables.results_table",
        "tables.collect",
        "tables.paper_table",
        "figures.medgr2",
        "figures.training_curves",
        "figures.boxes",
        "__main__",
    ],
)
def test_importing_the_evaluation_loads_nothing_heavy(module):
    heavy = "{'torch', 'verl', 'vllm', 'ray', 'sklearn', 'scipy', 'numpy', 'matplotlib'}"
    code = f"import medical_rl.evaluation.{module}, sys; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
