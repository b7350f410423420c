"""A leak planted in each kind of split there is (by lesion, study, patient, image, file, given) is found, and none is accused."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from medical_rl.data import parquet
from medical_rl.data.prepare import command, prepare
from medical_rl.images import encode_png

# The table of two raters, as it is published.
COVID = ("dataset", "filename", "Inaccurate labelling", "Score R", "Score D", "Poor quality D", "Poor quality R", "ann_found", "subset", "label", "Normal")  # fmt: skip
SIZES = {"train": 24, "val": 6, "test": 6}
GIVEN = [split for split, n in SIZES.items() for _ in range(n)]
LONG = "A woman of 54 with a dry cough " + " ".join(f"and finding {i}" for i in range(10)) + ": what is it?"


def cells(header, rows):
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def asked(images):
    """RULE's form of a question about each image."""
    return lines({"question": "Is it large? \n<image>", "answer": ("Yes.", "No.")[i % 2], "image": image, "question_id": i, "report": "Phantom."} for i, image in enumerate(images))  # fmt: skip


def by_lesion(put, shown):
    """HAM10000: 40 lesions, 20 of them with two images."""
    images = [(f"HAM_{i % 40}", f"ISIC_{i}", ("nv", "mel")[i % 2]) for i in range(60)]
    for i, (_, image, _) in enumerate(images):
        put(f"{image}.png", shown(i))
    return "ham10000", put("HAM10000_metadata.csv", cells(("lesion_id", "image_id", "dx"), images)).parent, {}


def by_study(put, shown):
    """IU-Xray: 20 studies of two images and a question about each."""
    images = [f"CXR{i // 2 + 1}_IM-{i // 2:04}/{i % 2}.png" for i in range(40)]
    for i, image in enumerate(images):
        put(image, shown(i))
    return "iu_xray", put("q.jsonl", asked(images)).parent, {}


def by_patient(put, shown):
    """MIMIC-CXR in its form only: 20 patients of two studies."""
    images = [f"files/p10/p{10_000_000 + i // 2}/s{50_000_000 + i}/{i:04x}-a.jpg" for i in range(40)]
    for i, image in enumerate(images):
        put(image, shown(i))
    return "mimic_cxr", put("q.jsonl", asked(images)).parent, {}


def by_image(put, shown):
    """OmniMedVQA: 30 images with two questions each."""
    rows = []
    for i in range(60):
        put(name := f"Images/x/{i // 2}.png", shown(i // 2))
        row = {
            "question_id": f"q{i}",
            "question": f"Question {i % 2}?",
            "gt_answer": "CT",
            "image_path": name,
        }
        rows.append(row | {"dataset": "x", "question_type": "t", "option_A": "CT", "option_B": "MRI", "modality_type": "CT"})  # fmt: skip
    return "omnimedvqa", put("QA_information/Open-access/x.json", json.dumps(rows)).parents[2], {}


def by_file(put, shown):
    """Heel: no patients are named, each file is in one split."""
    for i in range(60):
        path = put(f"{('normal', 'heelspur', 'sever')[i % 3]}/{i}.png", shown(i))
    return "heel", path.parents[1], {}


def official(put, shown):
    """MedMNIST: arrays of three splits."""
    arrays, start = {}, 0
    for split, n in SIZES.items():
        pictures = [np.asarray(Image.open(io.BytesIO(shown(start + i))).resize((28, 28))) for i in range(n)]
        arrays |= {
            f"{split}_images": np.stack(pictures),
            f"{split}_labels": np.arange(n, dtype=np.uint8)[:, None] % 2,
        }
        start += n
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return "medmnist", put("pneumoniamnist.npz", buffer.getvalue()), {"allow_altered": True}


def published(put, shown):
    """COVID-19 severity: the column `subset` of its table."""
    rows = [("a", f"{i}.png", "No", i % 7, i % 7, "No", "No", "Yes", split, "COVID-19", "No") for i, split in enumerate(GIVEN)]  # fmt: skip
    for i, row in enumerate(rows):
        put(f"a/{row[1]}", shown(i))
    return "covid_severity", put("scores.csv", cells(COVID, rows)).parent, {}


def users_own(put, shown):
    """A user's own table of 36 patients with two images each, and their splits."""
    rows = [(f"{i}.png", "ab"[i // 2 % 2], f"p{i // 2}", "Which?", GIVEN[i // 2]) for i in range(72)]
    for i, row in enumerate(rows):
        put(row[0], shown(i))
    return "custom", put("mine.csv", cells(("image", "answer", "group", "question", "split"), rows)), {}


def users_drawn(put, shown):
    """The same without its column of splits: drawn by patient."""
    reader, path, params = users_own(put, shown)
    rows = list(csv.reader(path.read_text().splitlines()))
    path.write_text(cells(rows[0][:-1], [row[:-1] for row in rows[1:]]))
    return reader, path, params


# What is planted: (the changed row of train, the changed row of test).
def shared_group(one, other):
    return one, dataclasses.replace(other, group=one.group)


def shared_image(one, other):
    return one, dataclasses.replace(other, images=one.images)


def similar_image(one, other):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(one.images[0])).convert("RGB").save(buffer, format="JPEG", quality=75)
    return one, dataclasses.replace(other, images=(buffer.getvalue(),))


def shared_text(one, other):
    return dataclasses.replace(one, question=LONG), dataclasses.replace(other, question=LONG.upper())


PLANTS = (shared_group, shared_image, similar_image, shared_text)
KINDS = (by_lesion, by_study, by_patient, by_image, by_file, official, published, users_own, users_drawn)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_leak_planted_in_this_kind_of_split_is_found_and_a_clean_one_is_not_accused(
    put, picture, tmp_path, found_in, kind
):
    reader, source, params = kind(put, lambda i: encode_png(picture(i)))
    prompt = command.load_prompt("multiple_choice" if reader == "omnimedvqa" else "class_names")
    data = {"name": reader, "reader": reader, "source": str(source), "params": params}
    prepare.prepare(data, prompt, tmp_path / "out", 0, 1)
    assert found_in(tmp_path / "out", prompt=prompt) == {}
    whole = {split: list(parquet.read_samples(tmp_path / f"out/{split}.parquet")) for split in SIZES}
    assert min(map(len, whole.values())) >= 2
    for plant in PLANTS:
        train, test = plant(whole["train"][0], whole["test"][0])
        for split, changed in (("train", train), ("test", test)):
            parquet.write_split([changed, *whole[split][1:]], tmp_path / f"planted/{split}.parquet", prompt)
        parquet.write_split(whole["val"], tmp_path / "planted/val.parquet", prompt)
        found = found_in(tmp_path / "planted", prompt=prompt)
        level = "warning" if plant is similar_image else "leak"
        # That it is found, as what it is, and that nothing else is said.
        assert [f.level for f in found.pop(plant.__name__)] == [level] and found == {}, plant.__name__
