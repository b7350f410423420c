"""Merged LoRA weights answer as PEFT's own merge does."""

import pytest


def test_the_merged_model_equals_pefts_own_merge(verl, model, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoModelForImageTextToText

    from medical_rl.training.merge_lora import merge

    base = AutoModelForImageTextToText.from_pretrained(model)
    tuned = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", exclude_modules=".*visual.*")
    )
    torch.manual_seed(0)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.1)
    folder = tmp_path / "huggingface"
    folder.mkdir()
    save_file(
        {k: v.contiguous() for k, v in tuned.state_dict().items() if "lora_" in k},
        folder / "model.safetensors",
    )
    assert (
        merge(folder, str(model), tmp_path / "merged", scale=8 / 4) == 21
    )  # seven linear layers in each of three blocks
    expected = tuned.merge_and_unload().state_dict()
    found = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").state_dict()
    assert set(found) == set(expected)
    for name in expected:
        assert torch.allclose(found[name], expected[name], atol=1e-6), name


def test_lora_weights_of_another_model_are_refused(verl, model, tmp_path):
    import torch
    from safetensors.torch import save_file

    from medical_rl.errors import StageFailed
    from medical_rl.training.merge_lora import A, B, merge

    name = "base_model.model.model.elsewhere.q_proj"
    save_file({name + A: torch.zeros(2, 4), name + B: torch.zeros(4, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(StageFailed, match="elsewhere"):
        merge(tmp_path, str(model), tmp_path / "merged", scale=1.0)
