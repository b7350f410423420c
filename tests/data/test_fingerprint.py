"""Preparing again: what makes it happen, what does not, and that a failure costs nothing."""

import errno
import json
import types
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import compose
from medical_rl.data import parquet
from medical_rl.data.prepare import command, prepare, readers

PROMPT = command.load_prompt("class_names")


def run(data, out, seed=0, batch_size=1, prompt=PROMPT):
    return prepare.prepare(data, prompt, out, seed, batch_size)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_second_call_does_nothing(config, tmp_path):
    out = tmp_path / "out"
    first = run(config(), out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(config(), out) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_seed_prompt_batch_and_shots_are_part_of_the_recipe(config, bare, tmp_path):
    changes = [{}, {"seed": 1}, {"prompt": bare}, {"batch_size": 2}, {"data": config(shots=2)}]
    cards = [run(**{"data": config(), "out": tmp_path / "out", **change}) for change in changes]
    assert len({card["recipe"] for card in cards}) == 5
    assert cards[-1]["splits"]["train"]["rows"] == 4
    assert parquet.count_rows(tmp_path / "out/train.parquet") == 4


def test_a_changed_source_is_prepared_again(config, mini, mini_arrays, tmp_path):
    data = config()
    first = run(data, tmp_path / "out")
    mini(val_images=255 - mini_arrays()["val_images"])
    second = run(data, tmp_path / "out")
    assert second["files"]["val.parquet"] != first["files"]["val.parquet"]
    assert second["files"]["train.parquet"] == first["files"]["train.parquet"]


def test_settings_of_other_stages_are_not_part_of_the_recipe(config, tmp_path):
    first = run(config(), tmp_path / "out")
    assert run(config(outcome="mfrs"), tmp_path / "out")["recipe"] == first["recipe"]


def test_how_many_rows_are_read_at_a_time_is_part_of_neither_recipe_nor_stage(config, tmp_path):
    from medical_rl.config.compose import compose
    from medical_rl.pipeline.fingerprint import stage_config

    assert (
        run(config(num_proc=1), tmp_path / "out")["recipe"]
        == run(config(num_proc=2), tmp_path / "out")["recipe"]
    )
    given = ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"]
    one, other = (stage_config(compose([*given, f"conf.data.num_proc={n}"]), "prepare") for n in (1, 4))
    assert one == other and "conf.data.shots" in one


def test_where_the_source_lies_is_not_part_of_the_recipe(config, tmp_path):
    data = config()
    moved = tmp_path / "elsewhere/pneumoniamnist.npz"
    moved.parent.mkdir()
    moved.write_bytes(Path(data["source"]).read_bytes())
    assert (
        run({**data, "source": str(moved)}, tmp_path / "b")["recipe"] == run(data, tmp_path / "a")["recipe"]
    )


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(b"x"), lambda p: p.unlink()])
@pytest.mark.parametrize("name", ["test.parquet", "card.json"])
def test_a_damaged_or_missing_file_is_made_again(config, tmp_path, harm, name):
    out = tmp_path / "out"
    card = run(config(), out)
    harm(out / name)
    assert run(config(), out) == card
    assert parquet.count_rows(out / "test.parquet") == 6
    assert json.loads((out / "card.json").read_text()) == card


def test_preparing_twice_gives_the_same_bytes(config, tmp_path):
    assert run(config(shots=2), tmp_path / "a")["files"] == run(config(shots=2), tmp_path / "b")["files"]


def test_a_split_of_an_older_recipe_does_not_stay(toy, three_splits, make_sample, tmp_path):
    run(toy({"warm_start": [make_sample("w")], **three_splits}), tmp_path / "out")
    (tmp_path / "out/mine.parquet").write_bytes(b"the user's own")
    run(toy(three_splits), tmp_path / "out", seed=1)
    assert "warm_start.parquet" not in names(tmp_path / "out")
    assert "mine.parquet" in names(tmp_path / "out")


