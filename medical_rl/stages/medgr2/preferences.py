"""Stage `round_k/preferences`: the policy's answers, graded by rule (Algorithm 1, line 12)."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.parquet import count_rows, read_samples, write_split
from medical_rl.engine.vllm.requests import run_request
from medical_rl.errors import UserError
from medical_rl.judges.judge import from_config
from medical_rl.loop.plan import policy_after, split_stage
from medical_rl.reward_model.graded import write_graded
from medical_rl.reward_model.policy_grades import policy_rows
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.common.models import engine_request, policy_of
from medical_rl.stages.stage import VLLM_ENGINE, Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write round_k/preferences.parquet: graded responses of the policy, never graded by R_phi itself."""
    conf, seed = config.conf, int(config.conf.seed)
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    settings, prompt = plain(conf.loop.preferences), plain(conf.prompt)
    questions = home / "preferences" / "asked.parquet"
    write_split(draw_rows(home / "train.parquet", int(settings["rows"]), seed + round_), questions, prompt)
    policy = policy_of(policy_after(round_, conf.loop), config, folder)
    tokens = int(config.data.max_response_length)
    request = engine_request(config, policy, questions, prompt, tokens)
    request |= {"seed": 1000 * seed + round_, "n": int(settings["n"])}
    request |= {"temperature": float(settings["temperature"]), "top_p": 1.0}
    folder_of = questions.with_name
    replies = run_request(request, folder_of("request.json"), folder_of("responses.jsonl"))
    dropped: Counter[str] = Counter()
    written = list(responses(questions, replies))
    judge = from_config(plain(conf.judge), folder.path) if settings["soundness"] == "judge" else None
    allowed = float(conf.rewards.max_failure_rate)
    rows = policy_rows(written, str(settings["soundness"]), judge=judge, allowed=allowed, dropped=dropped)
    if not rows:
        raise UserError(f"None of {len(written)} responses of the policy could be graded: {dict(dropped)}.")
    write_graded(rows, home / "preferences.parquet")
    counts = Counter(map(attrgetter("made_by"), rows))
    by_kind = [f"{number:,} {kind.removeprefix('policy_')}" for kind, number in sorted(counts.items())]
    notes = [f"{len(rows):,} graded responses: {', '.join(by_kind)}"]
    for reason, number in dropped.items():
        notes.append(f"  {number:,} left out, the judge failed: {reason}")
    figures = {**counts, "dropped": dropped.total()}
    return {"outputs": {"rows": f"round_{round_}/preferences.parquet"}, "notes": notes, "figures": figures}


def draw_rows(train: Path, count: int, seed: int) -> list[Sample]:
    """`count` rows of D_gen, drawn with the seed, in the file's order; all of them where there are fewer."""
    total = count_rows(train)
    drawn = set(random.Random(seed).sample(range(total), min(count, total)))
    return [sample for number, sample in enumerate(read_samples(train)) if number in drawn]


def responses(questions: Path, replies: Path) -> Iterator[tuple[Sample, str]]:
    """(row, text) of every response in the lines of `replies`, in the order of the questions."""
    texts = {}
    for line in replies.read_text(encoding="utf-8").splitlines():
        reply = json.loads(line)
        texts[reply["id"]] = reply.get("responses") or [reply["response"]]
    for sample in read_samples(questions):
        for text in texts[sample.id]:
            yield sample, text


STAGE = Stage(
    "preferences", "graded samples of the policy", run,
    reads=(
        "conf.loop.preferences", "conf.seed", "conf.prompt", "conf.model", *VLLM_ENGINE,
        "data.max_response_length",
    ),
    in_loop_only=True,
)  # fmt: skip
