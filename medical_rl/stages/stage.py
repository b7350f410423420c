"""`Stage`: what a stage declares of itself, once, at the end of its own file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from omegaconf import DictConfig

from medical_rl.run.folder import RunFolder

# Settings of the engine on which numbers depend, under vLLM and in training; the others decide its speed.
VLLM_ENGINE = ("conf.engine.device", "conf.engine.dtype")
TRAINING_ENGINE = (
    "conf.engine.ranks", "conf.engine.device", "conf.engine.precision", "conf.engine.attention",
    "conf.engine.remove_padding",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A stage of a recipe.

    name          in conf.stages, the manifest and the run folder; a step of the loop stands there as
                  round_<k>/<name>
    title         in the lines that a run prints
    run           `(config, folder) -> {"outputs": {name: path below the run folder}, "notes": [...],
                  "figures": {...}}`, called in a process of its own; a UserError ends the run with its one
                  paragraph
    needs         stages whose outputs decide what this one gives, where the recipe has them; or a function of
                  `conf`
    reads         settings on which the result depends, whole groups or single keys: where one changes, the
                  stage runs anew. What no stage reads invalidates nothing
    trains        how it trains the policy: its output `model` is then evaluated, and it starts from the warm
                  start's
    in_loop_only  True for a step that has a place in the loop alone
    splits        what it reads of the run's own data, or `(config, {split: facts} of it) -> splits`
    steps         `(config, folder, stage) -> number of training steps`, None where that is not known
    """

    name: str
    title: str
    run: Callable[[DictConfig, RunFolder], dict]
    needs: tuple[str, ...] | Callable[[Mapping], tuple[str, ...]] = ()
    reads: tuple[str, ...] = ()
    trains: Literal["supervised", "reinforced"] | None = None
    in_loop_only: bool = False
    splits: tuple[str, ...] | Callable[[DictConfig, Mapping], tuple[str, ...]] = ()
    steps: Callable[[DictConfig, RunFolder, str], int | None] | None = None
