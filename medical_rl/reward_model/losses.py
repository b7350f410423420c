"""The losses of R_phi: regression on grades (MedGR2, equation 1) or Bradley-Terry on pairs (its Algorithm 1, line 13)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

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
