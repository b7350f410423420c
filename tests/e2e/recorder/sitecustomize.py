"""First on the PYTHONPATH of an end-to-end run: every process of a stage notes which settings it takes.

One line for each setting, `<folder>/<stage>.keys`: a value's full name, or `name.*` of a group taken whole.
"""

import os
import sys

FOLDER, STAGE = os.environ.get("RECORD_SETTINGS_IN"), os.environ.get("MEDICAL_RL_STAGE")
# Other processes of a stage have configurations of their own, whose names are not the run's: only conf is.
IS_STAGE = "medical_rl.pipeline.stage_main" in sys.orig_argv


def record_settings() -> None:
    """Wrap the ways in which a value is taken out of a DictConfig."""
    from omegaconf import Container, DictConfig, OmegaConf

    file, seen = os.path.join(FOLDER, f"{STAGE.replace('/', '.')}.keys"), set()

    def note(name: str) -> None:
        if name not in seen and (IS_STAGE or name.startswith("conf.")):
            seen.add(name)
            with open(file, "a", encoding="utf-8") as lines:
                lines.write(f"{name}\n")

    def taking(method):
        def take(self, key, *default, **named):
            value = method(self, key, *default, **named)
            if isinstance(key, str) and not key.startswith("__") and not isinstance(value, DictConfig):
                note(self._get_full_key(key))
            return value

        return take

    for name in ("__getattr__", "__getitem__", "get"):
        setattr(DictConfig, name, taking(getattr(DictConfig, name)))
    to_container = OmegaConf.to_container

    def whole(*arguments, **named):
        config = arguments[0] if arguments else named.get("cfg")
        name = config._get_full_key("") if isinstance(config, Container) else ""
        if name not in ("", "conf"):
            note(f"{name}.*")
        return to_container(*arguments, **named)

    OmegaConf.to_container = staticmethod(whole)


if FOLDER and STAGE:
    record_settings()
