"""What the training of R_phi is asked to do: the fields of its REQUEST.json."""

import dataclasses
from pathlib import Path

from medical_rl.reward_model.graded import CRITERIA
from medical_rl.reward_model.model import FACTS
from medical_rl.training.request import TrainingRequest


@dataclasses.dataclass(frozen=True)
class Phase:
    """One optimisation by AdamW, with warm-up and cosine decay to zero; give epochs or steps.

    epochs, steps  passes over the rows or pairs, or steps
    head_lr_ratio  learning rate of the head over that of the body. The head has to reach weights a hundred
                   times those it starts with, and until it does the body learns next to nothing from it.
    """

    batch_size: int = 32
    lr: float = 1e-5
    epochs: float | None = None
    steps: int | None = None
    lr_warmup_ratio: float = 0.05
    weight_decay: float = 0.0
    beta2: float = 0.95
    head_lr_ratio: float = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(TrainingRequest):
    """One training of R_phi; `model` is a Qwen2.5-VL, or an exported R_phi that is trained further with its head.

    rows              parquet file of graded rows
    sft               language-model warm-up on the rows made by "original"; None for none
    fit               training of the grades
    criteria          criteria with an output of their own beside the total
    min_pixels, max_pixels  image limits, saved with the exported processor
    max_length        tokens of a row at most; longer rows are dropped and counted, or an error (`overlong`)
    micro_batch       rows of one forward and backward pass on one device
    export_dtype      number format of the exported weights: float32 or bfloat16
    """

    TRAINING = "a reward model's training"
    PARTS = {"fit": Phase, "sft": Phase, "criteria": tuple}
    CHOICES = {
        "loss": ("loss", ("mse", "pairwise")),
        "precision": ("precision", ("fp32", "bf16")),
        "export_dtype": ("format of exported weights named", ("float32", "bfloat16")),
        "overlong": ("way with overlong rows named", ("drop", "error")),
        "criteria": ("criterion", CRITERIA),
    }
    rows: str
    fit: Phase
    sft: Phase | None = None
    loss: str = "mse"
    criteria: tuple[str, ...] = ()
    criteria_weight: float = 0.25
    max_length: int = 4096
    overlong: str = "drop"
    export_dtype: str = "float32"
    micro_batch: int = 32

    @property
    def outputs(self) -> list[str]:
        """Names of the model's outputs, the total first."""
        return ["total"] + list(self.criteria)

    @property
    def starts_from_language(self) -> bool:
        """False if `model` is an exported R_phi, which is trained further."""
        return not (Path(self.model) / FACTS).is_file()
