"""`conf.dry_run=true`: check everything a run needs, train nothing and write nothing lasting.

Data are prepared into a temporary folder exactly as the run would, every row is read back, the gold answers
are scored by the configured rewards, and the space that the run will take is compared with what the disk has.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from medical_rl.config.hardware import count_gpus
from medical_rl.config.settings import plain
from medical_rl.data.parquet import check_columns, read_samples
from medical_rl.data.prepare.card import read_card
from medical_rl.data.prepare.gold import check_rewards_on_gold, check_rewards_on_rows
from medical_rl.data.prepare.prepare import prepare
from medical_rl.errors import UserError
from medical_rl.pipeline.disk_space import check_disk_space
from medical_rl.stages import reinforces
from medical_rl.stages.common.further_sets import further_sets, prepare_further, prepare_warm_start_sets
from medical_rl.stages.common.models import is_local, resolve_model
from medical_rl.stages.common.prepare import first_split, refuse_missing_splits, settings


def dry_run(config: DictConfig, console: Console) -> None:
    """Print a line for everything that was checked; a UserError if anything in it would stop the run."""
    heading = "[bold]dry run[/bold]: everything a run needs is checked, nothing is trained"
    console.print(heading, highlight=False)
    with tempfile.TemporaryDirectory(prefix="medical_rl-dry-run-") as scratch:
        steps = _steps(config, Path(scratch))
        problems = []
        for name, check in steps.items():
            try:
                console.print(f"[green]✓[/green] [bold]{name}[/bold]: {check()}", highlight=False)
            except UserError as error:
                problems.append(str(error))
                console.print(f"[red]✗[/red] [bold]{name}[/bold]", highlight=False)
    if problems:
        raise UserError(
            f"The run would not work: {len(problems)} of {len(steps)} checks failed. {' '.join(problems)}"
        )


def _steps(config: DictConfig, scratch: Path) -> dict[str, Callable[[], str]]:
    """The checks in order, by what they check; each returns a sentence or raises UserError."""
    out, model = scratch / "data", config.conf.model
    path = model.path
    steps: dict[str, Callable[[], str]] = {
        "stages": lambda: ", ".join(config.conf.stages),
        "data": lambda: _check_data(config, out),
        "rewards on the gold answers": lambda: _check_gold(config, out),
        "model": lambda: _check_model(str(path)) if path else f"{model.name}: built by the stage prepare",
        "disk": lambda: check_disk_space(config),
        "hardware": lambda: _describe_hardware(config),
    }
    evaluation = config.conf.evaluation if "evaluate" in config.conf.stages else {}
    if evaluation.get("data"):
        steps["further test sets"] = lambda: _check_further_sets(config, scratch)
    if evaluation.get("models"):
        steps["further models"] = lambda: "; ".join(map(_check_model, map(str, evaluation.models)))
    return steps


def _check_data(config: DictConfig, out: Path) -> str:
    data, prompt = settings(config)
    batch_size = int(config.data.train_batch_size)
    card = prepare(data, prompt, out, seed=int(config.conf.seed), batch_size=batch_size)
    refuse_missing_splits(config, card)
    prepare_warm_start_sets(config, out.parent)
    for split in card["splits"]:
        check_columns(out / f"{split}.parquet")
    counts = [f"{split} {facts['rows']} rows" for split, facts in card["splits"].items()]
    return "; ".join([", ".join(counts), *card["about"].get("notes", []), *card["notes"]])


def _check_gold(config: DictConfig, out: Path) -> str:
    conf = plain(config.conf)
    rewards = conf["rewards"]
    first = out / f"{first_split(read_card(out))}.parquet"
    rows, mean = check_rewards_on_gold(read_samples(first), rewards, conf["prompt"])
    for split in ("train", "val") if reinforces(config.conf.stages) else ():
        check_rewards_on_rows(read_samples(out / f"{split}.parquet", with_images=False), rewards, conf)
    return f"{rows} rows right by their own reward; mean reward {mean:.3f}"


def _check_model(path: str) -> str:
    on_hub = _hub_model(path)
    if on_hub is not None:
        return on_hub
    folder = Path(resolve_model(path, download=False))
    kind = json.loads((folder / "config.json").read_text()).get("model_type", "unknown")
    return f"{path}: {kind}, complete"


def _check_further_sets(config: DictConfig, scratch: Path) -> str:
    split, counts = str(config.conf.evaluation.split), []
    for data, prompt in further_sets(config):
        card = prepare_further(data, prompt, scratch / f"data_{data['name']}", config)
        counts.append(f"{data['name']} {split} {card['splits'][split]['rows']} rows")
    return ", ".join(counts)


def _hub_model(path: str) -> str | None:
    """The size of a hub id's model, or why it is not known; None for a folder or a model in the cache."""
    from httpx import HTTPError
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    is_here = is_local(path) or isinstance(try_to_load_from_cache(path, "config.json"), str)
    if is_here or os.environ.get("HF_HUB_OFFLINE"):
        return None
    try:
        files = HfApi().model_info(path, files_metadata=True, timeout=10).siblings or []
    except RepositoryNotFoundError:
        raise UserError(
            f"There is no model {path!r} on the hub, and no folder of that name. Give a folder or a hub id: "
            "conf.model.path=..."
        ) from None
    except (HfHubHTTPError, HTTPError, OSError):
        return (
            f"{path}: [yellow]not checked[/yellow], it is not in the local cache and the hub cannot be "
            "asked from here"
        )
    size = sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors"))
    return f"{path}: will be downloaded from the hub, {size / 1e9:.1f} GB"


def _describe_hardware(config: DictConfig) -> str:
    """The ranks or GPUs that the engine asks for; a dry run may be made where the GPUs are not: no error."""
    engine = config.conf.engine
    if engine.device == "cpu":
        return f"{engine.name}: {engine.ranks} rank(s), no GPU"
    return f"{engine.name}: {engine.ranks} GPUs a node asked for, {count_gpus()} visible here"