def test_a_failure_leaves_the_older_preparation_whole(config, tmp_path, monkeypatch):
    out = tmp_path / "out"
    card = run(config(), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write_table = pq.ParquetWriter.write_table

    def full_disk(self, table, *args, **kwargs):
        if table.num_rows == 6:  # the test split, after train and val were written
            raise OSError(errno.ENOSPC, "No space left on device")
        write_table(self, table, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run(config(), out, seed=1)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert run(config(), out) == card


def test_omegaconf_configurations_are_read_as_plain_ones(config, tmp_path):

    plain = run(config(shots=2), tmp_path / "out")
    assert run(OmegaConf.create(config(shots=2)), tmp_path / "out", prompt=OmegaConf.create(PROMPT)) == plain


@pytest.fixture
def heel_set(put, image_bytes):
    """A Heel of 20 images a class, its configuration, and its folder."""
    for number, name in enumerate(("normal", "heelspur", "sever")):
        for i in range(20):
            path = put(f"{name}/{i}.png", image_bytes(100 * number + i))
    folder = path.parents[1]
    return {"name": "heel", "reader": "heel", "source": str(folder), "params": {}}, folder


def test_an_output_inside_the_source_is_prepared_once(heel_set):
    data, folder = heel_set
    first = run(data, folder / "prepared")
    before = (folder / "prepared/card.json").stat().st_mtime_ns
    assert run(data, folder / "prepared") == first
    assert (folder / "prepared/card.json").stat().st_mtime_ns == before


def test_a_file_in_a_linked_class_folder_is_part_of_the_recipe(heel_set, tmp_path, image_bytes):
    data, folder = heel_set
    (tmp_path / "links").mkdir()
    for name in ("normal", "heelspur", "sever"):
        (tmp_path / "links" / name).symlink_to(folder / name)
    linked = {**data, "source": str(tmp_path / "links")}
    first = run(linked, tmp_path / "out")
    (folder / "normal/0.png").write_bytes(image_bytes(999, 20, 20))
    assert run(linked, tmp_path / "out")["recipe"] != first["recipe"]


def test_boxes_outside_the_source_are_part_of_the_recipe(heel_set, tmp_path):
    data, _ = heel_set
    boxes = tmp_path / "boxes.csv"
    data["params"] = {"boxes": str(boxes)}
    cards = []
    for right in (5, 6):
        lines = [f"{name}/{i}.png,1,1,{right},5" for name in ("heelspur", "sever") for i in range(20)]
        boxes.write_text("\n".join(["image,x1,y1,x2,y2", *lines]))
        cards.append(run(data, tmp_path / "out"))
    assert cards[0]["recipe"] != cards[1]["recipe"]
    answers = {s.answer for s in parquet.read_samples(tmp_path / "out/test.parquet")}
    assert answers == {"[1, 1, 6, 5]"}


def test_an_output_inside_the_folder_of_the_boxes_is_prepared_once_and_a_new_box_seen(heel_set, tmp_path):
    data, folder = heel_set
    data["params"] = {"boxes": str(tmp_path / "boxes")}
    lines = [f"{name}/{i}.png,1,1,5,5" for name in ("heelspur", "sever") for i in range(20)]
    # YOLO: a file an image, which shares its name with one of another class but not its folder
    for line in lines:
        path = tmp_path / "boxes" / Path(line.split(",")[0]).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0 0.5 0.5 0.5 0.5")
    out = tmp_path / "boxes/prepared"
    card = run(data, out)
    before = (out / "card.json").stat().st_mtime_ns
    assert run(data, out) == card and (out / "card.json").stat().st_mtime_ns == before
    path.write_text("0 0.5 0.5 0.25 0.25")
    assert run(data, out)["recipe"] != card["recipe"]


def test_a_table_outside_the_source_is_part_of_the_recipe(put, image_bytes, tmp_path):
    # 40 lesions of one image each; then another age in the table
    for i in range(40):
        source = put(f"ISIC_{i}.png", image_bytes(i)).parent
    table, recipes = tmp_path / "table.csv", set()
    data = {"name": "ham", "reader": "ham10000", "source": str(source), "params": {"table": str(table)}}
    for age in (50, 60):
        rows = [f"HAM_{i},ISIC_{i},nv,histo,{age},male,back" for i in range(40)]
        table.write_text("\n".join(["lesion_id,image_id,dx,dx_type,age,sex,localization", *rows]))
        recipes.add(run(data, tmp_path / "out")["recipe"])
    assert len(recipes) == 2


def test_the_code_of_the_data_layer_and_of_the_readers_folder_is_part_of_the_recipe(tmp_path):
    reader = types.ModuleType("mine")
    reader.__file__ = str(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "helper.py").write_text("1")
    first = readers.code_hash(reader)
    assert readers.code_hash(reader) == first
    (tmp_path / "helper.py").write_text("2")
    assert readers.code_hash(reader) != first


def official(flag, mini, counts):
    """A RetinaMNIST or BreastMNIST of the official counts a class, with 4 x 4 pictures."""
    rng, arrays = np.random.default_rng(0), {}
    for split, each in counts.items():
        labels = np.repeat(np.arange(len(each), dtype=np.uint8), each)
        shape = (len(labels), 4, 4, 3) if flag == "retinamnist" else (len(labels), 4, 4)
        arrays |= {
            f"{split}_labels": labels[:, None],
            f"{split}_images": rng.integers(0, 256, shape, dtype=np.uint8),
        }
    return mini(f"{flag}.npz", **arrays)


OFFICIAL = {
    "retinamnist": {
        "train": [486, 128, 206, 194, 66],
        "val": [54, 12, 28, 20, 6],
        "test": [174, 46, 92, 68, 20],
    },
    "breastmnist": {"train": [147, 399], "val": [21, 57], "test": [42, 114]},
}


@pytest.mark.parametrize("flag", OFFICIAL)
def test_the_papers_256_shots_of_the_two_small_sets_are_their_whole_training_split(flag, mini, tmp_path):
    data = OmegaConf.to_container(compose(["conf=vrft_aug", f"conf/data={flag}"]).conf.data, resolve=True)
    data |= {"source": str(official(flag, mini, OFFICIAL[flag])), "params": {"allow_altered": True}}
    cards = {shots: run({**data, "shots": shots}, tmp_path / str(shots)) for shots in (10, 20, 256)}
    classes = len(OFFICIAL[flag]["train"])
    rows = {shots: card["splits"]["train"]["distinct"] for shots, card in cards.items()}
    # 486 + 128 + 206 + 194 + 66 = 1,080 and 147 + 399 = 546; 256 a class would be 256 + 128 + 206 + 194 + 66 = 850 and 403
    assert rows == {10: 10 * classes, 20: 20 * classes, 256: {"retinamnist": 1080, "breastmnist": 546}[flag]}
    assert set(cards[20]["splits"]["train"]["labels"].values()) == {20}
    assert cards[256]["changes"] == ["train: taken whole, as from 256 shots on (shots=256)."]
    without = run({**data, "shots": 256, "whole_from": None}, tmp_path / "256")
    assert without["recipe"] != cards[256]["recipe"]
    assert without["splits"]["train"]["rows"] == {"retinamnist": 850, "breastmnist": 403}[flag]


def test_whole_from_is_null_unless_a_set_says_so():
    assert compose(["conf=vrft_aug", "conf/data=pneumoniamnist"]).conf.data.whole_from is None


def test_the_test_rows_do_not_change_with_the_seed(config, tmp_path):
    for seed in (0, 1):
        run(config(test_per_class=1, shots=2), tmp_path / str(seed), seed=seed)
    ids = [
        [
            [s.id for s in parquet.read_samples(tmp_path / f"{seed}/{split}.parquet")]
            for split in ("train", "test")
        ]
        for seed in (0, 1)
    ]
    assert ids[0][1] == ids[1][1] and ids[0][0] != ids[1][0]
