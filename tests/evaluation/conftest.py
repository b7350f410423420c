"""Made-up run folders: only what the evaluation's commands read, with figures that no model gave."""

import json

import pytest
import yaml

from medical_rl.evaluation.results import entry, write_results


def _rows(verdicts, groups=()):
    """One record a verdict: right answers are "a", wrong ones "b", the gold answer is always "a" (or "c" now and then)."""
    rows = []
    for i, right in enumerate(verdicts):
        gold = "c" if i % 3 == 0 else "a"
        named = {by: names[i % len(names)] for by, names in dict(groups).items()}
        rows.append({"id": f"row {i}", "kind": "label", "gold": gold, "pred": gold if right else "b", "choices": ["a", "b", "c"],
                     "response": "", "correct": bool(right), "groups": named})  # fmt: skip
    return rows


def _nested(settings):
    """{"a.b": 1} as {"a": {"b": 1}}."""
    found = {}
    for name, value in settings.items():
        *path, last = name.split(".")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


@pytest.fixture
def records():
    """`_rows`: verdicts (1 right, 0 wrong) and {"modality": names that rows take in turn} to records."""
    return _rows


@pytest.fixture
def made_up(tmp_path):
    """Makes a run folder: `said` is {(model, round): verdicts} on its own rows, `further` the same on other sets."""

    def make(name, settings=None, said=None, groups=None, further=None, phantom=True, metrics=()):
        run = tmp_path / name
        (run / "data").mkdir(parents=True)
        base = {
            "conf.recipe": "medgr2",
            "conf.seed": 1,
            "conf.run_dir": str(run),
            "conf.data.name": "made_up",
        }
        base |= {
            "data.seed": (settings or {}).get("conf.seed", 1),
            "trainer.default_local_dir": f"{run}/checkpoints",
        }
        (run / "config.yaml").write_text(yaml.safe_dump(_nested(base | (settings or {}))))
        (run / "manifest.json").write_text(
            json.dumps({"stages": {"prepare": {"status": "done"}, "rl": {"status": "failed"}}})
        )
        (run / "data" / "card.json").write_text(
            json.dumps({"name": "made_up", "about": {"phantom": phantom}, "splits": {}, "notes": []})
        )
        entries = []
        for data, of in {"made_up": said or {}, **(further or {})}.items():
            for (model, round), verdicts in of.items():
                rows = _rows(verdicts, groups or {})
                entries.append(entry(model, data, "test", rows, round))
                folder = run / "predictions" / ("" if data == "made_up" else data)
                folder.mkdir(parents=True, exist_ok=True)
                file = model if round is None else f"round_{round}.{model}"
                (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if entries:
            write_results(run, "medgr2", "tiny", base["conf.seed"], entries)
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
        return run

    return make
