"""Stage `round_k/score`: R_phi's score of every candidate (Algorithm 1, line 4)."""

from __future__ import annotations

import json

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples, replacing
from medical_rl.data.prompts import target
from medical_rl.reward_model.graded import Graded
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage
from medical_rl.stages.medgr2.rating import newest, rate


def run(config: DictConfig, folder: RunFolder) -> dict:
    """round_k/scores.jsonl: {"id", "score"} of every candidate, its rationale and answer written as the policy would write them."""
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    # The grade is not known: that is what is asked.
    rows = (Graded(s, target(s, prompt), 0.0, "candidate") for s in read_samples(home / "candidates.parquet"))
    outputs = rate(config, newest(config, folder), rows, home / "score" / "candidates")
    ids = [s.id for s in read_samples(home / "candidates.parquet", with_images=False)]
    with replacing(home / "scores.jsonl") as scratch:
        lines = (
            json.dumps({"id": id_, "score": found[0], "outputs": found}) + "\n"
            for id_, found in zip(ids, outputs, strict=True)
        )
        scratch.write_text("".join(lines), encoding="utf-8")
    scores = sorted(found[0] for found in outputs)
    middle = scores[len(scores) // 2]
    figures = {"n": len(scores), "lowest": scores[0], "median": middle, "highest": scores[-1]}
    notes = [
        f"{len(scores):,} scores: lowest {scores[0]:.2f}, median {middle:.2f}, highest {scores[-1]:.2f} (grades are -6 to 10)"
    ]
    return {"outputs": {"scores": f"round_{round_}/scores.jsonl"}, "notes": notes, "figures": figures}
