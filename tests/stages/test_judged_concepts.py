"""The concepts that a judge lists reach the validation rows too, so that the reward means the same in both splits."""

import types

import pytest

from medical_rl.config.compose import compose
from medical_rl.data.inspect import judge_concepts
from medical_rl.data.parquet import read_samples, write_split
from medical_rl.judges import judge as judges
from medical_rl.pseudo_label.label import Label
from medical_rl.pseudo_label.parts import Parts
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.common.models import training_rows
from medical_rl.stages.medfact_r1 import pseudo_label

TINY = [
    "conf=medfact_r1",
    "conf/scale=tiny",
    "conf/engine=cpu",
    "conf.pseudo_label.baseline=false",
    "data.train_batch_size=2",
]


def row(split: str, number: int) -> Sample:
    return Sample(
        id=f"{split}/{number}", source="demo", question=f"Is finding {number} there?", kind="yes_no", answer="yes",
        choices=("yes", "no"), group=f"{split}{number}", split=split, concepts=("lexicon",),
    )  # fmt: skip


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """A function that runs the stage with a choice of concepts on prepared rows; the judge knows findings 0 and 2."""

    def run(concepts: str) -> RunFolder:
        config = compose([*TINY, f"conf.pseudo_label.concepts={concepts}"])
        folder = RunFolder(tmp_path, "pseudo_label")
        folder.create()
        (tmp_path / "data").mkdir(exist_ok=True)
        for split in ("train", "val"):
            rows = [row(split, number) for number in range(4)]
            write_split(
                rows, tmp_path / "data" / f"{split}.parquet", {"template": "{{ question }}", "target": ""}
            )
        ids = tuple(f"train/{number}" for number in range(4))

        def ask(judge, samples, rate):
            questions = dict.fromkeys(sample.question for sample in samples)
            known = {q: ("judged",) for q in questions if "finding 0" in q or "finding 2" in q}
            return known, {}, len(questions)

        def label(config, folder, rows, ks, name):
            return {ks[0]: [Label(sample.id, "yes") for sample in rows]}

        monkeypatch.setattr(pseudo_label, "chosen_k", lambda folder: 1)
        monkeypatch.setattr(pseudo_label, "drawn_parts", lambda *_: Parts((), (), ids))
        monkeypatch.setattr(pseudo_label, "label_rows", label)
        monkeypatch.setattr(judge_concepts, "ask_concepts", ask)
        judge = types.SimpleNamespace(endpoint=types.SimpleNamespace(model="a-judge"))
        monkeypatch.setattr(judges, "from_config", lambda *_: judge)
        result = pseudo_label.run(config, folder)
        outputs = {name: {"path": path} for name, path in result["outputs"].items()}
        entry = {"status": "done", "outputs": outputs, "notes": result["notes"]}
        write_json(folder.manifest_file, {"stages": {"pseudo_label": entry}})
        return RunFolder(tmp_path, "rl")

    return run


def concepts_of(path) -> list[tuple[str, ...]]:
    return [sample.concepts for sample in read_samples(path)]


def test_both_splits_have_the_judges_concepts(labelled):
    folder = labelled("judge")
    for split in ("train", "val"):
        assert concepts_of(training_rows(folder, split)) == [("judged",), ("lexicon",)] * 2, split
    (note,) = [note for note in folder.manifest()["stages"]["pseudo_label"]["notes"] if "a-judge" in note]
    assert note.startswith("2 of 4 questions to train and validate on have the concepts")


def test_prepared_concepts_leave_the_validation_rows_where_they_were(labelled):
    labelled("judge")
    folder = labelled("prepared")
    assert training_rows(folder, "val") == folder.path / "data" / "val.parquet"
    assert concepts_of(training_rows(folder, "train")) == [("lexicon",)] * 4
