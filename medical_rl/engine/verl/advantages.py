"""What the trainer changes around verl's advantage step: totals, groups, GDPO's advantages."""

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


def read_rows(keys: Sequence[str], partition: str, field: str) -> list[torch.Tensor]:
    """A field of each trajectory, its own length each."""
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=[field])
    return [row.clone() for row in data[field].unbind()]


def _write_rows(keys: Sequence[str], partition: str, fields: Mapping[str, Sequence[torch.Tensor]]) -> None:
    nested = {}
    for name, rows in fields.items():
        nested[name] = torch.nested.as_nested_tensor(list(rows), layout=torch.jagged)
    tq.kv_batch_put(keys=list(keys), partition_id=partition, fields=TensorDict(nested, batch_size=len(keys)))


def write_totals(keys: Sequence[str], partition: str, totals: Sequence[float]) -> None:
    """Write `totals` to the last tokens of the trajectories, where verl reads rewards."""
    scores = read_rows(keys, partition, "rm_scores")
    for row, total in zip(scores, totals, strict=True):
        row[-1] = total
    _write_rows(keys, partition, {"rm_scores": scores})


def isolate(keys: Sequence[str], partition: str) -> dict[str, str]:
    """Make each trajectory a group of its own; returns {key: the group it was in}.

    In a group of one the baseline of GRPO and RLOO is 0, so with a total of 0 the trajectory has no
    advantage, and those it leaves behind are compared among themselves alone. (The run's validation refuses
    other estimators.)
    """
    _write_groups({key: f"{key}-apart" for key in keys}, partition)
    return dict(zip(keys, map(group_of, keys), strict=True))


def restore_groups(groups: Mapping[str, str], partition: str) -> None:
    """Undo `isolate`."""
    _write_groups(groups, partition)


def _write_groups(groups: Mapping[str, str], partition: str) -> None:
    if groups:
        fields = list_of_dict_to_tensordict([{"uid": group} for group in groups.values()])
        tq.kv_batch_put(keys=list(groups), partition_id=partition, fields=fields)


def gdpo_advantages(
    mask: torch.Tensor,
    groups: Sequence[str],
    results: Sequence[Mapping],
    weights: Mapping[str, float],
    norm: bool = True,
) -> torch.Tensor:
    """GDPO's advantages (batch x tokens): terms normalised in their group, weighted, summed, whitened.

    verl's own function computes them; its v1 trainer does not hand it the terms.
    """
    terms = {name: np.array([float(result[name]) for result in results]) for name in weights}
    advantages, _ = compute_gdpo_outcome_advantage(
        token_level_rewards=torch.zeros_like(mask, dtype=torch.float32),
        response_mask=mask.float(),
        index=np.array(list(groups), dtype=object),
        norm_adv_by_std_in_grpo=norm,
        config={"gdpo_reward_keys": list(terms), "gdpo_reward_weights": list(weights.values())},
        non_tensor_batch=terms,
        batch={"prompts": torch.zeros(len(mask), 0), "attention_mask": mask.long()},
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
    """Write GDPO's advantages and returns over those that verl has written; 0 where dropped."""
    masks = read_rows(keys, partition, "response_mask")
    rows = [torch.zeros(len(mask)) for mask in masks]
    left_out = set(dropped)
    used = [number for number, key in enumerate(keys) if key not in left_out]
    if used:
        padded = torch.nn.utils.rnn.pad_sequence([masks[i] for i in used], batch_first=True)
        groups = [group_of(keys[i]) for i in used]
        norm = bool(algorithm.get("norm_adv_by_std_in_grpo", True))
        advantages = gdpo_advantages(padded, groups, [results[i] for i in used], weights, norm)
        for number, values in zip(used, advantages, strict=True):
            rows[number] = values[: len(masks[number])].float()
    _write_rows(keys, partition, {"advantages": rows, "returns": rows})
