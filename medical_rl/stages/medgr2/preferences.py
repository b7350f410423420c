"""Stage `round_k/preferences`: answers of the policy to D_gen's questions, graded by rule (Algorithm 1, line 12)."""

from __future__ import annotations

import json
import random
from collections import Counter

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples, write_split
from medical_rl.engine.vllm.requests import respond
from medical_rl.errors import UserError
from medical_rl.loop.plan import policy_after
from medical_rl.reward_model.graded import write_graded
from medical_rl.reward_model.policy_grades import policy_rows
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage
from medical_rl.stages.common.models import engine_request, policy_of


def run(config: DictConfig, folder: RunFolder) -> dict:
    """round_k/preferences.parquet: graded responses of the policy, never graded by R_phi itself."""
    conf = config.conf
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    settings = OmegaConf.to_container(conf.loop.preferences, resolve=True)
    prompt = OmegaConf.to_container(conf.prompt, resolve=True)
    asked = home / "preferences" / "asked.parquet"
    write_split(drawn(home / "train.parquet", int(settings["rows"]), int(conf.seed) + round_), asked, prompt)
    loop = OmegaConf.to_container(conf.loop, resolve=True)
    policy = policy_of(policy_after(round_, loop), config, folder)
    request = {
        **engine_request(config, policy, asked, prompt),
        "seed": 1000 * int(conf.seed) + round_,
        "temperature": float(settings["temperature"]),
        "top_p": 1.0,
        "n": int(settings["n"]),
    }
    replies = respond(request, asked.with_name("request.json"), asked.with_name("responses.jsonl"))
    said = {
        r["id"]: r.get("responses") or [r["response"]]
        for r in map(json.loads, replies.read_text(encoding="utf-8").splitlines())
    }
    written = [(sample, text) for sample in read_samples(asked) for text in said[sample.id]]
    dropped: Counter[str] = Counter()
    rows = policy_rows(
        written,
        str(settings["soundness"]),
        judge=_judge(config, folder, settings),
        allowed=float(conf.rewards.max_failure_rate),
        dropped=dropped,
    )
    if not rows:
        raise UserError(f"None of {len(written)} responses of the policy could be graded: {dict(dropped)}.")
    write_graded(rows, home / "preferences.parquet")
    counts = Counter(row.made_by for row in rows)
    notes = [
        f"{len(rows):,} graded responses: "
        + ", ".join(f"{n:,} {kind.removeprefix('policy_')}" for kind, n in sorted(counts.items()))
    ]
    notes += [f"  {n:,} left out, the judge failed: {why}" for why, n in dropped.items()]
    return {
        "outputs": {"rows": f"round_{round_}/preferences.parquet"},
        "notes": notes,
        "figures": {**counts, "dropped": dropped.total()},
    }


def drawn(train, count: int, seed: int) -> list:
    """`count` rows of D_gen, drawn with the seed, in the file's order; all of them where there are fewer."""
    total = sum(1 for _ in read_samples(train, with_images=False))
    chosen = set(random.Random(seed).sample(range(total), min(count, total)))
    return [sample for i, sample in enumerate(read_samples(train)) if i in chosen]


def _judge(config: DictConfig, folder: RunFolder, settings: dict):
    """The judge of conf/judge where the soundness is asked of one; None else."""
    if settings["soundness"] != "judge":
        return None
    from medical_rl.judges.build import from_config

    return from_config(OmegaConf.to_container(config.conf.judge, resolve=True), folder.path)
