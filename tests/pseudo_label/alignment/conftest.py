"""Fixtures of the alignment's tests: a labeller that leans on reports, its pairs, and a model small enough for a second's work."""

import pytest

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64,
    "vision_depth": 1, "vision_hidden_size": 32, "vision_heads": 2, "vision_intermediate_size": 32,
}  # fmt: skip
SEEING = {
    "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 256,
    "vision_depth": 2, "vision_hidden_size": 96, "vision_heads": 4, "vision_intermediate_size": 192,
}  # fmt: skip


@pytest.fixture(scope="session")
def labeller(phantom, tmp_path_factory):
    """Folder of a tiny model that reads pictures, and was taught to lean on a report where there is one."""
    rows = phantom.drawn("warm_start", 700)
    return phantom.taught(
        phantom.leaning(rows, 0.65) + rows,
        tmp_path_factory.mktemp("labeller") / "model",
        steps=170,
        size=SEEING,
    )


@pytest.fixture(scope="session")
def pairs(phantom, labeller):
    """Pairs from 800 gold phantoms, half of whose reports are of another grade."""
    return phantom.made(labeller, phantom.drawn("train", 800), right=0.5, held_out=0.4)


@pytest.fixture(scope="session")
def small(phantom, tmp_path_factory):
    """(folder of a model of some 50,000 random parameters, file of 24 pairs made up for it)."""
    folder = tmp_path_factory.mktemp("small")
    rows = phantom.reported(phantom.drawn("train", 24), right=0.0)
    model = phantom.taught(rows, folder / "model", steps=1, size=SMALL, batch=8)
    phantom.write_preferences([phantom.contradicted(row) for row in rows], folder / "train.parquet")
    return model, folder / "train.parquet"
