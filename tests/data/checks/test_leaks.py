"""A leak planted in each way is found between any two splits, a clean set is not accused."""

import dataclasses
import io

import pytest
from PIL import Image

from medical_rl.data import __main__ as command_line
from medical_rl.data.inspect import check as report
from medical_rl.data.inspect import check as run


def test_a_clean_set_is_not_accused(folder, clean, prompt):
    result = run.check_folder(folder(clean), prompt=prompt)
    assert [f.check for f in result.findings if f.level != "note"] == [] and result.exit_code == 0
    assert "passed" in report.report_text(result)


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


VIGNETTE = (
    "A woman of 54 with a dry cough " + " ".join(f"and finding {i}" for i in range(10)) + ": what is it?"
)


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
def test_a_planted_leak_is_found_between_any_two_splits(folder, clean, plant, check, one, other, found_in):
    if plant is long_question:
        clean[one][2] = dataclasses.replace(clean[one][2], question=VIGNETTE)
    clean[other][3] = plant(clean[one][2], clean[other][3])
    path = folder(clean)
    found = found_in(path)
    (finding,) = found.pop(check)
    assert found == {} and finding.level == "leak" and f"in both {one} and {other}" in finding.message
    assert run.check_folder(path).exit_code == 1
    accepted = run.check_folder(path, accept=[check])
    assert accepted.exit_code == 0 and [f.level for f in accepted.findings if f.check == check] == ["warning"]


def test_questions_without_images_are_compared_whatever_their_length(folder, clean, found_in):
    bare = {
        split: [dataclasses.replace(s, images=(), question=f"Is {s.id} so?") for s in rows]
        for split, rows in clean.items()
    }
    assert found_in(folder(bare)) == {}
    bare["test"][0] = dataclasses.replace(bare["test"][0], question=bare["train"][0].question)
    assert list(found_in(folder(bare))) == ["shared_text"]


def test_a_question_that_many_rows_ask_is_no_leak(folder, clean, found_in):
    asked = {
        split: [dataclasses.replace(s, question=VIGNETTE) for s in rows] for split, rows in clean.items()
    }
    assert found_in(folder(asked)) == {}


def test_warm_start_and_train_may_share(folder, clean, found_in):
    clean["warm_start"] = [dataclasses.replace(s, split="warm_start") for s in clean["train"][:4]]
    assert found_in(folder(clean)) == {}
    clean["warm_start"].append(dataclasses.replace(clean["test"][0], id="w", group="g"))
    assert list(found_in(folder(clean))) == ["shared_image"]


def altered(change, pixels):
    image = Image.fromarray(pixels)
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
def test_an_altered_copy_is_a_warning_with_a_picture(folder, clean, change, capsys, picture, found_in):
    clean["test"][3] = dataclasses.replace(clean["test"][3], images=(altered(change, picture(2)),))
    path = folder(clean)
    found = found_in(path)
    assert list(found) == ["similar_image"] and found["similar_image"][0].level == "warning"
    assert command_line.main(["check", str(path), "--pictures", str(path / "look_alikes.html")]) == 0
    page = (path / "look_alikes.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 and "train/2 | test/3" in page
    assert "1 pairs that look alike" in capsys.readouterr().out
