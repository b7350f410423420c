"""`conf.dry_run=true`: check everything a run needs, train nothing and write nothing lasting.

Data are prepared into a temporary folder exactly as the run would, every row is read back, the gold answers
are scored by the configured rewards, verl's own validation and the model's own processor are asked, and the
space that the run will take is compared with what the disk has. What cannot be checked here is listed.
"""

import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from medical_rl.config.hardware import count_gpus
from medical_rl.config.settings import plain
from medical_rl.data.parquet import check_columns, read_samples
from medical_rl.data.prepare.card import read_card
from medical_rl.data.prepare.gold import check_rewards_on_gold, check_rewards_on_rows
from medical_rl.data.prepare.prepare import prepare
from medical_rl.engine.checks import prompt_problems
from medical_rl.errors import UserError
from medical_rl.pipeline.disk_space import check_disk_space
from medical_rl.pipeline.engine_checks import model_in_place, verl_problems
from medical_rl.pipeline.estimate import estimate
from medical_rl.pipeline.named import (
    Findings,
    NamedModel,
    check_corpora,
    check_model_here,
    distant_trackers,
    named_models,
    named_services,
)
from medical_rl.stages import reinforces
from medical_rl.stages.common.further_sets import further_sets, prepare_further, prepare_warm_start_sets
from medical_rl.stages.common.models import is_local
from medical_rl.stages.common.prepare import first_split, refuse_missing_splits, settings

VERL = "verl's settings"


@dataclass(frozen=True)
class Check:
    """A step, left out where one that it `needs` failed.

    `ask` returns a sentence, or None where it could not look and noted so; it raises UserError.
    """

    name: str
    ask: Callable[[], str | None]
    needs: tuple[str, ...] = ()


def dry_run(config: DictConfig, console: Console) -> None:
    """Print a line for everything that was checked; a UserError if anything in it would stop the run."""
    heading = "[bold]dry run[/bold]: everything a run needs is checked, nothing is trained"
    console.print(heading, highlight=False)
    found, failed, problems = Findings(), set(), []
    with (
        tempfile.TemporaryDirectory(prefix="medical_rl-dry-run-") as scratch,
        ThreadPoolExecutor(1) as beside,
    ):
        verl = beside.submit(verl_problems, config)  # a child process, while the data are prepared
        checks = _checks(config, Path(scratch), found, verl)
        for check in checks:
            name = f"[bold]{check.name}[/bold]"
            lacking = failed.intersection(check.needs)
            if lacking:
                failed.add(check.name)
                found.unchecked.append(f"{check.name}, which needs {' and '.join(sorted(lacking))}")
                continue
            try:
                sentence = check.ask()
                if sentence is not None:
                    console.print(f"[green]✓[/green] {name}: {sentence}", highlight=False)
            except UserError as error:
                failed.add(check.name)
                problems.append(str(error))
                console.print(f"[red]✗[/red] {name}", highlight=False)
    for sentence in dict.fromkeys(found.unchecked):
        console.print(f"[yellow]–[/yellow] not checked: {sentence}", highlight=False)
    if problems:
        told = " ".join(dict.fromkeys(problems))
        raise UserError(f"The run would not work: {len(problems)} of {len(checks)} checks failed. {told}")


def _checks(config: DictConfig, scratch: Path, found: Findings, verl: Future[list[str]]) -> list[Check]:
    """The checks in order. What they cannot look at is noted in `found`; `verl` is what verl would refuse."""
    out = scratch / "data"
    checks = [
        Check("stages", lambda: ", ".join(config.conf.stages)),
        Check("models", lambda: _check_models(config, found)),
        Check("corpora", lambda: _check_named(config, found)),
        Check("data", lambda: _check_data(config, out)),
        Check("rewards on the gold answers", lambda: _check_gold(config, out), ("data",)),
        Check(VERL, lambda: _said(verl.result(), "verl takes them")),
        Check("a real prompt", lambda: _check_prompt(config, out, found), ("data", VERL)),
        Check("estimate", lambda: _estimate(config, out), ("data", VERL)),
        Check("disk", lambda: check_disk_space(config), (VERL,)),
        Check("hardware", lambda: _describe_hardware(config)),
    ]
    if "evaluate" in config.conf.stages and config.conf.evaluation.get("data"):
        checks.append(Check("further test sets", lambda: _check_further_sets(config, scratch)))
    return checks


