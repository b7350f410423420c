"""The README's section "Your own data", every command to the end on the real engine."""

import json

import pytest

from tests import own_data

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
ROWS = 600


def test_a_table_of_ones_own_ends_in_a_trained_model_that_answers(accept):
    """Resumable: a run that is done already takes seconds, since the commands themselves do nothing twice."""
    folder = accept.runs / "own_data"
    if not (folder / "scans/cases.csv").exists():
        own_data.write_table(folder, ROWS)
    outputs = []
    for command in own_data.blocks()[1]:
        done = own_data.run(command, folder, timeout=3000)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        outputs.append(done.stdout)
    results = accept.results(folder / "runs/scans")
    card = json.loads((folder / "prepared/scans/card.json").read_text())
    assert list(results) == ["base", "warm_start", "rl"]
    for entry in results.values():
        assert entry["dataset"] == "scans" and entry["n"] == card["splits"]["test"]["rows"]
    # Three shapes in equal parts: a trained model that knows none is right in a third.
    trained = max(results[name]["metrics"]["accuracy"] for name in ("warm_start", "rl"))
    assert trained > results["rl"]["metrics"]["majority_rate"] + 0.1
    # The last command asks the trained model about the first picture.
    assert "answer:" in outputs[-1] and "Not for clinical use." in outputs[-1]


def test_a_set_that_is_only_tested_on_is_evaluated(accept):
    """No training rows are prepared, and the untrained model is scored on all test rows."""
    sizes = "conf.data.params.sizes={warm_start: 16, train: 20, val: 5, test: 40}"
    folder = accept.train("only_tested", sizes, "conf.data.only=[test]", "conf.stages=[prepare,evaluate]")
    results = accept.results(folder)
    assert list(results) == ["base"] and results["base"]["n"] == 40
    assert [path.name for path in (folder / "data").glob("*.parquet")] == ["test.parquet"]
