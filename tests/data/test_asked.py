"""What a judge is asked about prepared data: `attributes` and `concepts`, against the fake endpoint."""

import dataclasses
import json

import pytest
import yaml

from medical_rl.data import __main__ as command_line
from medical_rl.data import knowledge, parquet
from medical_rl.data.inspect import draft_attributes
from medical_rl.data.inspect.check import check_folder
from medical_rl.data.prepare import command, prepare
from tests.judges.fake_endpoint import FakeEndpoint

TEXT = json.dumps({"attributes": "dense; white areas in the lower lung. "})
CONCEPTS = json.dumps({"concepts": [" Lung Opacity ", "chest radiograph"]})


@pytest.fixture(scope="module")
def server():
    with FakeEndpoint() as running:
        yield running


@pytest.fixture
def asks(server, tmp_path, capsys, monkeypatch):
    """Runs a command of `python -m medical_rl.data` with the fake endpoint as its judge: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, judge=(), **program):
        server.program(**program)
        chosen = [
            "conf/judge=local",
            f"conf.judge.endpoint.base_url={server.url}",
            "conf.judge.backoff_s=0.01",
        ]
        code = command_line.main([*map(str, arguments), *chosen, *judge])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def prepared(toy, make_sample, image_bytes, tmp_path):
    """A function that prepares rows made by `fields(split, number)` and gives the folder; every image is another."""

    def make(fields, n=8, splits=("train", "val", "test"), **config):
        def rows(split, at):
            made = [
                make_sample(f"{split}/{i}", images=0, **{"split": split, **fields(split, i)})
                for i in range(n)
            ]
            return [dataclasses.replace(s, images=(image_bytes(1000 * at + i),)) for i, s in enumerate(made)]

        data = toy({split: rows(split, at) for at, split in enumerate(splits)}) | config
        prepare.prepare(data, command.load_prompt("class_names"), tmp_path / "set", 0, 1)
        return tmp_path / "set"

    return make


def two_classes(split, i):
    return {"answer": "ab"[i % 2], "choices": ("a", "b"), "group": f"{split}/patient {i // 4}"}


def questions(split, i):
    return {"kind": "yes_no", "answer": "no", "choices": ("yes", "no"), "question": f"Is finding {i % 3} there?", "concepts": ("old",)}  # fmt: skip


def concepts_of(folder, split):
    return [sample.concepts for sample in parquet.read_samples(folder / f"{split}.parquet")]


def tree(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_draft_is_a_knowledge_file_with_every_text_marked(prepared, asks, tmp_path):
    folder, out = prepared(two_classes), tmp_path / "mine.yaml"
    before = tree(folder)
    code, said, _ = asks("attributes", folder, "--out", out, text=TEXT)
    assert code == 0 and "2 classes are drafted" in said and "2 requests" in said
    found = yaml.safe_load(out.read_text())
    # "; " parts classes in a prompt and the full stop is the prompt's: both are taken out of a draft.
    assert found["attributes"] == dict.fromkeys(
        "ab", f"{knowledge.DRAFT} dense, white areas in the lower lung"
    )
    assert (
        found["name"] == "mine"
        and "Qwen" in found["references"][0]
        and "not reviewed" in found["references"][0]
    )
    assert out.read_text().startswith("# @package conf.knowledge\n")
    assert knowledge.load(str(out))["attributes"] == found["attributes"] and tree(folder) == before


def test_only_training_images_of_the_class_are_shown_each_of_another_patient(prepared, asks, sent, tmp_path):
    folder = prepared(two_classes)
    assert asks("attributes", folder, "--out", tmp_path / "a.yaml", "--images", "3", text=TEXT)[0] == 0
    train = {s.images[0]: s for s in parquet.read_samples(folder / "train.parquet")}
    for (messages, images), name in zip(sent, "ab", strict=True):
        # 8 rows of two patients: two images can be had though three were asked for
        assert len(images) == 2 and all(train[image].answer == name for image in images)
        assert len({train[image].group for image in images}) == 2
        assert f'"class": "{name}"' in messages[-1]["content"] and "train/" not in str(messages)


def test_the_draw_is_seeded_and_does_not_depend_on_row_order(prepared, tmp_path):
    path = prepared(lambda split, i: {"answer": "ab"[i % 2], "choices": ("a", "b")}, n=40) / "train.parquet"
    drawn = [draft_attributes.choose_rows(path, 4, seed)[0] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and all(len(rows) == 4 for rows in drawn[0].values())
    assert [sorted(s) for s in drawn[0].values()] == list(drawn[0].values())


def test_a_file_that_is_there_is_left_as_it_is_and_nothing_is_asked(prepared, asks, server, tmp_path):
    out = tmp_path / "mine.yaml"
    out.write_text("edited")
    code, said, _ = asks("attributes", prepared(two_classes), "--out", out, text=TEXT)
    assert code == 0 and "may hold your edits" in said and out.read_text() == "edited"
    assert server.log()["requests"] == []


def test_answers_are_kept_and_the_same_command_asks_what_is_missing(prepared, asks, server, tmp_path):
    folder, out = prepared(two_classes), tmp_path / "mine.yaml"
    code, _, error = asks(
        "attributes", folder, "--out", out, judge=["conf.judge.budget.max_requests=1"], text=TEXT
    )
    assert code == 1 and "cap of conf.judge.budget is met: 1 of 2 questions are answered and kept" in error
    assert not out.exists()
    code, said, _ = asks(
        "attributes", folder, "--out", out, judge=["conf.judge.budget.max_requests=2"], text=TEXT
    )
    assert code == 0 and len(server.log()["requests"]) == 1 and "1 requests" in said
    assert sorted(p.name for p in (tmp_path / "set.asked/judge").glob("*.sqlite")) == [
        "cache.sqlite",
        "ledger.sqlite",
    ]


def test_a_class_that_fails_leaves_no_file(prepared, asks, tmp_path):
    out = tmp_path / "mine.yaml"
    judge = ["conf.judge.max_attempts=2", "conf.judge.limits.concurrency=1"]
    code, _, error = asks(
        "attributes", prepared(two_classes), "--out", out, judge=judge, text=TEXT, script=["ok", "400"]
    )
    assert code == 1 and "1 questions failed" in error and "fault 400" in error and not out.exists()


@pytest.mark.parametrize("name, arguments", [("attributes", ["--out", "x.yaml"]), ("concepts", [])])
def test_without_a_judge_it_says_which_there_are(prepared, capsys, name, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command_line.main([name, str(prepared(two_classes)), *arguments]) == 2
    assert "conf/judge=local, openai or gemini" in capsys.readouterr().err
    assert command_line.main([name, str(tmp_path / "set"), *arguments, "conf/judge=locla"]) == 2
    assert "Did you mean 'local'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command_line.main([name, str(tmp_path / "set"), *arguments, "--imagse", "3"])


@pytest.mark.parametrize("name, arguments", [("attributes", ["--out", "x.yaml"]), ("concepts", [])])
def test_restricted_rows_are_refused_by_the_clients_guard(prepared, asks, server, tmp_path, name, arguments):
    folder = prepared(lambda split, i: {**two_classes(split, i), "restricted": True, "source": "mimic_cxr"})
    before = tree(folder)
    code, _, error = asks(name, folder, *arguments, judge=["conf.judge.endpoint.local=false"], text=TEXT)
    assert code == 2 and "mimic_cxr" in error and "conf.judge.endpoint.covered=true" in error
    assert server.log()["requests"] == [] and tree(folder) == before
    out = tmp_path / "x.yaml"
    assert not out.exists()
    if name == "attributes":
        assert asks(name, folder, *arguments, text=TEXT)[0] == 0
        assert "train/" not in out.read_text()  # a restricted row's id names a patient's file


def test_findings_are_described_from_images_that_show_them(prepared, asks, sent, tmp_path):
    def finding(split, i):
        return {"kind": "yes_no", "choices": ("yes", "no"), "answer": "yes" if i % 4 == 0 else "no", "meta": {"finding": "nodule"}}  # fmt: skip

    folder = prepared(finding)
    assert asks("attributes", folder, "--out", tmp_path / "a.yaml", text=TEXT)[0] == 0
    shown = {s.images[0] for s in parquet.read_samples(folder / "train.parquet") if s.answer == "yes"}
    ((_, images),) = sent
    assert len(images) == 2 and set(images) == shown


def test_a_class_that_no_training_image_shows_is_left_for_the_person(prepared, asks, tmp_path):
    out = tmp_path / "a.yaml"
    folder = prepared(lambda split, i: {"answer": "a", "choices": ("a", 'b: "odd" #1')})
    code, said, _ = asks("attributes", folder, "--out", out, text=TEXT)
    assert code == 0 and "no training image shows" in said
    assert yaml.safe_load(out.read_text())["attributes"]['b: "odd" #1'] == ""


def test_data_without_classes_or_without_train_say_so(prepared, asks, tmp_path):
    code, _, error = asks("attributes", prepared(questions), "--out", tmp_path / "a.yaml")
    assert code == 2 and "no classes to describe" in error
    folder = prepared(two_classes, only=["test"])
    code, _, error = asks("attributes", folder, "--out", tmp_path / "a.yaml")
    assert code == 2 and "training images alone" in error
    assert asks("attributes", folder, "--out", tmp_path / "a.yaml", "--images", "0")[0] == 2


def test_a_draft_reaches_the_prompt_without_its_mark_and_the_card_with_it(
    prepared, asks, toy, three_splits, tmp_path
):
    out = tmp_path / "mine.yaml"
    asks("attributes", prepared(two_classes), "--out", out, text=TEXT)
    folder = prepared(two_classes, knowledge=knowledge.load(str(out)))
    (sample, *_) = parquet.read_samples(folder / "train.parquet")
    assert (
        sample.knowledge == "a: dense, white areas in the lower lung; b: dense, white areas in the lower lung"
    )
    card = json.loads((folder / "card.json").read_text())
    assert card["knowledge"]["drafts"] == ["a", "b"]
    warning = "What the prompt tells of 'a', 'b' was drafted by a model, and nobody has reviewed it."
    assert warning in card["notes"] and warning in (folder / "README.md").read_text()


def test_concepts_of_a_judge_are_stored_with_training_and_validation_rows(prepared, asks, server, sent):
    folder = prepared(questions)
    test = (folder / "test.parquet").read_bytes()
    columns = parquet.pq.read_table(folder / "train.parquet").drop(["sample"])
    code, said, _ = asks("concepts", folder, text=CONCEPTS)
    assert code == 0 and "3 of 3 questions" in said
    for split in ("train", "val"):
        assert set(concepts_of(folder, split)) == {("lung opacity", "chest radiograph")}
    assert (folder / "test.parquet").read_bytes() == test
    # 16 rows hold three questions: each is asked once, without an image
    assert len(server.log()["requests"]) == 3 and not any(images for _, images in sent)
    assert parquet.pq.read_table(folder / "train.parquet").drop(["sample"]).equals(columns)
    card = json.loads((folder / "card.json").read_text())
    assert (
        card["concepts"]["questions"] == 3 and "Concepts of train, val" in (folder / "README.md").read_text()
    )
    assert check_folder(folder).exit_code == 0 and not [
        f for f in check_folder(folder).findings if "not the file" in f.message
    ]


def test_a_second_time_nothing_is_asked_and_nothing_changes(prepared, asks, server):
    folder = prepared(questions)
    asks("concepts", folder, text=CONCEPTS)
    before, times = tree(folder), [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    code, said, _ = asks("concepts", folder, text=CONCEPTS)
    assert code == 0 and "0 requests" in said and "train.parquet: 0 rows changed" in said
    assert server.log()["requests"] == [] and tree(folder) == before
    assert [path.stat().st_mtime_ns for path in sorted(folder.iterdir())] == times


def test_preparing_again_keeps_the_concepts_of_the_judge(prepared, asks):
    folder = prepared(questions)
    asks("concepts", folder, text=CONCEPTS)
    assert set(concepts_of(prepared(questions), "train")) == {("lung opacity", "chest radiograph")}


def test_a_question_that_fails_or_has_none_keeps_the_concepts_it_had(prepared, asks):
    folder = prepared(questions)
    judge = ["conf.rewards.max_failure_rate=0.5", "conf.judge.limits.concurrency=1"]
    code, said, _ = asks("concepts", folder, judge=judge, text=CONCEPTS, script=["400", "ok", "ok"])
    assert code == 0 and "1 failed and 0 have none" in said
    assert {c for c in concepts_of(folder, "train")} == {("old",), ("lung opacity", "chest radiograph")}


def test_a_question_in_which_the_judge_finds_nothing_keeps_the_lexicons_concepts(prepared, asks):
    """The fact reward refuses a row without concepts, so an empty list would stop the training."""
    folder = prepared(questions)
    code, said, _ = asks("concepts", folder, text=json.dumps({"concepts": []}))
    assert (
        code == 0 and set(concepts_of(folder, "train")) == {("old",)} and "0 failed and 3 have none" in said
    )


def test_too_many_failures_change_no_file(prepared, asks):
    folder = prepared(questions)
    before = tree(folder)
    code, _, error = asks("concepts", folder, text=CONCEPTS, script=["400"] * 9)
    assert (
        code == 1
        and "more than the share of 0.2 allowed (conf.rewards.max_failure_rate)" in error
        and tree(folder) == before
    )
    code, _, error = asks("concepts", folder, judge=["conf.judge.budget.max_requests=1"], text=CONCEPTS)
    assert code == 1 and "cap of conf.judge.budget is met" in error and tree(folder) == before


def test_a_write_that_fails_leaves_the_folder_as_it_was(prepared, asks, monkeypatch):
    folder = prepared(questions)
    before = tree(folder)
    from medical_rl.data.inspect import judge_concepts

    def full(self, table):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(judge_concepts.pq.ParquetWriter, "write_table", full)
    code, _, error = asks("concepts", folder, text=CONCEPTS)
    assert code == 1 and "No space left" in error and tree(folder) == before


def test_a_split_can_be_named_and_a_changed_file_is_refused(prepared, asks):
    folder = prepared(questions)
    assert asks("concepts", folder, "--split", "train", text=CONCEPTS)[0] == 0
    assert set(concepts_of(folder, "val")) == {("old",)}
    assert asks("concepts", folder, "--split", "tset", text=CONCEPTS)[0] == 2
    (folder / "val.parquet").write_bytes((folder / "test.parquet").read_bytes())
    code, _, error = asks("concepts", folder, text=CONCEPTS)
    assert code == 2 and "not the file that card.json tells of" in error
