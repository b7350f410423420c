"""Fixtures of the contract tests: verl in this process, a tiny model, prepared phantoms, a composed configuration."""

import pytest


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    """`conf=vrft_aug conf/scale=tiny conf/engine=cpu`, resolved, in a temporary run folder."""
    from omegaconf import OmegaConf, open_dict

    from medical_rl.compose import compose

    composed = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"])
    with open_dict(composed):
        composed.conf.run_dir = str(tmp_path_factory.mktemp("run"))
    return OmegaConf.create(OmegaConf.to_container(composed, resolve=True))


@pytest.fixture(scope="session")
def verl():
    """The installed verl, prepared for this host."""
    import verl

    import medical_rl.engine.plugin  # noqa: F401

    return verl


@pytest.fixture(scope="session")
def prompt(config):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config.conf.prompt)


@pytest.fixture(scope="session")
def prepared(config, prompt, tmp_path_factory):
    """Folder of prepared phantoms: a few rows of every split."""
    from omegaconf import OmegaConf

    from medical_rl.data.prepare import prepare

    data = OmegaConf.to_container(config.conf.data)
    data["params"]["sizes"] = {"warm_start": 8, "train": 12, "val": 5, "test": 5}
    out = tmp_path_factory.mktemp("prepared")
    prepare(data, prompt, out, seed=1, batch_size=4)
    return out


@pytest.fixture(scope="session")
def model(prepared, prompt, tmp_path_factory):
    """Folder of a tiny Qwen2.5-VL for the prepared phantoms."""
    from medical_rl.data.parquet import read_samples
    from medical_rl.data.prompts import messages, target
    from medical_rl.tiny.model import build_tiny_model

    texts = set()
    for sample in read_samples(prepared / "train.parquet"):
        texts |= {m["content"] for m in messages(sample, prompt)} | {target(sample, prompt)}
    return build_tiny_model(texts, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def processor(verl, model):
    from verl.utils import hf_processor

    return hf_processor(str(model))
