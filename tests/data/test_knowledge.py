import re

import pytest
import yaml

from medical_rl.config import compose
from medical_rl.data import knowledge
from medical_rl.data.prepare import readers
from medical_rl.data.prompts import render
from medical_rl.data_preprocess import medmnist
from medical_rl.errors import UserError
from medical_rl.parsing.response import normalise

PA_P = "{{ question }}{% if knowledge %} {{ knowledge }}.{% endif %}"
SHAPES = {"name": "shapes", "attributes": {"a": "round", "b": "square", "spare": "unused"}}


def classes():
    """{knowledge: the classes its dataset asks about}."""
    heel, covid = readers.load_reader("heel"), readers.load_reader("covid_severity")
    ham = list(readers.load_reader("ham10000").CLASSES.values())
    flags = ("pneumonia", "breast", "oct", "retina", "derma", "tissue", "blood", "organa")
    found = {f"{flag}mnist": list(medmnist.official()[f"{flag}mnist"]["label"].values()) for flag in flags}
    found |= {"ham10000": ham, "heel": list(heel.CLASSES.values()), "covid_severity": list(covid.GRADES)}
    return found | {"ham10000_boxes": ["lesion"], "heel_boxes": ["heel spur", "Sever's disease"]}


def test_every_dataset_of_the_paper_has_its_file():
    assert set(compose.choices("knowledge")) >= {*classes(), "none"}


@pytest.mark.parametrize("name", list(classes()))
def test_every_class_has_a_short_text_and_a_reference_that_is_listed(name, root):
    found = knowledge.load(name)
    assert found["name"] == name
    assert [normalise(key) for key in found["attributes"]] == [normalise(key) for key in classes()[name]]
    for text in found["attributes"].values():
        # "; " parts the classes, and the prompt puts the full stop.
        assert 5 <= len(text.split()) <= 40 and ";" not in text and not text.endswith(".")
    lines = (root / f"conf/knowledge/{name}.yaml").read_text().split("attributes:\n")[1].splitlines()
    cited = [{int(n) for n in re.findall(r"\[(\d+)\]", line)} for line in lines[::2]]
    assert all(cited) and set().union(*cited) <= set(range(1, len(found["references"]) + 1))
    assert all(re.search(r"\b(19|20)\d\d\b|Thieme", reference) for reference in found["references"])


def test_a_label_or_grade_is_told_of_all_its_classes_in_their_order(make_sample):
    (filled,) = knowledge.fill([make_sample(choices=("b", "a"))], SHAPES)
    assert filled.knowledge == "b: square; a: round"
    assert render(filled, PA_P) == "<image>Which? b: square; a: round."
    grades = {"name": "g", "attributes": {"0": "none", 1: "some"}}  # YAML reads a bare 1 as a number
    (filled,) = knowledge.fill([make_sample(kind="grade", answer="1", choices=("0", "1"))], grades)
    assert filled.knowledge == "0: none; 1: some"


def test_a_box_is_told_of_what_is_sought_and_other_questions_of_nothing(make_sample):
    box = make_sample(kind="box", answer="[0, 0, 1, 1]", meta={"finding": "b"})
    other = make_sample(kind="yes_no", answer="yes", choices=("yes", "no"))
    assert [s.knowledge for s in knowledge.fill([box, other], SHAPES)] == ["b: square", ""]


def test_a_text_of_the_rows_own_is_kept_and_no_knowledge_changes_nothing(make_sample):
    own = make_sample(choices=("a", "b"), knowledge="my own")
    assert list(knowledge.fill([own], SHAPES)) == [own]
    bare = make_sample(choices=("a", "b"))
    for nothing in (None, {}, knowledge.load("none")):
        assert list(knowledge.fill([bare], nothing)) == [bare] and knowledge.facts(nothing) is None


def test_describing_only_some_classes_is_refused(make_sample):
    with pytest.raises(UserError, match="'shapes' has no attributes for 'c'; it has them for a, b, spare"):
        list(knowledge.fill([make_sample(choices=("a", "c"))], SHAPES))


def test_a_file_of_the_users_own_is_read_and_a_bad_one_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"attributes": {"a": "round"}}))
    assert knowledge.load(str(path)) == {"name": "mine", "references": [], "attributes": {"a": "round"}}
    path.write_text("!!python/object/apply:os.system ['touch executed']")
    with pytest.raises(UserError, match="cannot be read"):
        knowledge.load(str(path))
    path.write_text("attributes: [a, b]")
    with pytest.raises(UserError, match="no mapping `attributes`"):
        knowledge.load(str(path))
    with pytest.raises(UserError, match="Did you mean 'ham10000'"):
        knowledge.load("ham1000")


def chosen(*overrides):
    return compose.compose(["conf=vrft_aug", *overrides]).conf.get("knowledge")


def test_the_knowledge_follows_the_data_unless_chosen():
    assert chosen("conf/data=retinamnist").name == "retinamnist"
    assert chosen("conf/data=ham10000_boxes").name == "ham10000_boxes"
    assert chosen("conf/data=retinamnist", "conf/knowledge=none").name == "none"
    assert chosen("conf/data=chestmnist") is None
    # a tiny model's time goes with the prompt's length
    assert chosen("conf/scale=tiny", "conf/engine=cpu", "conf/data=retinamnist").name == "none"


def test_a_choice_is_never_told_of_its_own_answer(make_sample):
    fields = {"choices": ("a", "b"), "answer": "b", "meta": {"finding": "b"}}
    for kind in ("choice", "yes_no"):
        (filled,) = knowledge.fill([make_sample(kind=kind, **fields)], SHAPES)
        assert filled.knowledge == ""
    (free,) = knowledge.fill(
        [make_sample(answer="b", meta={"finding": "b"})], SHAPES
    )  # a label without choices
    assert free.knowledge == ""
