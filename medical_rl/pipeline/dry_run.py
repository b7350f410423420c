"""`conf.dry_run=true`: everything a run needs is checked, nothing is trained and nothing lasting is written.

Data are prepared into a temporary folder exactly as the run would, every row is read back, the
gold answers are scored by the configured rewards, and the space that the run will take is compared
with what the disk has.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from medical_rl.config.hardware import count_gpus
from medical_rl.data.inspect.check import card_of
from medical_rl.data.parquet import check_columns, read_samples
from medical_rl.data.prepare.gold import check_rows, prove
from medical_rl.data.prepare.prepare import prepare
from medical_rl.errors import UserError
from medical_rl.pipeline.disk import enough
from medical_rl.stages import reinforces
from medical_rl.stages.common.eval_sets import further_sets, prepare_further
from medical_rl.stages.common.models import is_local, resolve_model
from medical_rl.stages.common.prepare import learned, prepare_also, refuse_missing, settings


def dry_run(config: DictConfig, console: Console) -> None:
    """None; prints a line for everything that was checked. UserError if anything in it would stop the run."""
    console.print(
        "[bold]dry run[/bold]: everything a run needs is checked, nothing is trained", highlight=False
    )
    with tempfile.TemporaryDirectory(prefix="medical_rl-dry-run-") as scratch:
        out = Path(scratch) / "data"
        steps: list[tuple[str, Callable[[], str]]] = [
            ("stages", lambda: ", ".join(config.conf.stages)),
            ("data", lambda: _data(config, out)),
            ("rewards on the gold answers", lambda: _gold(config, out)),
            ("model", lambda: _model(config)),
            ("disk", lambda: enough(config)),
            ("hardware", lambda: _hardware(config)),
        ]
        evaluation = config.conf.evaluation if "evaluate" in config.conf.stages else {}
        if evaluation.get("data"):
            steps.append(("further test sets", lambda: _further_data(config, Path(scratch))))
        if evaluation.get("models"):
            steps.append(("further models", lambda: "; ".join(_found(str(m)) for m in evaluation.models)))
        problems = []
        for name, check in steps:
            try:
                console.print(f"[green]✓[/green] [bold]{name}[/bold]: {check()}", highlight=False)
            except UserError as error:
                problems.append(str(error))
                console.print(f"[red]✗[/red] [bold]{name}[/bold]", highlight=False)
    if problems:
        raise UserError(
            f"The run would not work: {len(problems)} of {len(steps)} checks failed. " + " ".join(problems)
        )


def _data(config: DictConfig, out: Path) -> str:
    data, prompt = settings(config)
    card = prepare(
        data, prompt, out, seed=int(config.conf.seed), batch_size=int(config.data.train_batch_size)
    )
    refuse_missing(config, card)
    prepare_also(config, out.parent)
    for split in card["splits"]:
        check_columns(out / f"{split}.parquet")
    counts = ", ".join(f"{split} {facts['rows']} rows" for split, facts in card["splits"].items())
    return "; ".join([counts, *card["about"].get("notes", []), *card["notes"]])


def _gold(config: DictConfig, out: Path) -> str:
    rewards, prompt = (OmegaConf.to_container(config.conf[k], resolve=True) for k in ("rewards", "prompt"))
    card = card_of(out)
    rows, mean = prove(read_samples(out / f"{learned(card)}.parquet"), rewards, prompt)
    conf = OmegaConf.to_container(config.conf, resolve=True)
    for split in ("train", "val") if reinforces(config.conf.stages) else ():
        check_rows(read_samples(out / f"{split}.parquet", with_images=False), rewards, conf)
    return f"{rows} rows right by their own reward; mean reward {mean:.3f}"


def _model(config: DictConfig) -> str:
    path = config.conf.model.path
    if path is None:
        return f"{config.conf.model.name}: built by the stage prepare"
    return _found(str(path))


def _found(path: str) -> str:
    if (said := _hub_model(path)) is not None:
        return said
    folder = Path(resolve_model(path, download=False))
    kind = json.loads((folder / "config.json").read_text()).get("model_type", "unknown")
    return f"{path}: {kind}, complete"


def _further_data(config: DictConfig, scratch: Path) -> str:
    split, found = str(config.conf.evaluation.split), []
    for data, prompt in further_sets(config):
        card = prepare_further(data, prompt, scratch / f"data_{data['name']}", config)
        found.append(f"{data['name']} {split} {card['splits'][split]['rows']} rows")
    return ", ".join(found)


def _hub_model(path: str) -> str | None:
    """What can be said of a hub id without downloading it; None for a folder or a model in the local cache."""
    from httpx import HTTPError
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if (
        is_local(path)
        or isinstance(try_to_load_from_cache(path, "config.json"), str)
        or os.environ.get("HF_HUB_OFFLINE")
    ):
        return None
    try:
        files = HfApi().model_info(path, files_metadata=True, timeout=10).siblings or []
    except RepositoryNotFoundError:
        raise UserError(
            f"There is no model {path!r} on the hub, and no folder of that name. Give a folder or a hub id: conf.model.path=..."
        ) from None
    except (HfHubHTTPError, HTTPError, OSError):
        return f"{path}: [yellow]not checked[/yellow], it is not in the local cache and the hub cannot be asked from here"
    size = sum(f.size or 0 for f in files if f.rfilename.endswith(".safetensors"))
    return f"{path}: will be downloaded from the hub, {size / 1e9:.1f} GB"


def _hardware(config: DictConfig) -> str:
    """What the engine asks for; a dry run may be made where the GPUs are not, so this never fails."""
    engine = config.conf.engine
    if engine.device == "cpu":
        return f"{engine.name}: {engine.ranks} rank(s), no GPU"
    return f"{engine.name}: {engine.ranks} GPUs a node asked for, {count_gpus()} visible here"
