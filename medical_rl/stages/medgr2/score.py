"""Stage `round_k/score`: R_phi's score of every candidate (Algorithm 1, line 4)."""

import json

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import target
from medical_rl.loop.plan import split_stage
from medical_rl.reward_model.graded import Graded
from medical_rl.run.files import write_text
from medical_rl.run.folder import RunFolder
from medical_rl.stages.medgr2.ask_reward_model import newest_reward_model, score_rows
from medical_rl.stages.stage import VLLM_ENGINE, Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write round_k/scores.jsonl: {"id", "score", "outputs"} of every candidate.

    Its rationale and answer are scored as the policy would write them.
    """
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    candidates = home / "candidates.parquet"
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    # The grade is not known: that is what is asked.
    rows = (Graded(sample, target(sample, prompt), 0.0, "candidate") for sample in read_samples(candidates))
    outputs = score_rows(config, newest_reward_model(config, folder), rows, home / "score" / "candidates")
    lines, scores = [], []
    for sample, values in zip(read_samples(candidates, with_images=False), outputs, strict=True):
        scores.append(values[0])
        lines.append(json.dumps({"id": sample.id, "score": values[0], "outputs": values}) + "\n")
    write_text(home / "scores.jsonl", "".join(lines))
    scores.sort()
    lowest, median, highest = scores[0], scores[len(scores) // 2], scores[-1]
    notes = [
        f"{len(scores):,} scores: lowest {lowest:.2f}, median {median:.2f}, highest {highest:.2f} (grades "
        "are -6 to 10)"
    ]
    figures = {"n": len(scores), "lowest": lowest, "median": median, "highest": highest}
    return {"outputs": {"scores": f"round_{round_}/scores.jsonl"}, "notes": notes, "figures": figures}


STAGE = Stage(
    name="score",
    title="scores by the reward model",
    run=run,
    reads=("conf.prompt", "conf.reward_training.scorer", *VLLM_ENGINE),
    in_loop_only=True,
)
