"""`python -m medical_rl.rewards score`: completions scored offline, by the command a user types."""

import json
import subprocess
import sys

import pytest

from medical_rl.rewards.__main__ import main

LINES = [
    {"response": "<think>a large disc</think> \\boxed{3}", "answer": "3", "kind": "grade"},
    {
        "response": "<think>a disc</think> \\boxed{2}",
        "answer": 3,
        "kind": "grade",
        "id": "mine",
        "note": "kept",
    },
    {"response": "[b]no[/b] idea", "answer": "3", "kind": "grade"},
]


@pytest.fixture
def file(tmp_path):
    def write(lines=LINES, name="completions.jsonl"):
        path = tmp_path / name
        path.write_text(
            "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        )
        return path

    return write


def test_every_line_comes_back_with_its_total_and_terms(file, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert main(["score", str(file()), "--out", str(out), "conf/rewards=vrft_mfrs"]) == 0
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    # MFRS 1, 1/4, 0 and format 1, 1, 0: 0.9 * m + 0.1 * f
    assert [s["total"] for s in scored] == pytest.approx([1.0, 0.325, 0.0])
    assert (
        scored[1]["terms"] == {"mfrs": 0.25, "format": 1.0}
        and scored[1]["note"] == "kept"
        and not scored[1]["right"]
    )
    shown = capsys.readouterr().out
    assert "mfrs" in shown and "final answer right: 1 of 3" in shown and "[b]no[/b] idea" in shown
    assert list(tmp_path.glob(".*")) == [], "nothing half-written is left"


def test_it_is_the_function_that_training_calls(file, tmp_path):
    import asyncio

    from medical_rl.rewards.load import load_mix
    from medical_rl.sample import Sample

    out = tmp_path / "out.jsonl"
    main(["score", str(file()), "--out", str(out), "conf/rewards=vrft_mfrs"])
    mix, _ = load_mix(["conf/rewards=vrft_mfrs"])
    trained = asyncio.run(mix.score(LINES[1]["response"], Sample("1", "s", "?", "grade", "3")))
    assert json.loads(out.read_text().splitlines()[1])["total"] == trained["score"]


def test_settings_of_the_mix_are_overridden_as_in_training(file, tmp_path):
    out = tmp_path / "out.jsonl"
    chosen = ["conf/rewards=vrft_aug", "conf.data.outcome=mfrs", "~conf.rewards.terms.format"]
    assert main(["score", str(file()), "--out", str(out), *chosen]) == 0
    assert json.loads(out.read_text().splitlines()[1])["terms"] == {"outcome": 0.25}


def test_no_torch_is_imported(file):
    code = (
        "import sys; from medical_rl.rewards.__main__ import main\n"
        f"assert main(['score', {str(file())!r}, 'conf/rewards=vrft_mfrs']) == 0\n"
        "print([m for m in ('torch', 'transformers', 'ray', 'vllm', 'verl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    "lines, said",
    [
        (["{not json"], "line 1: not JSON"),
        ([LINES[0], {"response": "x", "kind": "grade"}], "line 2: answer missing"),
        ([{**LINES[0], "kind": "grades"}], "Available: label, choice, yes_no, grade, box"),
        ([{**LINES[0], "answer": "three"}], "cannot be read as a grade"),
        ([{**LINES[0], "kind": "label", "answer": "dog", "choices": ["cat", "cow"]}], "none of the choices"),
        ([{**LINES[0], "size": 56}], r"size is \[height, width\]"),
        (["[1, 2]"], "missing"),
        ([], "no lines"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(file, tmp_path, capsys, lines, said):
    import re

    out = tmp_path / "out.jsonl"
    assert main(["score", str(file(lines)), "--out", str(out)]) == 2
    assert re.search(said, capsys.readouterr().err) and not out.exists()


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["conf/rewards=vrft_mfsr"], "Did you mean 'vrft_mfrs'"),
        (
            ["conf/rewards=vrft_mfrs", "conf.rewards.terms.mfrs.wight=2"],
            "Did you mean conf.rewards.terms.mfrs.weight",
        ),
        (["conf/rewards=medfact_r1"], "medfact_r1_offline"),
        (["+conf.rewards.terms.fact.weight=1"], "no concepts|has none"),
    ],
)
def test_a_mix_that_cannot_work_exits_2_with_one_paragraph(file, capsys, overrides, said):
    import re

    assert main(["score", str(file()), *overrides]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error) and "Traceback" not in error


def test_a_broken_term_is_counted_shown_and_exits_1(file, tmp_path, capsys):
    (tmp_path / "r.py").write_text("def f(response, sample):\n    raise OSError('no licence server')\n")
    out = tmp_path / "out.jsonl"
    chosen = [f"+conf.rewards.terms.mine={{fn: '{tmp_path}/r.py:f', weight: 1}}"]
    assert main(["score", str(file()), "--out", str(out), *chosen]) == 1
    assert json.loads(out.read_text().splitlines()[0])["terms"]["mine"] is None
    assert "no licence server" in capsys.readouterr().out
