"""The sheet of boxes: which images, whose boxes, and the IoU that the metrics have."""

import json

import pytest
from PIL import Image

from medical_rl.errors import UserError
from medical_rl.evaluation.__main__ import main
from medical_rl.evaluation.figures import boxes
from medical_rl.tiny import phantoms

N = 30


@pytest.fixture
def rows(tmp_path):
    """A prepared test split of phantom boxes: (its file, its samples)."""
    from medical_rl.data.parquet import write_split

    samples = list(phantoms.rows(split="test", task="localisation", sizes={"test": N}))
    write_split(samples, tmp_path / "test.parquet", {"template": "{{ question }}"})
    return tmp_path / "test.parquet", samples


def said(samples, boxes_of):
    gold = [json.dumps([json.loads(s.answer)]) for s in samples]
    return [
        {"id": s.id, "kind": "box", "gold": g, "pred": boxes_of(json.loads(s.answer)), "choices": [], "response": "", "correct": False}
        for s, g in zip(samples, gold, strict=True)
    ]  # fmt: skip


def test_the_iou_of_each_cell_is_that_of_the_metrics(rows):
    path, samples = rows
    half = said(samples, lambda b: json.dumps([[b[0], b[1], b[2], (b[1] + b[3]) / 2]]))
    found = boxes.box_sheet(
        path,
        {"rl": said(samples, lambda b: json.dumps([b])), "half": half, "none": said(samples, lambda b: None)},
    )
    assert len(found) == 12
    for one in found:
        # the whole box, its upper half, and no box at all
        assert (
            one.predicted["rl"][1] == 1.0
            and one.predicted["half"][1] == pytest.approx(0.5)
            and one.predicted["none"] == ([], 0.0)
        )
        assert one.size == (56, 56)
    assert boxes.overlap_notes({"half": half}) == ["half: mean IoU 0.500, hit rate 0.000, n = 30."]
    header, body = boxes.table(found)
    assert header == ["Image", "rl", "half", "none"] and body[0][1:] == ["1.000", "0.500", "0.000"]


def test_images_are_drawn_by_lot_the_same_for_the_same_seed_and_only_where_every_model_answered(rows):
    path, samples = rows
    whole = said(samples, lambda b: json.dumps([b]))
    ids = [[one.id for one in boxes.box_sheet(path, {"rl": whole}, 5, seed)] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2] and len(ids[0]) == 5
    some = boxes.box_sheet(path, {"rl": whole, "base": whole[:3]}, 12)
    assert [one.id for one in some] == [s.id for s in samples[:3]]


def test_classes_have_no_sheet(rows):
    records = [{"id": "1", "kind": "label", "gold": "a", "pred": "a", "correct": True}]
    with pytest.raises(UserError, match="needs predictions of boxes"):
        boxes.box_sheet(rows[0], {"rl": records})
    with pytest.raises(UserError, match="nothing to draw"):
        boxes.draw([])


def test_the_picture_has_both_boxes_in_their_places(rows, tmp_path):
    """Of a dark picture the true box is drawn yellow where it is, and not where it is not."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path, samples = rows
    found = boxes.box_sheet(path, {"rl": said(samples, lambda b: None)}, 1)
    figure = boxes.draw(found)
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[0]
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    x1, y1, x2, y2 = found[0].gold[0]
    column, row = axis.transData.transform((x1, (y1 + y2) / 2))
    around = pixels[-int(row) - 3 : -int(row) + 3, int(column) - 3 : int(column) + 4].reshape(-1, 3)
    yellow = (around[:, 0] > 180) & (around[:, 1] > 180) & (around[:, 2] < 130)
    assert yellow.any()


@pytest.mark.parametrize("suffix", ["png", "html"])
def test_the_command_draws_a_runs_boxes_and_says_what_they_are(rows, made_up, tmp_path, capsys, suffix):
    path, samples = rows
    run = made_up("run", {"conf.evaluation.split": "test"})
    (run / "data" / "test.parquet").write_bytes(path.read_bytes())
    (run / "predictions").mkdir()
    for name in ("base", "localize_rl"):
        lines = said(samples, lambda b: json.dumps([b]))
        (run / "predictions" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / f"boxes.{suffix}"
    assert main(["boxes", str(run), "--out", str(out), "--rows", "4"]) == 0
    told = capsys.readouterr().out
    assert "localize_rl: mean IoU 1.000, hit rate 0.000, n = 30." in told and "Phantoms" in told
    if suffix == "png":
        assert Image.open(out).size[0] > 300
    else:
        assert (
            "Not for clinical use." in out.read_text()
            and told.splitlines()[0] == "| Image | base | localize_rl |"
        )
