"""Where the configuration lives and how it is composed: our `conf/` over verl's own `ppo_trainer`.

A recipe (`conf=<recipe>`) starts from verl's file, found by path so that verl and torch are not imported.
"""

import importlib.util
import re
from pathlib import Path

from medical_rl.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]
NAME = "medical_rl"


def root() -> Path:
    """Folder that holds `conf/`: the source tree, else the copy inside an installed wheel."""
    source = PACKAGE.parent
    if (source / "conf" / "vrft_aug.yaml").is_file() and (source / "setup.py").is_file():
        return source
    return PACKAGE / "_root"


def verl_config_folder() -> Path:
    """verl's own configuration folder, found without importing verl."""
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "verl is not installed in this environment: run `make setup`, or install requirements/cpu.txt "
            "or requirements/gpu.txt."
        )
    return Path(list(spec.submodule_search_locations)[0]) / "trainer" / "config"


def choices(group: str = "") -> list[str]:
    """The names that can be chosen in a group ("": the recipes); files that start with _ are none."""
    return sorted(path.stem for path in (root() / "conf" / group).glob("[!_]*.yaml"))


def groups() -> list[str]:
    """The groups below `conf/`, a group within a group as `warm_start/source`."""
    top = root() / "conf"
    names = (folder.relative_to(top).as_posix() for folder in top.rglob("*/") if folder.is_dir())
    return sorted(name for name in names if not re.search(r"(^|/)[_.]", name))


def store_primary() -> None:
    """Put the primary config where Hydra finds it under NAME."""
    from hydra.core.config_store import ConfigStore

    nowhere = {"run": {"dir": "."}, "sweep": {"dir": "${conf.run_dir}", "subdir": "."}, "output_subdir": None}
    loggers = [{f"override hydra/{name}_logging": "none"} for name in ("hydra", "job")]
    hydra = {"searchpath": [f"file://{verl_config_folder()}"], **nowhere}
    node = {"defaults": [{"conf": "???"}, "_self_", *loggers], "hydra": hydra}
    ConfigStore.instance().store(name=NAME, node=node)


def compose(overrides: list[str]):
    """The composed DictConfig of `overrides`, for tests and tools: the command line uses Hydra itself."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    store_primary()
    with initialize_config_dir(str(root()), version_base="1.3"):
        return hydra_compose(NAME, overrides=list(overrides))


def choose(group: str, name: str):
    """The DictConfig of `conf/<group>/<name>.yaml` with its defaults, unresolved."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.singleton import Singleton

    # This may be asked within a job that Hydra itself runs: its state is put back.
    state = Singleton.get_state()
    try:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(root()), version_base="1.3"):
            return hydra_compose(f"conf/{group}/{name}").conf[group]
    finally:
        Singleton.set_state(state)
