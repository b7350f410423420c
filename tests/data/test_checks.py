"""The checks of a prepared folder: a leak planted in each way is found, a clean set is not accused."""

import dataclasses
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medical_rl.data import __main__ as command_line
from medical_rl.data import command, parquet, prepare
from medical_rl.data.checks import report, run
from medical_rl.data.checks.finding import CHECKS, Finding
from medical_rl.data.images import encode_png
from medical_rl.sample import Sample

PROMPT = command.load_prompt("class_names")
SPLITS = ("train", "val", "test")


def picture(seed, size=64):
    """A smooth random picture, as different from another as two photographs."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def sample(name, split, seed, **changes):
    base = {
        "id": f"{split}/{name}",
        "source": "demo",
        "question": "What does it show?",
        "kind": "label",
        "answer": "ab"[seed % 2],
        "choices": ("a", "b"),
        "images": (encode_png(picture(seed)),),
        "group": f"patient {seed}",
        "split": split,
    }
    return Sample(**{**base, **changes})


@pytest.fixture
def clean():
    """{split: rows} that share nothing: 20, 8 and 8 patients with a picture each."""
    sizes, start, found = {"train": 20, "val": 8, "test": 8}, 0, {}
    for split, n in sizes.items():
        found[split] = [sample(i, split, start + i) for i in range(n)]
        start += n
    return found


@pytest.fixture
def folder(tmp_path):
    """A function that writes {split: rows} as prepared files, with a card that names the prompt only."""

    def make(rows):
        for split, samples in rows.items():
            parquet.write_split(samples, tmp_path / "set" / f"{split}.parquet", PROMPT)
        return tmp_path / "set"

    return make


def found_in(folder, **options):
    """{check: [findings that are no notes]}."""
    found = {}
    for finding in run.check(folder, **options).findings:
        if finding.level != "note":
            found.setdefault(finding.check, []).append(finding)
    return found


def test_a_clean_set_is_not_accused(folder, clean):
    result = run.check(folder(clean), prompt=PROMPT)
    assert [f.check for f in result.findings if f.level != "note"] == [] and result.exit_code == 0
    assert "passed" in report.text(result)


# Each plants into `test` what stands in `train` (or, for pair (a, b), into b what stands in a).
def group(one, other):
    return dataclasses.replace(other, group=one.group)


def same_id(one, other):
    return dataclasses.replace(other, id=one.id)


def same_bytes(one, other):
    return dataclasses.replace(other, images=one.images)


def encoded_again(one, other):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(one.images[0])).save(buffer, format="BMP")
    return dataclasses.replace(other, images=(buffer.getvalue(),))


def second_image(one, other):
    return dataclasses.replace(other, images=(*other.images, one.images[0]))


VIGNETTE = "A woman of 54 with a dry cough " + " ".join(f"and finding {i}" for i in range(10)) + ": what is it?"


def long_question(one, other):
    return dataclasses.replace(other, question=VIGNETTE.upper())


LEAKS = [
    (group, "shared_group"),
    (same_id, "shared_id"),
    (same_bytes, "shared_image"),
    (encoded_again, "shared_image"),
    (second_image, "shared_image"),
    (long_question, "shared_text"),
]
PAIRS = [("train", "val"), ("train", "test"), ("val", "test")]


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize(("plant", "check"), LEAKS, ids=[plant.__name__ for plant, _ in LEAKS])
def test_a_planted_leak_is_found_between_any_two_splits(folder, clean, plant, check, one, other):
    if plant is long_question:
        clean[one][2] = dataclasses.replace(clean[one][2], question=VIGNETTE)
    clean[other][3] = plant(clean[one][2], clean[other][3])
    path = folder(clean)
    found = found_in(path)
    (finding,) = found.pop(check)
    assert found == {} and finding.level == "leak" and f"in both {one} and {other}" in finding.message
    assert run.check(path).exit_code == 1
    accepted = run.check(path, accept=[check])
    assert accepted.exit_code == 0 and [f.level for f in accepted.findings if f.check == check] == ["warning"]


def test_questions_without_images_are_compared_whatever_their_length(folder, clean):
    bare = {
        split: [dataclasses.replace(s, images=(), question=f"Is {s.id} so?") for s in rows]
        for split, rows in clean.items()
    }
    assert found_in(folder(bare)) == {}
    bare["test"][0] = dataclasses.replace(bare["test"][0], question=bare["train"][0].question)
    assert list(found_in(folder(bare))) == ["shared_text"]


def test_a_question_that_many_rows_ask_is_no_leak(folder, clean):
    asked = {split: [dataclasses.replace(s, question=VIGNETTE) for s in rows] for split, rows in clean.items()}
    assert found_in(folder(asked)) == {}


def test_warm_start_and_train_may_share(folder, clean):
    clean["warm_start"] = [dataclasses.replace(s, split="warm_start") for s in clean["train"][:4]]
    assert found_in(folder(clean)) == {}
    clean["warm_start"].append(dataclasses.replace(clean["test"][0], id="w", group="g"))
    assert list(found_in(folder(clean))) == ["shared_image"]


def altered(change):
    image = Image.fromarray(picture(2))
    buffer = io.BytesIO()
    change(image).save(
        buffer, format="JPEG" if change is jpeg else "PNG", **({"quality": 75} if change is jpeg else {})
    )
    return buffer.getvalue()


def jpeg(image):
    return image


def larger(image):
    return image.resize((150, 150), Image.Resampling.BICUBIC)


def less_contrast(image):
    return image.point(lambda value: int(30 + 0.8 * value))


@pytest.mark.parametrize("change", [jpeg, larger, less_contrast])
def test_an_altered_copy_is_a_warning_with_a_picture(folder, clean, change, capsys):
    clean["test"][3] = dataclasses.replace(clean["test"][3], images=(altered(change),))
    path = folder(clean)
    found = found_in(path)
    assert list(found) == ["similar_image"] and found["similar_image"][0].level == "warning"
    assert command_line.main(["check", str(path), "--pictures", str(path / "look_alikes.html")]) == 0
    page = (path / "look_alikes.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 and "train/2 | test/3" in page
    assert "1 pairs that look alike" in capsys.readouterr().out


# --- rows ---------------------------------------------------------------------------------------


def test_a_truncated_image_is_found_with_its_row(folder, clean):
    noise = encode_png(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    clean["val"][1] = dataclasses.replace(clean["val"][1], images=(noise[:-300],))
    (finding,) = found_in(folder(clean)).pop("image")
    assert finding.level == "error" and "val/1, image 0" in finding.examples[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "grade", "answer": "high", "choices": ()},
        {"answer": "c"},
        {"kind": "yes_no", "answer": "perhaps", "choices": ("yes", "no")},
        {"kind": "box", "answer": "none", "choices": ()},
        {"kind": "box", "answer": "[5, 5, 70, 20]", "choices": ()},
        {"answer": ""},
    ],
)
def test_a_gold_answer_that_its_reward_does_not_take_is_an_error(folder, clean, changes):
    clean["train"][4] = dataclasses.replace(clean["train"][4], **changes)
    found = found_in(folder(clean), prompt=PROMPT)
    (finding,) = found.pop("gold")
    assert finding.level == "error" and "train/4" in finding.examples[0] and not found


def test_a_prompt_whose_target_hides_the_answer_is_found(folder, clean):
    found = found_in(folder(clean), prompt={**PROMPT, "target": "It is {{ answer }}."})
    assert [f.message for f in found["gold"]] == [
        f"{split}: {n} rows: the gold answer does not score 1.0 under accuracy."
        for split, n in (("train", 20), ("val", 8), ("test", 8))
    ]


def test_duplicates_within_a_split(folder, clean):
    first = clean["train"][0]
    clean["train"] += [
        dataclasses.replace(first, meta={"copy": 1}),
        dataclasses.replace(first, id="again", group="g"),
        dataclasses.replace(first, id="otherwise", group="h", answer="b"),
        dataclasses.replace(clean["train"][1], question="Another question?"),
    ]
    findings = found_in(folder(clean))["duplicate"]
    told = {example: finding.level for finding in findings for example in finding.examples}
    assert told == {
        "again repeats train/0": "warning",
        "otherwise gives another answer to the question of train/0": "warning",
        "the id train/1 is in it twice": "error",
    }


def test_an_answer_that_train_never_shows_is_a_warning(folder, clean):
    rows = [sample(f"x{i}", "test", 100 + i, answer="c", choices=("a", "b", "c")) for i in range(8)]
    found = found_in(folder({**clean, "test": clean["test"] + rows}))
    assert [f.message for f in found["labels"]] == ["test has 1 answers that train never shows."]


def test_files_of_another_program_are_told_and_not_crashed_on(folder, clean):
    path = folder(clean)
    table = pq.read_table(path / "val.parquet")
    broken = table.set_column(table.schema.get_field_index("sample"), "sample", pa.array(["{}"] * 8))
    pq.write_table(broken, path / "val.parquet")
    pq.write_table(table.drop_columns(["problem"]), path / "test.parquet")
    found = found_in(path)
    assert "Row 0 of val.parquet cannot be read back" in found["row"][0].message
    assert "lacks the columns problem" in found["schema"][0].message


def test_a_prompt_with_another_number_of_images_is_found(folder, clean):
    path = folder(clean)
    rows = pq.read_table(path / "val.parquet").to_pylist()
    rows[5]["prompt"][-1]["content"] += "<image>"
    pq.write_table(pa.Table.from_pylist(rows, parquet.SCHEMA), path / "val.parquet")
    assert "Row 5" in found_in(path)["schema"][0].message


def test_a_file_that_is_not_the_cards_is_told(config, tmp_path):
    prepare.prepare(config(), PROMPT, tmp_path / "out", 0, 1)
    assert "schema" not in found_in(tmp_path / "out")
    (tmp_path / "out/val.parquet").write_bytes((tmp_path / "out/test.parquet").read_bytes())
    assert "val.parquet is not the file that card.json tells of" in found_in(tmp_path / "out")["schema"][0].message


# --- the command --------------------------------------------------------------------------------


def test_the_report_can_be_read(folder, clean, capsys):
    clean["test"][3] = same_bytes(clean["train"][2], clean["test"][3])
    assert command_line.main(["check", str(folder(clean))]) == 1
    out = capsys.readouterr().out
    assert "train: 20 rows (20 label), 20 groups, 20 different images" in out
    assert "      10   50.0%  'a'" in out
    assert (
        "LEAK     shared_image: 1 images, pixel for pixel, are in both train and test.\n           train/2 and test/3"
        in out
    )
    assert "FAILED: 1 leak" in out and "--accept shared_image" in out


def test_nothing_to_check_exits_2(tmp_path, capsys):
    assert command_line.main(["check", str(tmp_path / "gone")]) == 2
    assert command_line.main(["check", str(tmp_path)]) == 2
    assert command_line.main(["check", str(tmp_path), "--accept", "share_image"]) == 2
    err = capsys.readouterr().err
    assert "There is no folder" in err and "holds no parquet files" in err and "Did you mean 'shared_image'" in err


def test_a_finding_has_a_known_check_and_level():
    with pytest.raises(ValueError, match="no check"):
        Finding("chekc", "leak", "?")
    assert all(isinstance(text, str) for text in CHECKS.values())


# --- real and drawn images ----------------------------------------------------------------------


@pytest.mark.parametrize("task", ["grading", "classification", "localisation"])
def test_phantoms_are_not_accused(task, tmp_path):
    sizes = {"warm_start": 100, "train": 400, "val": 50, "test": 100}
    data = {"reader": "phantoms", "source": None, "params": {"task": task, "sizes": sizes}}
    prepare.prepare(data, PROMPT, tmp_path / "out", 0, 1)
    assert found_in(tmp_path / "out", prompt=PROMPT) == {}


def test_the_real_pneumoniamnist_shares_8_images_and_no_other_xray_is_accused(pneumonia, tmp_path):
    data = {"reader": "medmnist", "source": str(pneumonia), "params": {"allow_altered": True}}
    prepare.prepare(data, PROMPT, tmp_path / "out", 0, 1)
    found = found_in(tmp_path / "out", prompt=PROMPT)
    # 8, 17 and 3 counted independently with numpy (rows equal byte for byte).
    assert found["shared_image"][0].message == "8 images, pixel for pixel, are in both train and val."
    assert [f.message for f in found["duplicate"]] == ["train: 17 rows: a repetition.", "test: 3 rows: a repetition."]
    assert set(found) == {"shared_image", "duplicate"}
    assert json.loads((tmp_path / "out/card.json").read_text())["warnings"]
