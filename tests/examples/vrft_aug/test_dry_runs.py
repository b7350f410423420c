"""The scripts themselves, as a dry run at the paper's scale: every data set is prepared and every gold answer scored."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("vrft_aug_jobs", Path(__file__).with_name("conftest.py"))
_here = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_here)

# Forty jobs, each with a data set of its own: minutes.
pytestmark = [pytest.mark.accept, pytest.mark.timeout(1800)]
# script: (what makes it shorter, its jobs); table2's one method has all eight MedMNIST sets, the others COVID, HAM10000 and Heel
RUNS = {
    "table1": ({"DATA": "pneumoniamnist", "SHOTS": "10"}, 3 + 2),
    "table2": ({"METHODS": "recite"}, 8),
    "table3": ({}, 12),
    "figure3": ({"M": "20,40"}, 2 * (2 + 2 + 2)),
    "figure4": ({}, 3),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_job_of_a_script_dry_runs_at_the_papers_scale(sources, model, name):
    import sys

    shorter, jobs = RUNS[name]
    said = _here.run_script(
        name, f"conf.model.path={model}", "conf.data.allow_altered=true", "conf.data.num_proc=1", "conf.dry_run=true",
        SCALE="paper", PYTHON=sys.executable, PYTHONPATH=str(_here.ROOT), **sources, **shorter,
    )  # fmt: skip
    assert said.count("dry run: everything a run needs is checked") == jobs
    assert said.count("right by their own reward") == jobs and "✗" not in said
    if name == "figure3":
        assert (
            said.count("further test sets: ham10000 test") == said.count("further test sets: heel test") == 4
        )
