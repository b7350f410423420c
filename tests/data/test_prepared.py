"""Prepare once, train many: a prepared folder as a data set (conf/data=prepared), and jobs that share a preparation."""

import dataclasses
import json
import multiprocessing

import numpy as np
import pyarrow.parquet as pq
import pytest

from medical_rl.config.compose import compose
from medical_rl.config.settings import with_card_facts
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import command, prepare
from medical_rl.errors import UserError
from medical_rl.images import encode_png
from medical_rl.stages.common import further_sets

PROMPT = command.load_prompt("class_names")
ATTRIBUTES = {"name": "shapes", "attributes": {"a": "round", "b": "square"}, "references": ["a book"]}


@pytest.fixture
def rows(make_sample):
    def distinct(split, i):
        picture = encode_png(
            np.random.default_rng(hash((split, i)) % 2**31).integers(0, 256, (6, 8), np.uint8)
        )
        sample = make_sample(f"{split}/{i}", split=split, answer="ab"[i % 2], choices=("a", "b"))
        return dataclasses.replace(sample, images=(picture,))

    return {split: [distinct(split, i) for i in range(6)] for split in ("train", "val", "test")}


@pytest.fixture
def once(toy, rows, tmp_path, monkeypatch):
    """A folder that was prepared once, whose train was filled up to a batch of 8; its card."""
    data = toy(rows, dropped={"row 9": "its image is broken"}, licence="CC BY 4.0", notes=["One hospital."])
    card = prepare.prepare({**data, "name": "shapes"}, PROMPT, tmp_path / "once", 0, 8)
    monkeypatch.undo()  # the toy reader goes: what follows reads the folder
    return tmp_path / "once", card


def again(folder, out, prompt=PROMPT, seed=0, batch_size=1, **settings):
    data = {"name": "shapes", "reader": "prepared", "source": str(folder), "params": {}, **settings}
    return prepare.prepare(data, prompt, out, seed, batch_size)


def test_a_prepared_folder_is_a_data_set_whose_cards_facts_are_kept(once, tmp_path):
    folder, first = once
    card = again(folder, tmp_path / "again", batch_size=8)
    assert {name: facts["distinct"] for name, facts in card["splits"].items()} == dict.fromkeys(
        ("train", "val", "test"), 6
    )
    assert card["about"]["licence"] == "CC BY 4.0" and card["about"]["notes"] == ["One hospital."]
    assert card["dropped"] == first["dropped"] and first["changes"][0] in card["changes"]
    # the same settings give the same files, the copies that fill the batch included
    assert card["files"] == first["files"] and card["splits"] == first["splits"]


def test_the_runs_own_settings_apply_to_its_rows(once, tmp_path):
    folder, _ = once
    other = {**PROMPT, "name": "other", "template": "Say what it is: {{ choices | join(', ') }}."}
    card = again(folder, tmp_path / "again", other, shots=1)
    assert card["splits"]["train"]["rows"] == 2
    (row,) = pq.read_table(tmp_path / "again/train.parquet").slice(0, 1).to_pylist()
    assert row["problem"].endswith("Say what it is: a, b.")
    told = " ".join(card["changes"])
    assert "prompt 'class_names'" in told and "'other'" in told and "train: 2 of 6 rows" in told
    assert not any("repeated" in sentence for sentence in card["changes"])  # the copies were left out


def test_no_copy_of_a_filled_batch_becomes_a_row(once, tmp_path):
    folder, first = once
    assert first["splits"]["train"]["rows"] == 8
    again(folder, tmp_path / "again")
    ids = [sample.id for sample in read_samples(tmp_path / "again/train.parquet")]
    assert sorted(ids) == sorted(set(ids)) and len(ids) == 6


def test_other_knowledge_than_the_rows_hold_is_refused(toy, rows, tmp_path, monkeypatch):
    prepare.prepare({**toy(rows), "knowledge": ATTRIBUTES}, PROMPT, tmp_path / "once", 0, 1)
    monkeypatch.undo()
    with pytest.raises(UserError, match="conf/knowledge=shapes"):
        again(tmp_path / "once", tmp_path / "again")
    card = again(tmp_path / "once", tmp_path / "again", knowledge=ATTRIBUTES)
    assert card["knowledge"] == {"name": "shapes", "references": ["a book"]}


