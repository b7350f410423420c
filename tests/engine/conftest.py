"""Fixtures of the contract tests: verl in this process, a tiny model, prepared phantoms, a composed configuration."""

import pytest


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    """`conf=vrft_aug conf/scale=tiny conf/engine=cpu`, resolved, in a temporary run folder."""
    from omegaconf import OmegaConf, open_dict

    from medical_rl.config.compose import compose

    composed = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"])
    with open_dict(composed):
        composed.conf.run_dir = str(tmp_path_factory.mktemp("run"))
    return OmegaConf.create(OmegaConf.to_container(composed, resolve=True))


@pytest.fixture(scope="session")
def verl():
    """The installed verl, prepared for this host."""
    import verl

    import medical_rl.engine.verl.plugin  # noqa: F401

    return verl


@pytest.fixture(scope="session")
def prompt(config):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config.conf.prompt)


@pytest.fixture(scope="session")
def prepared(config, prompt, tmp_path_factory):
    """Folder of prepared phantoms: a few rows of every split."""
    from omegaconf import OmegaConf

    from medical_rl.data.prepare.prepare import prepare

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


@pytest.fixture(scope="session")
def request_for(config, model, prepared, prompt):
    """A request of medical_rl.engine.vllm.generate for the tiny model and the prepared test rows, without its output."""

    def request(folder):
        return {
            "model": str(model), "rows": str(prepared / "test.parquet"), "limit": None, "prompt": prompt,
            "limits": {"min_pixels": 3136, "max_pixels": 3136}, "max_new_tokens": 16, "batch": 2, "device": config.conf.engine.device,
            "dtype": "float32", "gpus": 1, "gpu_memory_utilization": 0.5, "seed": 1,
        }  # fmt: skip

    return request


@pytest.fixture(scope="session")
def ask_engine(config, tmp_path_factory):
    """Runs `python -m medical_rl.engine.<module>` on a request, as the stage does; gives the lines of its output."""
    import json
    import subprocess
    import sys
    from pathlib import Path

    from medical_rl.engine.host.environment import stage_environment

    def run(module, request):
        file = tmp_path_factory.mktemp("request") / "request.json"
        file.write_text(json.dumps(request))
        environment = stage_environment(
            config.conf.engine, "test", "evaluate", str(file.with_name("metrics.jsonl"))
        )
        command = [sys.executable, "-m", f"medical_rl.engine.vllm.{module}", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
        assert done.returncode == 0, done.stderr[-4000:]
        return [json.loads(line) for line in Path(request["output"]).read_text().splitlines()]

    return run


@pytest.fixture(scope="session")
def other_model(prepared, prompt, tmp_path_factory):
    """Folder of a tiny LLaVA with random weights: a vision-language model that is none of the Qwen family."""
    import re

    import torch
    from safetensors.torch import load_file, save_file
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    from medical_rl.data.parquet import read_samples
    from medical_rl.data.prompts import messages
    from medical_rl.tiny.model import train_tokenizer

    folder = tmp_path_factory.mktemp("llava")
    texts = [m["content"] for s in read_samples(prepared / "train.parquet") for m in messages(s, prompt)]
    tokenizer = train_tokenizer(texts, 400)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.chat_template = None
    template = (
        "{% for m in messages %}{{ m.role | upper }}: {% for p in m.content %}"
        "{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %} {% endfor %}ASSISTANT:"
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=template,
    )  # fmt: skip
    vision = {"model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
              "num_attention_heads": 4, "image_size": 56, "patch_size": 14, "projection_dim": 64}  # fmt: skip
    text = {"model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 256,
            "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 1024,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}  # fmt: skip
    image = tokenizer.convert_tokens_to_ids("<image>")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LlavaForConditionalGeneration(
            LlavaConfig(vision_config=vision, text_config=text, image_token_id=image)
        )
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    # Published checkpoints, and vLLM, name the vision tower's weights one level deeper than current transformers writes them.
    file = folder / "model.safetensors"
    renamed = {
        re.sub(r"vision_tower\.(?!vision_model)", "vision_tower.vision_model.", k): v
        for k, v in load_file(file).items()
    }
    save_file(renamed, file, metadata={"format": "pt"})
    return folder
