"""What the scripts of examples/vrft_aug ask for, job by job, and every data set they name, few rows of it in its real shape."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ("table1", "table2", "table3", "figure3", "figure4")
# flag: (channels, classes), as the official files have them
MEDMNIST = {
    "breastmnist": (1, 2), "pneumoniamnist": (1, 2), "octmnist": (1, 4), "retinamnist": (3, 5),
    "dermamnist": (3, 7), "tissuemnist": (1, 8), "bloodmnist": (3, 8), "organamnist": (1, 11),
}  # fmt: skip
ROWS = {"train": 44, "val": 22, "test": 22}
# Prints what it was called with instead of calling it: a line a command, arguments cut at NUL.
RECORDER = "#!{python}\nimport sys\nprint('\\0'.join(sys.argv[1:]))\n"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """{script: [arguments of each command of medical_rl.main]} as the scripts would call it at a scale."""
    recorder = tmp_path_factory.mktemp("recorder") / "python"
    recorder.write_text(RECORDER.format(python=sys.executable))
    recorder.chmod(0o755)

    def record(scale: str, *arguments: str, **environment) -> dict[str, list[list[str]]]:
        found = {}
        for name in SCRIPTS:
            text = run_script(name, *arguments, SCALE=scale, PYTHON=str(recorder), **environment)
            calls = [line.split("\0") for line in text.splitlines()]
            found[name] = [call[2:] for call in calls if call[:2] == ["-m", "medical_rl.main"]]
        return found

    return record


def run_script(name: str, *arguments: str, timeout: float = 900, **environment) -> str:
    """What a script of the example prints; it must end well."""
    done = subprocess.run(
        [str(ROOT / "examples" / "vrft_aug" / f"{name}.sh"), *arguments],
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> dict[str, str]:
    """The environment under which the scripts find their data: every set, few rows, columns and shapes as published."""
    home = tmp_path_factory.mktemp("sources")
    medmnist(home / "medmnist")
    ham10000(home / "ham10000")
    heel(home / "heel")
    covid_severity(home / "covid")
    return {"MEDMNIST": str(home / "medmnist"), "HAM10000": str(home / "ham10000"), "HEEL": str(home / "heel"),
            "HEEL_BOXES": str(home / "heel" / "boxes.csv"), "COVID": str(home / "covid")}  # fmt: skip


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """A folder that looks like Qwen2.5-VL's to a dry run."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"none")
    return str(folder)


def medmnist(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for flag, (channels, classes) in MEDMNIST.items():
        arrays = {}
        for split, n in ROWS.items():
            shape = (n, 28, 28) if channels == 1 else (n, 28, 28, 3)
            arrays[f"{split}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
            arrays[f"{split}_labels"] = (np.arange(n, dtype=np.uint8) % classes)[:, None]
        np.savez(folder / f"{flag}.npz", **arrays)


def picture(path: Path, seed: int, height: int, width: int, grey: bool = False) -> None:
    """A picture of smooth noise: no two alike, and small on disk."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8) if grey else (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path)


def ham10000(folder: Path) -> None:
    """70 lesions with one image of 450 x 600 each, ten a class; the Dataverse table of eight columns; masks of 0 and 255."""
    columns = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
    lines = []
    for i in range(70):
        image, dx = f"ISIC_{i:07}", ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df")[i % 7]
        lines.append(f"HAM_{i:07},{image},{dx},histo,{('80', '80.0', '')[i % 3]},male,back,rosendahl\n")
        picture(folder / f"HAM10000_images_part_{1 + i % 2}" / f"{image}.jpg", i, 450, 600)
        mask = np.zeros((450, 600), np.uint8)
        mask[100 : 200 + i, 150 : 350 + i] = 255
        buffer = io.BytesIO()
        Image.fromarray(mask).save(buffer, format="PNG")
        path = folder / "HAM10000_segmentations_lesion_tschandl" / f"{image}_segmentation.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(buffer.getvalue())
    (folder / "HAM10000_metadata").write_text(columns + "".join(lines))


def heel(folder: Path) -> None:
    """The three class folders, grey X-rays of different sizes, and a user's own boxes as a CSV."""
    lines = ["image,label,x1,y1,x2,y2"]
    for number, name in enumerate(("normal", "heelspur", "sever")):
        for i in range(30):
            picture(folder / name / f"{name}{i}.jpg", 1000 * number + i, 300 + i, 400 - i, grey=True)
            if name != "normal":
                lines.append(f"{name}/{name}{i}.jpg,,20,30,{120 + i},{140 + i}")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")


def covid_severity(folder: Path) -> None:
    """The table of ten columns with two raters (D missing now and then), and names that end in .png.bmp."""
    columns = "dataset,filename,Inaccurate labelling,Score R,Score D,Poor quality D,Poor quality R,ann_found,subset,label,Normal\n"
    lines = []
    for i in range(63):
        name, second = f"case{i}.png.bmp" if i % 9 == 0 else f"case{i}.png", "" if i % 5 == 0 else str(i % 7)
        subset = ("train", "train", "val", "test")[i // 7 % 4]
        lines.append(f"set_{i % 3},{name},No,{i % 7},{second},No,No,Yes,{subset},COVID-19,No\n")
        picture(folder / f"set_{i % 3}" / name.removesuffix(".bmp"), 5000 + i, 256, 256, grey=True)
    (folder / "scores.csv").write_text(columns + "".join(lines))
