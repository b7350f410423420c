"""Sets besides the run's own, by choice of conf/data: tested on, or learned by a warm start too."""

import copy
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.compose import choices, choose
from medical_rl.data import knowledge
from medical_rl.data.prepare.command import load_prompt
from medical_rl.data.prepare.prepare import prepare
from medical_rl.data.prepare.readers import load_reader, split_names
from medical_rl.errors import UserError, unknown

# Where the sets of conf.warm_start.also are prepared, below the run folder.
WARM_START_FOLDER = "data_also"


def further_sets(config: DictConfig, entries=None) -> list[tuple[dict, dict]]:
    """The (data, prompt) of each entry, composed and resolved as the run's own.

    entries  of `conf.evaluation.data` where None. One is a choice of conf/data, or a mapping {choice, prompt
             (a choice of conf/prompt), any field of the data}

    Raises UserError for a wrong entry.
    """
    if entries is None:
        entries = config.conf.evaluation.get("data") or ()
    sets = []
    names = {str(config.conf.data.name)}
    for entry in entries:
        fields = {"choice": entry} if isinstance(entry, str) else OmegaConf.to_container(entry, resolve=True)
        data, prompt = _compose(fields, config)
        if data["name"] in names:
            raise UserError(
                f"Two sets that are evaluated are named {data['name']!r}. Give this one another name: "
                f"conf.evaluation.data=[{{choice: {fields['choice']}, name: ...}}]."
            )
        names.add(data["name"])
        sets.append((data, prompt))
    return sets


def _compose(fields: Mapping, config: DictConfig) -> tuple[dict, dict]:
    """The (data, prompt) of one entry; what they interpolate is the run's."""
    choice = str(fields.get("choice"))
    if choice not in choices("data"):
        raise unknown("choice of conf/data", choice, choices("data"))
    base = copy.deepcopy(config)
    OmegaConf.set_struct(base, False)
    base.conf.data = choose("data", choice)
    known = list(base.conf.data.keys())  # those that must be given too: `in` leaves them out
    changed = {name: value for name, value in fields.items() if name not in ("choice", "prompt")}
    for name in changed:
        if name not in known:
            raise unknown(f"field of conf/data={choice}", name, [*known, "prompt"])
    base.conf.data = OmegaConf.merge(base.conf.data, changed, {"only": [str(config.conf.evaluation.split)]})
    missing = sorted(key.removeprefix("conf.data.") for key in OmegaConf.missing_keys(base.conf.data))
    if missing:
        raise UserError(
            f"The further test set {choice} needs {', '.join(missing)}: "
            f"conf.evaluation.data=[{{choice: {choice}, {missing[0]}: ...}}]."
        )
    data = OmegaConf.to_container(base.conf.data, resolve=True)
    attributes = (config.conf.get("knowledge") or {}).get("attributes")
    data["knowledge"] = knowledge.load(choice) if attributes and choice in choices("knowledge") else None
    prompt = fields.get("prompt")
    if prompt in choices("prompt"):
        base.conf.prompt = choose("prompt", prompt)
    elif prompt:
        base.conf.prompt = load_prompt(str(prompt))
    return data, OmegaConf.to_container(base.conf.prompt, resolve=True)


def prepare_further(data: Mapping, prompt: Mapping, out: Path, config: DictConfig) -> dict:
    """Prepare a further set's one split into `out` and return its card.

    A second call with the same settings does nothing.
    """
    return prepare(data, prompt, out, seed=int(config.conf.seed), batch_size=1)


def warm_start_sets(config: DictConfig) -> list[tuple[dict, dict]]:
    """The (data, prompt) of each set of conf.warm_start.also; empty without a warm start.

    Its rows are those of conf.warm_start.split (else train) alone. The stand-in for an Instruct model knows
    several forms.
    """
    warm = config.conf.warm_start
    if not warm.enabled or not warm.get("also"):
        return []
    sets = []
    for data, prompt in further_sets(config, warm.also):
        known = split_names(load_reader(data["reader"]), data.get("params") or {}, None)
        split = str(warm.split) if str(warm.split) in known else "train"
        sets.append(({**data, "only": [split]}, prompt))
    return sets


def prepare_warm_start_sets(config: DictConfig, home: Path) -> list[tuple[Path, dict]]:
    """Prepare each set of conf.warm_start.also below `home` and return the (rows, prompt) of each.

    A second call does nothing.
    """
    prepared = []
    for data, prompt in warm_start_sets(config):
        out = home / WARM_START_FOLDER / data["name"]
        prepare_further(data, prompt, out, config)
        prepared.append((out / f"{data['only'][0]}.parquet", prompt))
    return prepared
