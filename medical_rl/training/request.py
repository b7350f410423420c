"""The request file of a training process: fields checked by name and value, identity, command.

A training's request is a frozen, keyword-only dataclass of its settings that inherits `TrainingRequest`.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from medical_rl.errors import UserError, unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """The settings of one training, as read from its REQUEST.json.

    TRAINING      what messages call the training
    PARTS         {field: class its value is made by}, a dataclass of settings or tuple; null stands for the
                  field's default
    CHOICES       {field: (what messages call its value, the available values)}; of a tuple every value is
                  checked
    NOT_IDENTITY  fields that do not change what is trained: where things lie, how often they are saved

    model         folder of the model that is trained
    out, work     folder of the exported model; folder of saved states
    metrics       metrics.jsonl, or None for the MEDICAL_RL_METRICS variable
    """

    TRAINING: ClassVar[str]
    PARTS: ClassVar[Mapping[str, type]] = {}
    CHOICES: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {}
    NOT_IDENTITY: ClassVar[Collection[str]] = ("out", "work", "metrics", "save_every", "log_every", "workers")
    model: str
    out: str
    work: str
    min_pixels: int
    max_pixels: int
    metrics: str | None = None
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    gradient_checkpointing: bool = False
    max_grad_norm: float = 1.0
    save_every: int = 100
    log_every: int = 10
    workers: int = 0
    phantom: bool = False

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """The request of a JSON file, checked as by `of`."""
        return cls.of(json.loads(Path(path).read_text(encoding="utf-8")))

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The request of plain settings.

        Raises UserError for a name or value that is not known, and for a setting that is missing.
        """
        fields = _known_fields(cls, settings, cls.TRAINING)
        for name, kind in cls.PARTS.items():
            value = fields.pop(name, None)
            if value is None:
                continue
            if kind is tuple:
                fields[name] = tuple(value)
            else:
                fields[name] = kind(**_known_fields(kind, value, cls.TRAINING))
        try:
            request = cls(**fields)
        except TypeError as error:
            raise UserError(f"A setting of {cls.TRAINING} is missing: {error}.") from None
        request.check()
        return request

    def check(self) -> None:
        """Raise UserError for a value that CHOICES does not have. Extended where more is to be checked."""
        for field, (kind, available) in self.CHOICES.items():
            value = getattr(self, field)
            for one in value if isinstance(value, tuple) else (value,):
                if one not in available:
                    raise unknown(kind, one, available)

    def content_hashes(self) -> dict[str, str]:
        """{field: hash of what its path leads to} of the fields whose content is part of the identity."""
        return {}

    def identity(self) -> str:
        """A hash of all that decides what is trained, 16 hexadecimal digits."""
        decisive = dataclasses.asdict(self) | self.content_hashes()
        for name in self.NOT_IDENTITY:
            decisive.pop(name, None)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _known_fields(kind: type, settings: Mapping[str, Any], training: str) -> dict[str, Any]:
    """`settings` as a dict. Raises UserError for one that the dataclass `kind` has not."""
    names = [field.name for field in dataclasses.fields(kind)]
    for name in settings:
        if name not in names:
            raise unknown(f"setting of {training} named", name, names)
    return dict(settings)


def training_command(module: str, request_file: Path, ranks: int) -> list[str]:
    """The command of a training: one process, or by torch.distributed.run one a rank."""
    command = [sys.executable]
    if ranks > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    return command + ["-m", module, str(request_file)]
