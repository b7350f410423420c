"""What a preference tuning is asked: the fields of REQUEST.json, checked by name and value."""

import dataclasses
from pathlib import Path

from medical_rl.errors import UserError, unknown
from medical_rl.run.files import digest
from medical_rl.training.request import TrainingRequest

LOSS = "loss of preference tuning named"
LOSSES = ("sigmoid", "sft")


@dataclasses.dataclass(frozen=True)
class Lora:
    """Low-rank adapters on every linear layer of the language model; RULE's rank and alpha."""

    r: int = 128
    alpha: int = 256
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class Request(TrainingRequest):
    """One preference tuning.

    model          folder of the model that is aligned, which is also the reference
    pairs          parquet file of training pairs (preference.py)
    out, work      folder of the merged model; folder of saved states
    metrics        metrics.jsonl, or None for the MEDICAL_RL_METRICS variable
    name           what its figures are called there; first_step is added to its steps (what another training
                   took before)
    loss_type      sigmoid (DPO), sft (the chosen text's negative log-likelihood, a token), or both, weighted
                   by loss_weights
    beta           how far the reference is left: the lower, the further
    epochs, steps  passes over the pairs, or steps (one of the two)
    batch_size     pairs a step over all devices; micro_batch of one pass on one device
    export_dtype   of the merged weights; auto is the model's own
    """

    TRAINING = "preference tuning"
    PARTS = {"lora": Lora, "loss_type": tuple, "loss_weights": tuple}
    CHOICES = {
        "loss_type": (LOSS, LOSSES),
        "precision": ("precision", ("fp32", "bf16")),
        "export_dtype": ("format of merged weights named", ("auto", "float32", "bfloat16")),
        "lr_schedule": ("schedule of the learning rate named", ("constant", "linear", "cosine")),
    }
    # Where things lie and how often they are told does not change what is trained.
    NOT_IDENTITY = (
        "out", "work", "metrics", "save_every", "log_every", "workers", "name", "first_step", "phantom",
    )  # fmt: skip

    model: str
    pairs: str
    out: str
    work: str
    min_pixels: int
    max_pixels: int
    metrics: str | None = None
    name: str = "dpo"
    first_step: int = 0
    seed: int = 0
    loss_type: tuple[str, ...] = LOSSES
    loss_weights: tuple[float, ...] = (1.0, 1.0)
    beta: float = 0.1
    lora: Lora = Lora()
    lr: float = 1e-7
    lr_schedule: str = "cosine"
    lr_warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    epochs: float | None = 3
    steps: int | None = None
    batch_size: int = 16
    micro_batch: int = 1
    device: str = "cpu"
    precision: str = "fp32"
    export_dtype: str = "auto"
    gradient_checkpointing: bool = False
    save_every: int = 100
    log_every: int = 1
    workers: int = 0
    phantom: bool = False

    def check(self) -> None:
        """Raise UserError for a value that could not be trained with."""
        super().check()
        if not self.loss_type:
            raise unknown(LOSS, "", LOSSES)
        if len(self.loss_weights) != len(self.loss_type):
            raise UserError(
                f"conf.alignment has {len(self.loss_type)} losses ({', '.join(self.loss_type)}) and "
                f"{len(self.loss_weights)} weights; give loss_weights one number a loss."
            )
        if (self.epochs is None) == (self.steps is None):
            raise UserError(f"Give either epochs or steps; they are {self.epochs} and {self.steps}.")

    def content_hashes(self) -> dict[str, str]:
        """The pairs count by their content."""
        return {"pairs": digest(Path(self.pairs))}

    def accumulation(self, processes: int) -> int:
        """Passes of a step on each of `processes` devices. Raises UserError for a batch not to be shared."""
        passes, rest = divmod(self.batch_size, self.micro_batch * processes)
        if rest or not passes:
            raise UserError(
                f"A batch of {self.batch_size} pairs cannot be made of {processes} processes with "
                f"{self.micro_batch} pairs a pass: conf.alignment.batch_size must be a multiple of "
                "conf.alignment.micro_batch times the number of GPUs."
            )
        return passes
