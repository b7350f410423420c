"""Sets besides the run's own, by choice of conf/data: tested on, or learned by a warm start too."""

import copy
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.compose import choices, choose
from medical_rl.config.settings import plain, with_card_facts
from medical_rl.data import knowledge
from medical_rl.data.prepare.command import load_prompt
from medical_rl.data.prepare.prepare import prepare, prepare_shared
from medical_rl.data.prepare.readers import load_reader, split_names
from medical_rl.errors import UserError, check_known

# Where the sets of conf.warm_start.also are prepared, below the run folder.
WARM_START_FOLDER = "data_also"
# What Hydra leaves in the folder of a sweep, and the preparations that its jobs share.
SWEEP, SHARED = "multirun.yaml", ".prepared"


def further_sets(config: DictConfig, entries=None) -> list[tuple[dict, dict]]:
    """The (data, prompt) of each entry (None: of `conf.evaluation.data`), composed as the run's own.

    An entry is a choice of conf/data, or a mapping {choice, prompt (of conf/prompt), fields of the data}.

    Raises UserError for a wrong entry.
    """
    if entries is None:
        entries = config.conf.evaluation.get("data") or ()
    sets, names = [], {str(config.conf.data.name)}
    for entry in entries:
        fields = {"choice": entry} if isinstance(entry, str) else plain(entry)
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
    check_known("choice of conf/data", choice, choices("data"))
    base = copy.deepcopy(config)
    OmegaConf.set_struct(base, False)
    base.conf.data = choose("data", choice)
    known = list(base.conf.data.keys())  # those that must be given too: `in` leaves them out
    changed = {name: value for name, value in fields.items() if name not in ("choice", "prompt")}
    for name in changed:
        check_known(f"field of conf/data={choice}", name, known + ["prompt"])
    base.conf.data = OmegaConf.merge(base.conf.data, changed, {"only": [str(config.conf.evaluation.split)]})
    missing = sorted(key.removeprefix("conf.data.") for key in OmegaConf.missing_keys(base.conf.data))
    if missing:
        raise UserError(
            f"The further test set {choice} needs {', '.join(missing)}: conf.evaluation.data=[{{choice: "
            f"{choice}, {missing[0]}: ...}}]."
        )
    data = plain(with_card_facts(base).conf.data)
    attributes = (config.conf.get("knowledge") or {}).get("attributes")
    data["knowledge"] = knowledge.load(choice) if attributes and choice in choices("knowledge") else None
    prompt = fields.get("prompt")
    if prompt in choices("prompt"):
        base.conf.prompt = choose("prompt", prompt)
    elif prompt:
        base.conf.prompt = load_prompt(str(prompt))
    return data, plain(base.conf.prompt)


def prepare_further(data: Mapping, prompt: Mapping, out: Path, config: DictConfig) -> dict:
    """Prepare a further set's one split into `out`, unless that was done before, and return its card."""
    home = out.parent.parent if out.parent.name == WARM_START_FOLDER else out.parent
    return prepare_in_run(home, data, prompt, out, int(config.conf.seed), batch_size=1)


def prepare_in_run(home: Path, data: Mapping, prompt: Mapping, out: Path, seed: int, batch_size: int) -> dict:
    """Prepare a set of the run in `home` into `out` and return its card; the jobs of a sweep share one."""
    if (home.parent / SWEEP).is_file():
        return prepare_shared(data, prompt, out, seed, batch_size, home.parent / SHARED)
    return prepare(data, prompt, out, seed, batch_size)


def warm_start_sets(config: DictConfig) -> list[tuple[dict, dict]]:
    """The (data, prompt) of each of conf.warm_start.also, its split conf.warm_start.split (else train)."""
    warm = config.conf.warm_start
    if not warm.enabled or not warm.get("also"):
        return []
    sets = []
    for data, prompt in further_sets(config, warm.also):
        known = split_names(load_reader(data["reader"]), data.get("params") or {}, None, data.get("source"))
        split = str(warm.split) if str(warm.split) in known else "train"
        sets.append(({**data, "only": [split]}, prompt))
    return sets


def prepare_warm_start_sets(config: DictConfig, home: Path) -> list[tuple[Path, dict]]:
    """Prepare each set of conf.warm_start.also below `home`, unless done before; their (rows, prompt)."""
    prepared = []
    for data, prompt in warm_start_sets(config):
        out = home / WARM_START_FOLDER / data["name"]
        prepare_further(data, prompt, out, config)
        prepared.append((out / f"{data['only'][0]}.parquet", prompt))
    return prepared
