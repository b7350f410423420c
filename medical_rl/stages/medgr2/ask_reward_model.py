"""R_phi at work in a stage: the newest one of the run, the scores of many rows, a server beside GRPO."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from medical_rl.errors import UserError
from medical_rl.loop.plan import reward_model_before, split_stage
from medical_rl.reward_model.graded import Graded, write_graded
from medical_rl.reward_model.score_requests import score_file
from medical_rl.rewards.mix import Mix
from medical_rl.run.files import digest
from medical_rl.run.folder import RunFolder


def newest_reward_model(config: DictConfig, folder: RunFolder) -> Path:
    """Folder of the R_phi that this stage works with: its round's, or outside a loop the only one.

    Raises UserError where none is there.
    """
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

    path  where the rows (.parquet), the request (.request.json) and the scores (.jsonl) lie, without an
          ending
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
    """The configuration with the address of R_phi's server, which lives as long as the block.

    Unchanged, and nothing is started, where no term of the mix asks a reward model or an endpoint is
    configured.
    """
    settings = config.conf.get("reward_model")
    mix = Mix.from_config(OmegaConf.to_container(config.conf.rewards, resolve=True))
    if not settings or not settings.get("serve") or "reward_model" not in mix.needs:
        yield config
        return
    from medical_rl.engine.vllm.reward_server import reward_server

    server = settings.serve
    whole_response = int(config.data.max_prompt_length) + int(config.data.max_response_length)
    with reward_server(
        Path(server.path).expanduser() if server.path else newest_reward_model(config, folder),
        log=folder.log(f"{folder.stage}.reward_model"),
        dtype=str(server.dtype),
        device=str(config.conf.engine.device),
        gpus=server.gpus,
        gpu_memory_utilization=float(server.gpu_memory_utilization),
        max_model_len=server.max_model_len or whole_response,
        start_timeout_s=float(server.start_timeout_s),
    ) as base_url:
        config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
        with open_dict(config):
            config.conf.reward_model.base_url = base_url
        yield config
