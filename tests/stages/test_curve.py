"""The training curve that every stage of reinforcement leaves in the run folder."""

import json

from omegaconf import OmegaConf
from PIL import Image

from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.rl import draw_curve

CONFIG = OmegaConf.create(
    {
        "conf": {
            "recipe": "vrft_aug",
            "seed": 3,
            "data": {"name": "phantom_grading"},
            "validation": {"metric": "acc"},
        }
    }
)


def logged(folder, stage, totals):
    with folder.metrics_file.open("a") as file:
        for step, total in enumerate(totals, 1):
            file.write(json.dumps({"stage": stage, "step": step, "reward/total": total}) + "\n")


def test_the_picture_is_there_and_is_drawn_anew_by_each_round(tmp_path):
    folder = RunFolder(tmp_path)
    logged(folder, "warm_start", [])
    logged(folder, "round_1/rl", [0.1, 0.5])
    first = draw_curve(CONFIG, folder)
    assert first == tmp_path / "curve.png" and Image.open(first).format == "PNG"
    before = first.read_bytes()
    logged(folder, "round_2/rl", [0.6, 0.9])
    assert draw_curve(CONFIG, folder).read_bytes() != before
    assert [p.name for p in tmp_path.iterdir() if "curve" in p.name] == ["curve.png"]
