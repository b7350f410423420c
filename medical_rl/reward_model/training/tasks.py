"""What R_phi is optimised on: language of the best texts, then their grades or pairs of them.

The losses: regression on grades (MedGR2, equation 1) or Bradley-Terry on pairs (its Algorithm 1, line 13).
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medical_rl.reward_model.model import Qwen2_5_VLForSequenceClassification, hidden_states
from medical_rl.reward_model.training.dataset import Units
from medical_rl.reward_model.training.plan import steps_of
from medical_rl.reward_model.training.request import Phase, Request
from medical_rl.training.encode import collate

SCALE = 6.0  # grades run from -6 to 10: errors near 1 for AdamW, while the head itself speaks in grades
CENTRE = 0.01  # weight of the pull to zero


def mse(scores: Tensor, targets: Tensor, criteria_weight: float) -> Tensor:
    """Mean of ((score - grade) / 6)^2 of the total, plus `criteria_weight` times that of known criteria.

    scores, targets  (rows, 1 + criteria); a target that is not known is NaN

    >>> mse(torch.tensor([[4.0], [0.0]]), torch.tensor([[10.0], [0.0]]), 0.0).item()
    0.5
    """
    known = ~targets.isnan()
    errors = torch.where(known, (scores - targets.nan_to_num()) / SCALE, 0.0) ** 2
    loss = errors[:, 0].mean()
    if scores.shape[1] > 1 and criteria_weight:
        loss = loss + criteria_weight * errors[:, 1:].sum() / known[:, 1:].sum().clamp(min=1)
    return loss


def pairwise(better: Tensor, worse: Tensor) -> Tensor:
    """Mean of -log sigmoid(better - worse) over the totals, and a weak pull of each pair to zero.

    better, worse  (pairs, outputs)

    Pairs say nothing of the level of a sample's scores: without the pull they drifted by thirty from image to
    image, and scores of different images could not be compared. The scale of the scores is left free.

    >>> round(pairwise(torch.tensor([[0.0]]), torch.tensor([[0.0]])).item(), 4)
    0.6931
    """
    better, worse = better[:, 0], worse[:, 0]
    return -functional.logsigmoid(better - worse).mean() + CENTRE * (better + worse).square().mean()


@dataclasses.dataclass
class Task:
    """One phase of a training.

    name    sft (language) or fit (grades)
    module  what is trained
    loss    (module as it was wrapped for training, batch) -> the batch's loss
    """

    name: str
    phase: Phase
    units: Units
    module: nn.Module
    loss: Callable[[nn.Module, dict[str, Tensor]], Tensor]

    @property
    def steps(self) -> int:
        """Number of the phase's steps."""
        phase = self.phase
        return steps_of(len(self.units), phase.batch_size, phase.epochs, phase.steps)

    def batch(self, units: Sequence[dict[int, dict]]) -> dict[str, Tensor]:
        """Tensors of some units' different rows, and `members`: the places of each unit's rows in them.

        grades    (rows, 1 + criteria)
        response  (rows, tokens), true where a token is of the response
        """
        rows: dict[int, dict] = {}
        for unit in units:
            rows |= unit
        places = {index: place for place, index in enumerate(rows)}
        encoded = list(rows.values())
        encoder = self.units.encoder
        batch = collate(encoded, encoder.padding, encoder.image_token)
        batch["grades"] = torch.tensor([row["grades"] for row in encoded], dtype=torch.float32)
        before = torch.tensor([row["before"] for row in encoded])
        tokens = torch.arange(batch["input_ids"].shape[1])
        batch["response"] = (tokens >= before[:, None]) & batch["attention_mask"].bool()
        batch["members"] = torch.tensor([list(map(places.get, unit)) for unit in units])
        return batch


class LanguageLoss(nn.Module):
    """The generating model as a module whose output is its next-token loss on the responses."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, **batch) -> Tensor:
        """The mean cross-entropy of the responses' tokens."""
        hidden = hidden_states(self.base.model, batch)
        predicted = batch["response"][:, 1:]
        # no other position's logits are needed, and they are large
        logits = self.base.lm_head(hidden[:, :-1][predicted])
        return functional.cross_entropy(logits.float(), batch["input_ids"][:, 1:][predicted])


def language_task(request: Request, units: Units, base) -> Task:
    """Language on the best texts: before it can grade texts about an image, a small model must read both."""

    def loss(module, batch):
        return module(**batch)

    return Task("sft", request.sft, units, LanguageLoss(base), loss)


def grading_task(request: Request, units: Units, model: Qwen2_5_VLForSequenceClassification) -> Task:
    """The task of `request.loss`: regression on the grades, or pairs of responses to one question."""

    def grade_loss(module, batch):
        return mse(module(**batch), batch["grades"], request.criteria_weight)

    def pair_loss(module, batch):
        better, worse = batch["members"].T
        scores = module(**batch)
        return pairwise(scores[better], scores[worse])

    return Task("fit", request.fit, units, model, pair_loss if request.loss == "pairwise" else grade_loss)
