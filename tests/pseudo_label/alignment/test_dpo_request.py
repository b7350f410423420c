"""What preference tuning is asked for is checked by name and value before a model is loaded."""

import pytest
from omegaconf import OmegaConf

from medical_rl.errors import UserError
from medical_rl.pseudo_label.alignment.align import TRAINING
from medical_rl.pseudo_label.alignment.dpo import Request, arguments


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "pairs").write_bytes(b"1")
    return {
        "model": "m",
        "pairs": str(tmp_path / "pairs"),
        "out": "o",
        "work": "w",
        "min_pixels": 1,
        "max_pixels": 2,
    }


def test_the_papers_numbers_are_the_defaults(asked, root):
    conf = OmegaConf.load(root / "conf" / "alignment" / "dpo.yaml")
    request = Request.of({**asked, **{name: OmegaConf.to_container(conf)[name] for name in TRAINING}})
    # RULE: LoRA of rank 128 and alpha 256, learning rate 1e-7, 3 epochs.
    assert (request.lora.r, request.lora.alpha, request.lr, request.epochs) == (128, 256, 1e-7, 3)
    assert request.loss_type == ("sigmoid", "sft"), (
        "plain DPO collapses silently, see benchmarks/alignment.md"
    )
    assert OmegaConf.load(root / "conf" / "alignment" / "none.yaml").enabled is False


def test_nothing_is_cut_and_nothing_is_left_to_a_default_that_hurts(asked):
    told = arguments(Request.of(asked), processes=1)
    assert told["max_length"] is None, (
        "TRL's 1,024 tokens would cut the answers off, and margins would be zero"
    )
    assert told["bf16"] is False and told["gradient_checkpointing"] is False and told["use_cpu"] is True
    assert told["remove_unused_columns"] is False and told["report_to"] == "none"


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"learning_rate": 1}, "learning_rate"),
        ({"lora": {"rank": 8}}, "rank"),
        ({"loss_type": ["sigmoyd"], "loss_weights": [1.0]}, "Did you mean 'sigmoid'"),
        ({"loss_type": [], "loss_weights": []}, "Available: sft, sigmoid"),
        ({"loss_type": ["sigmoid"]}, "1 losses .sigmoid. and 2 weights"),
        ({"steps": 5}, "either epochs or steps"),
        ({"precision": "fp16"}, "Available: bf16, fp32"),
        ({"export_dtype": "half"}, "Available: auto, bfloat16, float32"),
        ({"lr_schedule": "step"}, "Available: constant, cosine, linear"),
    ],
)
def test_an_unknown_name_or_value_is_told_with_what_there_is(asked, wrong, says):
    with pytest.raises(UserError, match=says):
        Request.of({**asked, **wrong})


def test_a_missing_setting_is_named(asked):
    del asked["max_pixels"]
    with pytest.raises(UserError, match="max_pixels"):
        Request.of(asked)


def test_a_batch_is_shared_equally_or_refused(asked):
    request = Request.of({**asked, "batch_size": 16, "micro_batch": 2})
    assert request.accumulation(processes=4) == 2  # 16 pairs = 4 processes x 2 pairs x 2 passes
    for processes in (3, 16):
        with pytest.raises(UserError, match="must be a multiple"):
            request.accumulation(processes)


def test_the_identity_is_of_what_is_trained_and_not_of_where_it_lies(asked, tmp_path):
    first = Request.of(asked).identity()
    assert Request.of({**asked, "out": "elsewhere", "save_every": 7, "first_step": 30}).identity() == first
    assert Request.of({**asked, "lr": 1e-6}).identity() != first
    (tmp_path / "pairs").write_bytes(b"2")
    assert Request.of(asked).identity() != first
