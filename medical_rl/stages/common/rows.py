"""The rows a stage trains on: those that were prepared, or what an earlier stage made of them."""

from pathlib import Path

from medical_rl.loop.plan import split_stage
from medical_rl.run.folder import RunFolder


def training_rows(folder: RunFolder, split: str = "train") -> Path:
    """The parquet file of `split` as this stage takes it.

    In a round of the loop the training rows are the round's own; elsewhere rows that were pseudo-labelled
    come before those that were prepared.
    """
    round_, _ = split_stage(folder.stage)
    if split == "train" and round_ is not None:
        return folder.round(round_) / "train.parquet"
    return folder.output("pseudo_label", split) or folder.path / "data" / f"{split}.parquet"