def test_a_leak_in_the_folder_is_refused_and_an_allowed_one_stays_said(toy, rows, tmp_path, monkeypatch):
    rows["test"][0] = dataclasses.replace(rows["test"][0], group="p")
    rows["train"][0] = dataclasses.replace(rows["train"][0], group="p")
    data = toy(rows) | {"params": {"allow_leaks": True}}
    first = prepare.prepare(data, PROMPT, tmp_path / "once", 0, 1)
    monkeypatch.undo()
    card = again(tmp_path / "once", tmp_path / "again")
    assert card["leaks"] == first["leaks"] == {"train and test": 1}
    assert [each for each in card["warnings"] if "allow_leaks" in each]
    path = tmp_path / "once/card.json"
    path.write_text(json.dumps({**first, "leaks": {}}))  # as if it had not been allowed
    with pytest.raises(prepare.BadSplit, match="train and test"):
        again(tmp_path / "once", tmp_path / "third")


@pytest.mark.parametrize("harm", ["changed", "gone", "earlier", "no card", "no folder"])
def test_a_folder_that_is_not_what_its_card_says_is_refused(once, tmp_path, harm):
    folder, card = once
    if harm == "changed":
        (folder / "val.parquet").write_bytes((folder / "test.parquet").read_bytes())
    elif harm == "gone":
        (folder / "val.parquet").unlink()
    elif harm == "earlier":
        (folder / "card.json").write_text(json.dumps({k: v for k, v in card.items() if k != "images"}))
    elif harm == "no card":
        (folder / "card.json").unlink()
    with pytest.raises(UserError) as error:
        again(folder if harm != "no folder" else tmp_path / "nowhere", tmp_path / "again")
    messages = {"changed": "is not the file", "gone": "is not there", "earlier": "by an earlier version"}
    message = messages.get(harm, "is no prepared folder")
    assert message in str(error.value) and error.value.exit_code == 2 and not (tmp_path / "again").exists()


def test_only_some_splits_and_unknown_ones(once, tmp_path):
    folder, _ = once
    assert list(again(folder, tmp_path / "again", only=["test"])["splits"]) == ["test"]
    with pytest.raises(UserError, match="warm_start"):
        again(folder, tmp_path / "third", only=["warm_start"])


def test_its_name_and_outcome_are_the_cards_unless_given(once, tmp_path):
    folder, card = once
    path = folder / "card.json"
    path.write_text(json.dumps({**card, "outcome": "mfrs"}))
    chosen = ["conf=vrft_aug", "conf/scale=tiny", "conf/data=prepared", f"conf.data.source={folder}"]
    data = with_card_facts(compose(chosen)).conf.data
    assert (data.name, data.outcome) == ("shapes", "mfrs")
    given = ["conf.data.name=mine", "conf.data.outcome=accuracy"]
    data = with_card_facts(compose(chosen + given)).conf.data
    assert (data.name, data.outcome) == ("mine", "accuracy")
    told = again(folder, tmp_path / "again", outcome="accuracy")["changes"]
    assert any("'accuracy' (conf.data.outcome); that of the set is 'mfrs'" in sentence for sentence in told)


def shared(config, home, name, seed, queue=None, batch_size=1):
    """One job's preparation below the sweep `home`; in a process of its own it puts the number of rows read."""
    made = []
    check = prepare.gold.check_gold
    prepare.gold.check_gold = lambda rows, prompt: map(
        lambda row: made.append(row.id) or row, check(rows, prompt)
    )
    try:
        card = prepare.prepare_shared(
            config, PROMPT, home / name / "data", seed, batch_size, home / ".prepared"
        )
    finally:
        prepare.gold.check_gold = check
    if queue is not None:
        queue.put((len(made), card["files"]))
    return len(made), card


