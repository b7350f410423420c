"""Stage `round_k/select`: the candidates that R_phi likes, added to D_gen (Algorithm 1, lines 5 to 9)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples, write_split
from medical_rl.errors import UserError
from medical_rl.loop.generators.triplets import key
from medical_rl.loop.select import kept, new_ones
from medical_rl.reward_model import rows as rated
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage
from medical_rl.sample import Sample


def run(config: DictConfig, folder: RunFolder) -> dict:
    """round_k/train.parquet (D_gen) and round_k/kept.json: what was kept, with its scores."""
    round_, _ = split_stage(folder.stage)
    loop = OmegaConf.to_container(config.conf.loop, resolve=True)
    seed, home = int(config.conf.seed), folder.round(round_)
    candidates = home / "candidates.parquet"
    scores = read_scores(home / "scores.jsonl")
    facts = [
        (s.id, key(s), bool(s.meta.get("is_error")), "is_error" in s.meta) for s in read_samples(candidates)
    ]
    chosen = kept([scores[id_] for id_, *_ in facts], loop["filter"], seed + round_)
    if not chosen and round_ == 1:
        raise UserError(
            f"R_phi kept none of {len(facts)} candidates: the highest score is {max(scores.values()):.2f}, and conf.loop.filter is "
            f"{loop['filter']}. Lower tau, or choose conf.loop.filter.by=top_k or quantile; {folder.path / 'reward_model'} has its calibration."
        )
    held = {key(s) for s in before(config, folder, round_)}
    new = new_ones(held, [facts[i][1] for i in chosen], loop["allow_overlap"])
    added = {facts[chosen[i]][0] for i in new}
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    rows = chain(before(config, folder, round_), (s for s in read_samples(candidates) if s.id in added))
    total = write_split(rows, home / "train.parquet", prompt)["rows"]
    refuse_few(config, total, folder.stage)
    write_json(
        home / "kept.json",
        {"kept": [{"id": facts[i][0], "score": scores[facts[i][0]]} for i in chosen], "added": sorted(added)},
    )
    figures = {
        "candidates": len(facts), "kept": len(chosen), "added": len(added), "total": total,
        "errors_generated": _share([wrong for _, _, wrong, known in facts if known]),
        "errors_kept": _share([facts[i][2] for i in chosen if facts[i][3]]),
        "lowest_kept": min((scores[facts[i][0]] for i in chosen), default=None),
    }  # fmt: skip
    notes = [
        f"{len(chosen)} of {len(facts)} candidates kept by {loop['filter']['by']}, {len(added)} of them new: D_gen has {total} rows"
    ]
    if figures["errors_generated"] is not None and figures["errors_kept"] is not None:
        notes.append(
            f"wrong on purpose: {figures['errors_generated']:.1%} of the candidates, {figures['errors_kept']:.1%} of those kept"
        )
    outputs = {"rows": f"round_{round_}/train.parquet", "kept": f"round_{round_}/kept.json"}
    return {"outputs": outputs, "notes": notes, "figures": figures}


def before(config: DictConfig, folder: RunFolder, round_: int) -> Iterator[Sample]:
    """D_gen before round `round_`: D_seed in the first (line 1), else what the round before left."""
    if round_ > 1:
        return read_samples(folder.round(round_ - 1) / "train.parquet")
    conf = config.conf
    train = folder.path / "data" / "train.parquet"
    return rated.seed_rows(train, int(conf.loop.seed_rows), int(conf.reward_training.rows), int(conf.seed))


def read_scores(path: Path) -> dict[str, float]:
    """{id: R_phi's score} as the stage `score` wrote them."""
    return {
        row["id"]: float(row["score"])
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    }


def refuse_few(config: DictConfig, total: int, stage: str) -> None:
    """None; UserError where D_gen does not fill a batch of the training that follows."""
    needed = {
        "conf.warm_start.batch_size": config.conf.warm_start.get("batch_size", 0),
        "data.train_batch_size": config.data.train_batch_size,
    }
    for name, size in needed.items():
        if total < int(size):
            raise UserError(
                f"After {stage} D_gen has {total} rows, fewer than {name}={size}. R_phi kept too few: lower conf.loop.filter.tau, or raise "
                "conf.generator.images, conf.generator.per_image or conf.loop.seed_rows."
            )


def _share(flags: list[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
