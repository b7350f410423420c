"""A calibration as table, Markdown, JSON and picture; and that none of it needs the engine."""

import json
import subprocess
import sys

import pytest
from PIL import Image
from rich.console import Console

from medical_rl.errors import UserError
from medical_rl.pseudo_label.calibration.calibrate import NothingKept, calibrate
from medical_rl.pseudo_label.calibration.report import calibration_record, draw, terminal_table, write_plot
from medical_rl.pseudo_label.calibration.report import page as markdown


@pytest.fixture
def found(rule, wrong):
    """k = 1 is kept and chosen, 2 fails, 4 is not tested."""
    return calibrate(
        wrong(200, {1: 28, 2: 31, 4: 20}), rule(method="fixed_sequence"), studies=200, majority_rate=0.86
    )


@pytest.fixture
def stopped(rule, wrong):
    with pytest.raises(NothingKept) as caught:
        calibrate(wrong(10_000, {1: 2000, 2: 10_000, 4: 1990}), rule())
    return caught.value.outcome


def text(table):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_the_table_fits_80_columns_and_marks_the_chosen_k(found, stopped):
    shown = text(terminal_table(found))
    assert max(map(len, shown.splitlines())) <= 80 and "…" not in shown
    assert (
        "1*" in shown
        and "0.140 [0.099, 0.195]" in shown
        and "not tested" in shown
        and "guarantee: yes" in shown
    )
    shown = text(terminal_table(stopped))
    assert "…" not in shown and "Chosen: none; guarantee: no." in shown and "*" not in shown


def test_the_page_says_what_is_guaranteed_and_what_always_yes_would_give(found):
    page = markdown(found, phantom=True)
    assert "| 1 | 200 | 28 | 0.140 [0.099, 0.195] |" in page and "| 0.1 | not tested |" in page
    assert found.sentence in page and "Phantoms" in page and page.endswith("Not for clinical use.\n")
    # 86 % of the answers are the same, so always giving it has risk 0.14 <= alpha
    assert "a risk of 0.140 on them, which is no more than alpha" in page
    assert "Phantoms" not in markdown(found)


def test_the_dict_is_json_and_loses_nothing(found, stopped):
    told = json.loads(json.dumps(calibration_record(found)))
    assert (
        told["chosen"] == 1
        and told["kept"] == [1]
        and told["guarantee"] is True
        and told["majority_rate"] == 0.86
    )
    first = told["candidates"][0]
    assert (first["k"], first["n"], first["errors"], first["kept"], first["tested"]) == (
        1,
        200,
        28,
        True,
        True,
    )
    assert first["p"] == found.candidates[0].p and first["interval"] == pytest.approx(
        [0.0987, 0.1949], abs=1e-4
    )
    assert [c["tested"] for c in told["candidates"]] == [True, True, False]
    assert json.loads(json.dumps(calibration_record(stopped)))["chosen"] is None


def legend(axes):
    """(texts, lines) of an axes' legend, the lines as they are drawn."""
    lines, labels = axes.get_legend_handles_labels()
    assert labels == [text.get_text() for text in axes.get_legend().get_texts()]
    return axes.get_legend().get_texts(), lines


def test_the_picture_has_the_risks_alpha_and_the_threshold(found):
    risks, ps = draw(found).axes
    heights = [line.get_ydata()[0] for line in risks.lines if line.get_marker() == "o"]
    assert heights == [0.14, 0.155, 0.1]
    filled = [
        line.get_markerfacecolor() == line.get_color() for line in risks.lines if line.get_marker() == "o"
    ]
    assert filled == [True, False, False]
    lines = {label.get_text(): line.get_ydata()[0] for label, line in zip(*legend(risks), strict=True)}
    assert lines == {"alpha = 0.2": 0.2, "always the most frequent answer: 0.140": pytest.approx(0.14)}
    assert ps.get_yscale() == "log" and legend(ps)[1][0].get_ydata()[0] == 0.1
    assert [label.get_text() for label in risks.get_xticklabels()] == ["1 *", "2", "4"]


def test_the_picture_is_written_whole_whatever_the_figures(found, stopped, tmp_path, rule, wrong):
    perfect = calibrate(
        wrong(5000, {0: 0}), rule(candidates=[0])
    )  # p underflows far below what a log axis shows
    for name, one in (("found", found), ("stopped", stopped), ("perfect", perfect)):
        out = write_plot(one, tmp_path / "figures" / f"{name}.png", phantom=True)
        assert Image.open(out).format == "PNG"
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "found.png",
        "perfect.png",
        "stopped.png",
    ]
    with pytest.raises(UserError, match="figure.gif"):
        write_plot(found, tmp_path / "figure.gif")


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from medical_rl.pseudo_label import parts; from medical_rl.pseudo_label.calibration import calibrate, report; "
        "print([m for m in ('torch', 'ray', 'vllm', 'verl', 'transformers', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