def _said(problems: list[str], well: str) -> str:
    if problems:
        raise UserError(" ".join(problems))
    return well


def _check_models(config: DictConfig, found: Findings) -> str | None:
    """What is there and what each stage downloads; all that are missing are named at once."""
    model, sentences, problems, models = config.conf.model, [], [], named_models(config)
    if model.path is None:
        sentences.append(f"{model.name}: built by the stage prepare")
    for named in models:
        try:
            sentences.append(_check_model(named, found))
        except UserError as error:
            problems.append(str(error))
    told = "; ".join(filter(None, sentences))
    return _said(problems, told) or ("none is named" if not models else None)


def _check_named(config: DictConfig, found: Findings) -> str:
    own = Findings()
    check_corpora(config, own)
    found.unchecked += [f"the log-in of the tracker {name}" for name in distant_trackers(config)]
    for setting, address in named_services(config):
        found.unchecked.append(f"whether {setting}={address} answers: nothing is sent in a dry run")
    return _said(own.problems, ", ".join(own.there) or "none is named")


def _check_prompt(config: DictConfig, out: Path, found: Findings) -> str | None:
    if config.conf.model.path is None:
        found.unchecked.append(
            "a real prompt, as the stage prepare builds the tiny model: a run asks it then"
        )
        return None
    model = model_in_place(config, None)
    if model is None:
        found.unchecked.append(f"a real prompt, as {config.conf.model.path} is not in the cache")
        return None
    rows = out / f"{first_split(read_card(out))}.parquet"
    return _said(prompt_problems(config, model, rows), "the processor's count of its tokens is ours")


def _estimate(config: DictConfig, out: Path) -> str:
    splits = read_card(out)["splits"]
    return estimate(config, {split: int(facts["rows"]) for split, facts in splits.items()})


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
    said = [f"{rows} rows right by their own reward; mean reward {mean:.3f}"]
    for split in ("train", "val") if reinforces(config.conf.stages) else ():
        samples = read_samples(out / f"{split}.parquet", with_images=False)
        said += [f"{split}: {note}" for note in check_rewards_on_rows(samples, rewards, conf)]
    return "; ".join(said)


def _check_model(named: NamedModel, found: Findings) -> str:
    on_hub = _hub_model(named, found)
    if on_hub is not None:
        return on_hub
    own = Findings()
    check_model_here(named, own)
    _said(own.problems, "")
    folder = Path(own.there[0].partition("=")[2])
    kind = json.loads((folder / "config.json").read_text()).get("model_type", "unknown")
    return f"{named.path}: {kind}, complete"


def _check_further_sets(config: DictConfig, scratch: Path) -> str:
    split, counts = str(config.conf.evaluation.split), []
    for data, prompt in further_sets(config):
        card = prepare_further(data, prompt, scratch / f"data_{data['name']}", config)
        counts.append(f"{data['name']} {split} {card['splits'][split]['rows']} rows")
    return ", ".join(counts)


def _hub_model(named: NamedModel, found: Findings) -> str | None:
    """The size of a hub id's model ("" where it is not known); None for a folder or a model in the cache."""
    from httpx import HTTPError
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    path = named.path
    is_here = is_local(path) or isinstance(try_to_load_from_cache(path, "config.json"), str)
    if is_here or os.environ.get("HF_HUB_OFFLINE"):
        return None
    try:
        files = HfApi().model_info(path, files_metadata=True, timeout=10).siblings or []
    except RepositoryNotFoundError:
        raise UserError(
            f"There is no model {path!r} on the hub, and no folder of that name. Give a folder or a hub id: "
            f"{named.setting}=..."
        ) from None
    except (HfHubHTTPError, HTTPError, OSError):
        found.unchecked.append(
            f"{named.setting}={path}: it is not in the local cache, {named.stage} downloads it, and the hub "
            "cannot be asked from here"
        )
        return ""
    size = sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors"))
    return f"{path}: {named.stage} downloads it from the hub, {size / 1e9:.1f} GB"


def _describe_hardware(config: DictConfig) -> str:
    """The ranks or GPUs that the engine asks for; a dry run may be made where the GPUs are not: no error."""
    engine = config.conf.engine
    if engine.device == "cpu":
        return f"{engine.name}: {engine.ranks} rank(s), no GPU"
    return f"{engine.name}: {engine.ranks} GPUs a node asked for, {count_gpus()} visible here"
