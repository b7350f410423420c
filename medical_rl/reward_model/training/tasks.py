"""The losses of R_phi: regression on grades (MedGR2, equation 1) or Bradley-Terry on pairs (its Algorithm 1, line 13).

What R_phi is optimised on: the language of the best texts first, then their grades, or pairs of them.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from medical_rl.reward_model.model import Qwen2_5_VLForSequenceClassification, read
from medical_rl.reward_model.training.plan import GradedTable
from medical_rl.reward_model.training.request import Phase, Request
from medical_rl.training.encode import Encoder, collate

SCALE = 6.0  # grades run from -6 to 10: errors near 1 for AdamW, while the head itself speaks in grades
CENTRE = 0.01  # weight of the pull to zero


def mse(scores: Tensor, targets: Tensor, criteria_weight: float) -> Tensor:
    """Mean of ((score - grade) / 6)^2 of the total, plus `criteria_weight` times that of the criteria that are known.

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
    """Mean of -log sigmoid(better - worse) over the totals, both of shape (pairs, outputs), and a weak pull of each pair to zero.

    Pairs say nothing of the level of a sample's scores: without the pull they drifted by thirty from image to image, and
    scores of different images could not be compared. The scale of the scores is left free.

    >>> round(pairwise(torch.tensor([[0.0]]), torch.tensor([[0.0]])).item(), 4)
    0.6931
    """
    better, worse = better[:, 0], worse[:, 0]
    return -functional.logsigmoid(better - worse).mean() + CENTRE * (better + worse).square().mean()


class Units(Dataset):
    """`units[i]`: encoded rows by their index, those of one row or of a pair (better, worse)."""

    def __init__(
        self,
        table: GradedTable,
        encoder: Encoder,
        members: Sequence[tuple[int, ...]],
        criteria: Sequence[str] = (),
    ):
        self.table, self.encoder, self.members, self.criteria = table, encoder, list(members), tuple(criteria)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> dict[int, dict]:
        return {member: self._row(member) for member in self.members[index]}

    def _row(self, index: int) -> dict:
        row = self.table[index]
        grades = [row.grade, *(row.criteria.get(criterion, float("nan")) for criterion in self.criteria)]
        return {**self.encoder.encode(row.sample, row.text), "grades": grades}


class Task(abc.ABC):
    """One phase: its name, settings, units, the module that is trained, and the loss of a batch."""

    def __init__(self, name: str, phase: Phase, units: Units, module: nn.Module):
        self.name, self.phase, self.units, self.module = name, phase, units, module

    def batch(self, units: Sequence[dict[int, dict]]) -> dict[str, torch.Tensor]:
        """Tensors of the different rows of some units, and `members`: the places of each unit's rows among them."""
        rows = {index: row for unit in units for index, row in unit.items()}
        places = {index: i for i, index in enumerate(rows)}
        encoder = self.units.encoder
        batch = collate(list(rows.values()), encoder.padding, encoder.image_token)
        batch["grades"] = torch.tensor([row["grades"] for row in rows.values()], dtype=torch.float32)
        before = torch.tensor([row["before"] for row in rows.values()])
        tokens = torch.arange(batch["input_ids"].shape[1])
        batch["response"] = (tokens >= before[:, None]) & batch["attention_mask"].bool()
        batch["members"] = torch.tensor([[places[index] for index in unit] for unit in units])
        return batch

    @abc.abstractmethod
    def loss(self, module: nn.Module, batch: dict) -> torch.Tensor:
        """The loss of a batch, `module` being `self.module` as it was wrapped for training."""


class Language(Task):
    """Next-token loss on the responses: before it can grade texts about an image, a small model must read both."""

    def loss(self, module, batch):
        return module(**batch)


class Grades(Task):
    """Regression on the grades, equation 1."""

    weight = 0.0

    def loss(self, module, batch):
        return mse(module(**batch), batch["grades"], self.weight)


class Pairs(Task):
    """Bradley-Terry on pairs of responses to one question."""

    def loss(self, module, batch):
        better, worse = batch["members"].T
        scores = module(**batch)
        return pairwise(scores[better], scores[worse])


class LanguageLoss(nn.Module):
    """The generating model as a module whose output is its loss on the responses."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, **batch) -> torch.Tensor:
        hidden = read(self.base.model, batch)
        asked = batch["response"][:, 1:]
        logits = self.base.lm_head(
            hidden[:, :-1][asked]
        )  # no other position's logits are needed, and they are large
        return functional.cross_entropy(logits.float(), batch["input_ids"][:, 1:][asked])


def grading_task(request: Request, units: Units, model: Qwen2_5_VLForSequenceClassification) -> Task:
    """The task of `request.loss`."""
    task = {"mse": Grades, "pairwise": Pairs}[request.loss]("fit", request.fit, units, model)
    task.weight = request.criteria_weight
    return task
