"""What conf/calibration may say, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medical_rl.errors import UserError, unknown

METHODS = ("bonferroni", "fixed_sequence")
ON_EMPTY = ("stop", "best_k_without_guarantee", "no_retrieval")


@dataclass(frozen=True)
class CalibrationSettings:
    """The part of conf/calibration that the test needs.

    candidates  C_K in the order in which `fixed_sequence` tests them; 0 stands for no retrieval
    alpha       the risk that is tolerated
    delta       the probability of being wrong about it that is tolerated
    method      one of METHODS
    on_empty    one of ON_EMPTY
    """

    candidates: tuple[int, ...]
    alpha: float
    delta: float
    method: str
    on_empty: str

    @property
    def threshold(self) -> float:
        """What a p-value may be at most: delta / |C_K| (bonferroni), or delta, one candidate at a time (fixed_sequence)."""
        return self.delta / len(self.candidates) if self.method == "bonferroni" else self.delta


def calibration_settings(conf: Mapping) -> CalibrationSettings:
    """The settings of a `conf.calibration`; UserError for one that could not work. Its other fields say which rows are used."""
    candidates = conf["candidates"]
    whole = isinstance(candidates, list | tuple) and all(type(k) is int and k >= 0 for k in candidates)
    if not whole or not candidates or len(set(candidates)) != len(candidates):
        raise UserError(
            f"conf.calibration.candidates={candidates!r}: give the numbers of retrieved reports to choose from, each once, "
            "as whole numbers from 0 (no retrieval), for instance [1, 2, 4]."
        )
    for name in ("alpha", "delta"):
        value = conf[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise UserError(f"conf.calibration.{name}={value!r} must lie strictly between 0 and 1.")
    for name, available in (("method", METHODS), ("on_empty", ON_EMPTY)):
        if conf[name] not in available:
            raise unknown(f"choice for conf.calibration.{name}", conf[name], available)
    return CalibrationSettings(
        tuple(candidates), float(conf["alpha"]), float(conf["delta"]), conf["method"], conf["on_empty"]
    )