def test_jobs_of_a_sweep_share_one_preparation(config, tmp_path):
    data = config()
    made, first = shared(data, tmp_path, "seed=1", 1)
    assert made == 12 + 4 + 6
    made, second = shared(data, tmp_path, "seed=2", 2)
    assert made == 0 and second["files"] == first["files"] and (first["seed"], second["seed"]) == (1, 2)
    one, two = (tmp_path / job / "data/train.parquet" for job in ("seed=1", "seed=2"))
    assert one.samefile(two) and len(list((tmp_path / ".prepared").iterdir())) == 1
    assert json.loads((tmp_path / "seed=2/data/card.json").read_text()) == second
    assert shared(data, tmp_path, "seed=2", 2)[0] == 0  # the job resumed


def test_jobs_that_draw_their_rows_do_not_share_them(config, tmp_path):
    for seed in (1, 2):
        made, _ = shared(config(shots=2), tmp_path, f"seed={seed}", seed)
        assert made == 4 + 4 + 6
    # nor do jobs whose rows fill a batch, in an order that the seed draws
    cards = [shared(config(), tmp_path, f"filled={seed}", seed, batch_size=30)[1] for seed in (1, 2)]
    assert cards[0]["files"]["train.parquet"] != cards[1]["files"]["train.parquet"]
    assert cards[0]["files"]["test.parquet"] == cards[1]["files"]["test.parquet"]


def test_two_jobs_at_once_prepare_once(config, tmp_path):
    data = config()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    jobs = [context.Process(target=shared, args=(data, tmp_path, f"job{i}", i, queue)) for i in range(3)]
    for job in jobs:
        job.start()
    told = [queue.get(timeout=60) for _ in jobs]
    for job in jobs:
        job.join(60)
    assert sorted(made for made, _ in told) == [0, 0, 22]
    assert told[0][1] == told[1][1] == told[2][1]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """A folder of prepared phantoms, as `--out` of a data set's command leaves it."""
    sizes = {"train": 24, "val": 6, "test": 6}
    data = {"name": "shapes", "reader": "phantoms", "source": None}
    data["params"] = {"task": "classification", "sizes": sizes}
    folder = tmp_path_factory.mktemp("prepared") / "shapes"
    prepare.prepare(data, PROMPT, folder, 0, 1)
    return folder


RUN = ("conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/data=prepared")


def test_a_run_on_a_prepared_folder_passes_its_dry_run(phantoms, command):
    done = command(*RUN, f"conf.data.source={phantoms}", "conf.dry_run=true", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    assert "train 24 rows" in told and "outcome term of this run is 'accuracy'" in told


def test_the_jobs_of_a_sweep_train_on_one_preparation(phantoms, command, tmp_path):
    done = command(
        *RUN, f"conf.data.source={phantoms}", "conf.stages=[prepare]", "conf.run_dir=sweep", "-m", "conf.seed=1,2",
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = sorted(path.parent for path in (tmp_path / "sweep").glob("*/manifest.json"))
    assert len(jobs) == 2 and len(list((tmp_path / "sweep/.prepared").iterdir())) == 1
    one, two = (job / "data/train.parquet" for job in jobs)
    assert one.samefile(two)
    card = json.loads((jobs[0] / "data/card.json").read_text())
    assert card["name"] == "shapes" and card["about"]["phantom"]
    settings = json.loads((jobs[0] / "manifest.json").read_text())
    assert settings["stages"]["prepare"]["status"] == "done"


def test_a_folder_that_is_not_prepared_is_refused_in_one_paragraph(command, tmp_path):
    (tmp_path / "raw").mkdir()
    done = command(*RUN, "conf.data.source=raw", "conf.dry_run=true", timeout=300)
    assert done.returncode == 2 and "is no prepared folder" in done.stderr and "Traceback" not in done.stderr


def test_a_further_set_is_shared_by_the_jobs_of_a_sweep_too(config, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / further_sets.SWEEP).write_text("")
    job = compose(["conf=vrft_aug", "conf/scale=tiny"])
    folders = [tmp_path / "sweep" / name / "data_mini" for name in ("one", "two")]
    folders += [
        tmp_path / "sweep/three" / further_sets.WARM_START_FOLDER / "mini",
        tmp_path / "alone/data_mini",
    ]
    for out in folders:
        further_sets.prepare_further({**config(), "only": ["test"]}, PROMPT, out, job)
    files = [out / "test.parquet" for out in folders]
    assert files[0].samefile(files[1]) and files[0].samefile(files[2]) and not files[0].samefile(files[3])
