"""Stage `round_k/score` (Algorithm 1, line 4); R_phi at work: the newest one, scores of rows, a server."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.loop.plan import reward_model_before, split_stage
from medical_rl.reward_model.graded import Graded, write_graded
from medical_rl.reward_model.score import score_file
from medical_rl.rewards.mix import Mix
from medical_rl.run.files import digest, write_text
from medical_rl.run.folder import RunFolder
from medical_rl.stages.stage import VLLM_ENGINE, Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write round_k/scores.jsonl: {"id", "score", "outputs"} of every candidate, as the policy writes it."""
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    candidates = home / "candidates.parquet"
    prompt = plain(config.conf.prompt)
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
    "score", "scores by the reward model", run,
    reads=("conf.prompt", "conf.reward_training.scorer") + VLLM_ENGINE,
    in_loop_only=True,
)  # fmt: skip


def newest_reward_model(config: DictConfig, folder: RunFolder) -> Path:
    """The folder of this stage's R_phi: its round's, or the only one; a UserError where there is none."""
    round_, _ = split_stage(folder.stage)
    stage = reward_model_before(round_, config.conf.loop) if round_ else "reward_model"
    model = folder.output(stage, "model")
    if model is None:
        raise UserError(
            f"{folder.stage} asks R_phi, and {stage} has trained none in {folder.path}. Add reward_model to "
            "conf.stages, name a trained one (conf.reward_model.serve.path=FOLDER), or ask a server: "
            "conf/reward_model=endpoint conf.reward_model.base_url=http://HOST:PORT."
        )
    return model


def score_rows(config: DictConfig, model: Path, rows: Iterable[Graded], path: Path) -> list[list[float]]:
    """R_phi's outputs of every row (total first), in order; earlier ones of the same rows are kept.

    path  of rows (.parquet), request (.request.json) and scores (.jsonl), without an ending
    """
    rows_file, request_file, scores_file = (
        path.with_name(f"{path.name}.{ending}") for ending in ("parquet", "request.json", "jsonl")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graded(rows, rows_file)
    settings, engine = config.conf.reward_training, config.conf.engine
    identity = {"model": digest(model), "rows": digest(rows_file), "scorer": str(settings.scorer)}
    earlier = json.loads(request_file.read_text()) if request_file.exists() else {}
    if earlier.get("identity") != identity:
        scores_file.unlink(missing_ok=True)
    request = {
        "model": str(model), "rows": str(rows_file), "output": str(scores_file),
        "batch": int(settings.score_batch), "device": str(engine.device), "dtype": str(engine.dtype),
        "gpus": int(config.conf.evaluation.gpus), "seed": int(config.conf.seed), "identity": identity,
        "gpu_memory_utilization": float(engine.gpu_memory_utilization),
    }  # fmt: skip
    return score_file(str(settings.scorer), request, request_file)


@contextlib.contextmanager
def serve(config: DictConfig, folder: RunFolder) -> Iterator[DictConfig]:
    """The configuration with the address of R_phi's server, started for the block if one is needed."""
    settings = config.conf.get("reward_model")
    mix = Mix.from_config(plain(config.conf.rewards))
    if not settings or not settings.get("serve") or "reward_model" not in mix.needs:
        yield config
        return
    from medical_rl.engine.vllm.reward_server import reward_server

    server = settings.serve
    whole_response = int(config.data.max_prompt_length) + int(config.data.max_response_length)
    model = Path(server.path).expanduser() if server.path else newest_reward_model(config, folder)
    with reward_server(
        model, log=folder.log(f"{folder.stage}.reward_model"), dtype=str(server.dtype),
        device=str(config.conf.engine.device), gpus=server.gpus,
        gpu_memory_utilization=float(server.gpu_memory_utilization),
        max_model_len=server.max_model_len or whole_response, start_timeout_s=float(server.start_timeout_s),
    ) as base_url:  # fmt: skip
        config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
        with open_dict(config):
            config.conf.reward_model.base_url = base_url
        yield config
