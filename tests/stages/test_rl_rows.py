"""GRPO takes the rows that the stages before it left: pseudo-labels where there are some, never the data's own answers."""

from omegaconf import OmegaConf

from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.rl import with_training_rows


def folder_with(tmp_path, stages: dict, stage: str = "rl") -> RunFolder:
    run = RunFolder(tmp_path)
    run.create()
    write_json(run.manifest_file, {"stages": stages})
    return RunFolder(tmp_path, stage)


def files(run: RunFolder, train: str | None = None) -> dict:
    train = train or f"{run.path}/data/train.parquet"
    composed = {"data": {"train_files": train, "val_files": f"{run.path}/data/val.parquet"}}
    config = OmegaConf.create(composed)
    OmegaConf.set_struct(config, True)
    changed = with_training_rows(config, run)
    assert OmegaConf.to_container(config) == composed, "the composed configuration stays as it was"
    return {name: path.removeprefix(f"{run.path}/") for name, path in changed.data.items()}


def test_a_recipe_without_labels_trains_on_what_was_prepared(tmp_path):
    found = files(folder_with(tmp_path, {"prepare": {"status": "done", "outputs": {}}}))
    assert found == {"train_files": "data/train.parquet", "val_files": "data/val.parquet"}


def test_pseudo_labelled_rows_replace_the_prepared_ones(tmp_path):
    outputs = {"train": {"path": "pseudo_label/train.parquet"}}
    stages = {"pseudo_label": {"status": "done", "outputs": outputs}}
    assert files(folder_with(tmp_path, stages)) == {
        "train_files": "pseudo_label/train.parquet", "val_files": "data/val.parquet"
    }  # fmt: skip
    outputs["val"] = {"path": "pseudo_label/val.parquet"}
    assert files(folder_with(tmp_path, stages))["val_files"] == "pseudo_label/val.parquet"


def test_a_round_has_rows_of_its_own(tmp_path):
    run = folder_with(tmp_path, {}, "round_2/rl")
    assert files(run) == {"train_files": "round_2/train.parquet", "val_files": "data/val.parquet"}


def test_a_file_of_ones_own_stays(tmp_path):
    outputs = {"train": {"path": "pseudo_label/train.parquet"}}
    run = folder_with(tmp_path, {"pseudo_label": {"status": "done", "outputs": outputs}})
    assert files(run, "/elsewhere/own.parquet")["train_files"] == "/elsewhere/own.parquet"
