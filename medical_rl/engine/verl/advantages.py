"""What the trainer changes in TransferQueue around verl's advantage step: totals, groups, GDPO's advantages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import transfer_queue as tq
from tensordict import TensorDict
from verl.trainer.ppo.core_algos import compute_gdpo_outcome_advantage
from verl.utils.tensordict_utils import list_of_dict_to_tensordict


def group_of(key: str) -> str:
    """The prompt's id in a trajectory's key {uid}_{session}_{index}."""
    return key.rsplit("_", 2)[0]


def write_totals(keys: Sequence[str], partition: str, totals: Sequence[float]) -> None:
    """None; puts `totals` on the last tokens of the trajectories, where verl reads rewards."""
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=["rm_scores"])
    scores = [row.clone() for row in data["rm_scores"].unbind()]
    for row, total in zip(scores, totals, strict=True):
        row[-1] = total
    data["rm_scores"] = torch.nested.as_nested_tensor(scores, layout=torch.jagged)
    tq.kv_batch_put(keys=list(keys), partition_id=partition, fields=data.select("rm_scores"))


def set_apart(keys: Sequence[str], partition: str) -> dict[str, str]:
    """{key: its group}; makes each trajectory a group of its own.

    In a group of one the baseline of GRPO and RLOO is 0, so with a total of 0 the trajectory has no advantage, and
    those it leaves behind are compared among themselves alone. (`checks` refuses other estimators.)
    """
    if keys:
        _write_groups({key: f"{key}-apart" for key in keys}, partition)
    return {key: group_of(key) for key in keys}


def put_back(groups: Mapping[str, str], partition: str) -> None:
    """None; undoes `set_apart`."""
    if groups:
        _write_groups(groups, partition)


def _write_groups(groups: Mapping[str, str], partition: str) -> None:
    fields = list_of_dict_to_tensordict([{"uid": group} for group in groups.values()])
    tq.kv_batch_put(keys=list(groups), partition_id=partition, fields=fields)


def gdpo_advantages(
    mask: torch.Tensor,
    groups: Sequence[str],
    results: Sequence[Mapping],
    weights: Mapping[str, float],
    norm: bool = True,
) -> torch.Tensor:
    """GDPO's advantages (batch x tokens): each term normalised within its group, weighted, summed, then whitened.

    verl's own function computes them; its v1 trainer does not hand it the terms.
    """
    terms = {name: np.array([float(r[name]) for r in results]) for name in weights}
    config = {"gdpo_reward_keys": list(terms), "gdpo_reward_weights": list(weights.values())}
    batch = {"prompts": torch.zeros(len(mask), 0), "attention_mask": mask.long()}
    advantages, _ = compute_gdpo_outcome_advantage(
        token_level_rewards=torch.zeros_like(mask, dtype=torch.float32),
        response_mask=mask.float(),
        index=np.array(list(groups), dtype=object),
        norm_adv_by_std_in_grpo=norm,
        config=config,
        non_tensor_batch=terms,
        batch=batch,
    )
    return advantages


def write_gdpo(
    keys: Sequence[str],
    partition: str,
    results: Sequence[Mapping],
    weights: Mapping[str, float],
    algorithm: Mapping,
    dropped: Sequence[str] = (),
) -> None:
    """None; puts GDPO's advantages and returns of the trajectories in place of those verl has written."""
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=["response_mask"])
    masks = [row.clone() for row in data["response_mask"].unbind()]
    kept = [i for i, key in enumerate(keys) if key not in set(dropped)]
    rows = [torch.zeros(len(mask)) for mask in masks]
    if kept:
        padded = torch.nn.utils.rnn.pad_sequence([masks[i] for i in kept], batch_first=True)
        groups = [group_of(keys[i]) for i in kept]
        norm = bool(algorithm.get("norm_adv_by_std_in_grpo", True))
        for i, values in zip(
            kept, gdpo_advantages(padded, groups, [results[i] for i in kept], weights, norm), strict=True
        ):
            rows[i] = values[: len(masks[i])].float()
    nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    fields = TensorDict({"advantages": nested, "returns": nested.clone()}, batch_size=len(keys))
    tq.kv_batch_put(keys=list(keys), partition_id=partition, fields=fields)
