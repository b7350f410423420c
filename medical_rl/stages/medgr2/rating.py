"""R_phi at work in a stage: the newest one of the run, the scores of many rows, a server beside GRPO."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from medical_rl.errors import UserError
from medical_rl.loop.plan import judge_of
from medical_rl.reward_model.graded import Graded, write_graded
from medical_rl.reward_model.scoring import score_file
from medical_rl.rewards.mix import Mix
from medical_rl.run.files import digest
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage


def newest(config: DictConfig, folder: RunFolder) -> Path:
    """Folder of the R_phi that this stage works with: its round's; outside a loop the one of the stage reward_model.

    UserError where none is there.
    """
    round_, _ = split_stage(folder.stage)
    stage = (
        judge_of(round_, OmegaConf.to_container(config.conf.loop, resolve=True)) if round_ else "reward_model"
    )
    model = folder.output(stage, "model")
    if model is None:
        raise UserError(
            f"{folder.stage} asks R_phi, and {stage} has trained none in {folder.path}. Add reward_model to conf.stages, name a trained one "
            "(conf.reward_model.serve.path=FOLDER), or ask a server: conf/reward_model=endpoint conf.reward_model.base_url=http://HOST:PORT."
        )
    return model


def rate(config: DictConfig, model: Path, rows: Iterable[Graded], place: Path) -> list[list[float]]:
    """R_phi's outputs of every row (the total first), in order; those scored before of the same rows and model are kept.

    place  where the rows (.parquet), the request (.request.json) and the scores (.jsonl) lie, without an ending
    """
    files = {
        name: split_stage.with_name(f"{split_stage.name}.{name}")
        for name in ("parquet", "request.json", "jsonl")
    }
    split_stage.parent.mkdir(parents=True, exist_ok=True)
    write_graded(rows, files["parquet"])
    settings, engine = config.conf.reward_training, config.conf.engine
    identity = {"model": digest(model), "rows": digest(files["parquet"]), "scorer": str(settings.scorer)}
    asked = files["request.json"]
    before = json.loads(asked.read_text()) if asked.exists() else {}
    if before.get("identity") != identity:
        files["jsonl"].unlink(missing_ok=True)
    request = {
        "model": str(model), "rows": str(files["parquet"]), "output": str(files["jsonl"]), "batch": int(settings.score_batch),
        "device": str(engine.device), "dtype": str(engine.dtype), "gpus": int(config.conf.evaluation.gpus),
        "gpu_memory_utilization": float(engine.gpu_memory_utilization), "seed": int(config.conf.seed), "identity": identity,
    }  # fmt: skip
    return score_file(str(settings.scorer), request, asked)


@contextlib.contextmanager
def served(config: DictConfig, folder: RunFolder) -> Iterator[DictConfig]:
    """The configuration with the address of R_phi's server, which lives as long as the block.

    Unchanged, and nothing is started, where no term of the mix asks a reward model or an endpoint is configured.
    """
    settings = config.conf.get("reward_model")
    mix = Mix.from_config(OmegaConf.to_container(config.conf.rewards, resolve=True))
    if not settings or not settings.get("serve") or "reward_model" not in mix.needs:
        yield config
        return
    from medical_rl.engine.vllm.reward_server import reward_server

    serve = settings.serve
    model = Path(serve.path).expanduser() if serve.path else newest(config, folder)
    log = folder.log(f"{folder.stage}.reward_model")
    with reward_server(
        model,
        log=log,
        dtype=str(serve.dtype),
        device=str(config.conf.engine.device),
        gpus=serve.gpus,
        gpu_memory_utilization=float(serve.gpu_memory_utilization),
        max_model_len=serve.max_model_len
        or int(config.data.max_prompt_length) + int(config.data.max_response_length),
        start_timeout_s=float(serve.start_timeout_s),
    ) as base_url:
        config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
        with open_dict(config):
            config.conf.reward_model.base_url = base_url
        yield config
