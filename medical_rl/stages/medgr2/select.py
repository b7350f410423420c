"""Stages `round_k/select`, the candidates that R_phi likes, added to D_gen (Algorithm 1, lines 5 to 9), and
`best`, the policy of the loop that validated best."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples, write_split
from medical_rl.errors import UserError
from medical_rl.loop import plan
from medical_rl.loop.check import kept_positions, new_positions
from medical_rl.loop.generators.triplets import duplicate_key
from medical_rl.loop.plan import split_stage
from medical_rl.loop.rounds import read_outcome
from medical_rl.reward_model.training.rows import seed_rows
from medical_rl.run.files import link_or_copy, replacing_folder, write_json
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.stage import Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write round_k/train.parquet (D_gen) and round_k/kept.json: what was kept, with its scores."""
    round_, _ = split_stage(folder.stage)
    loop = plain(config.conf.loop)
    home = folder.round(round_)
    file = home / "candidates.parquet"
    candidates, keys = [], []
    for sample in read_samples(file):
        keys.append(duplicate_key(sample))
        candidates.append(dataclasses.replace(sample, images=()))
    score_of = {}
    for line in (home / "scores.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        score_of[record["id"]] = float(record["score"])
    scores = [score_of[sample.id] for sample in candidates]
    positions = kept_positions(scores, loop["filter"], int(config.conf.seed) + round_)
    if not positions and round_ == 1:
        raise UserError(
            f"R_phi kept none of {len(candidates)} candidates: the highest score is {max(scores):.2f}, and "
            f"conf.loop.filter is {loop['filter']}. Lower tau, or choose conf.loop.filter.by=top_k or "
            f"quantile; {folder.path / 'reward_model'} has its calibration."
        )
    kept, kept_keys, kept_scores = [], [], []
    for position in positions:
        kept.append(candidates[position])
        kept_keys.append(keys[position])
        kept_scores.append({"id": candidates[position].id, "score": scores[position]})
    present = set(map(duplicate_key, rows_before(config, folder, round_)))
    added = {kept[position].id for position in new_positions(present, kept_keys, loop["allow_overlap"])}
    prompt = plain(config.conf.prompt)
    new_rows = (sample for sample in read_samples(file) if sample.id in added)
    rows = chain(rows_before(config, folder, round_), new_rows)
    total = write_split(rows, home / "train.parquet", prompt)["rows"]
    check_batches(config, total, folder.stage)
    write_json(home / "kept.json", {"kept": kept_scores, "added": sorted(added)})
    generated, passed = error_share(candidates), error_share(kept)
    figures = {
        "candidates": len(candidates), "kept": len(kept), "added": len(added), "total": total,
        "errors_generated": generated, "errors_kept": passed,
        "lowest_kept": min(map(itemgetter("score"), kept_scores), default=None),
    }  # fmt: skip
    counts = f"{len(kept)} of {len(candidates)} candidates kept by {loop['filter']['by']}"
    notes = [f"{counts}, {len(added)} of them new: D_gen has {total} rows"]
    if generated is not None and passed is not None:
        notes.append(f"wrong on purpose: {generated:.1%} of the candidates, {passed:.1%} of those kept")
    outputs = {"rows": f"round_{round_}/train.parquet", "kept": f"round_{round_}/kept.json"}
    return {"outputs": outputs, "notes": notes, "figures": figures}


def rows_before(config: DictConfig, folder: RunFolder, round_: int) -> Iterator[Sample]:
    """D_gen before round `round_`: D_seed in the first (line 1), else what the round before left."""
    if round_ > 1:
        return read_samples(folder.round(round_ - 1) / "train.parquet")
    conf = config.conf
    train = folder.path / "data" / "train.parquet"
    return seed_rows(train, int(conf.loop.seed_rows), int(conf.reward_training.rows), int(conf.seed))


def check_batches(config: DictConfig, total: int, stage: str) -> None:
    """Raise UserError where D_gen does not fill a batch of the training that follows."""
    for name in ("conf.warm_start.batch_size", "data.train_batch_size"):
        size = int(OmegaConf.select(config, name) or 0)
        if total < size:
            raise UserError(
                f"After {stage} D_gen has {total} rows, fewer than {name}={size}. R_phi kept too few: lower "
                "conf.loop.filter.tau, or raise conf.generator.images, conf.generator.per_image or "
                "conf.loop.seed_rows."
            )


def error_share(rows: Sequence[Sample]) -> float | None:
    """Share of rows wrong on purpose among those of which it is known (meta["is_error"]); None without."""
    known = [bool(row.meta["is_error"]) for row in rows if "is_error" in row.meta]
    return sum(known) / len(known) if known else None


STAGE = Stage(
    "select", "filter", run,
    reads=(
        "conf.loop.filter", "conf.loop.allow_overlap", "conf.loop.seed_rows", "conf.reward_training.rows",
        "conf.seed", "conf.prompt",
    ),
    in_loop_only=True,
)  # fmt: skip


def keep_best(config: DictConfig, folder: RunFolder) -> dict:
    """Copy the model that validated best of all rounds (loop.json) to checkpoints/best/huggingface."""
    outcome = read_outcome(folder)
    if outcome is None:
        raise UserError(
            "The stage `best` keeps the loop's best round, and no loop has ended in this run folder: put "
            "loop before it in conf.stages."
        )
    stage = outcome["best"]
    source = folder.output(stage, "model") if stage else None
    if source is None:
        raise UserError(
            f"Round {outcome['best_round']} has trained no policy: conf.loop.steps has neither warm_start "
            "nor rl."
        )
    goal = "checkpoints/best/huggingface"
    (folder.path / goal).parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder.path / goal) as scratch:
        shutil.copytree(source, scratch, copy_function=link_or_copy)
    return {"outputs": {"model": goal}, "notes": [f"the model of {stage}"]}


def policies(conf: Mapping) -> tuple[str, ...]:
    """Every stage of the loop that leaves a policy."""
    return tuple(plan.policy_stages(conf["loop"])) if "loop" in conf["stages"] else ()


BEST = Stage(name="best", title="the best round's model", run=keep_best, needs=policies)
