"""Knowledge: what each class looks like, put into the rows for prompts that tell it (VRFT-Aug's PA_P).

A knowledge is a mapping `{name, attributes: {class: text}, references: [...]}`, one file of `conf/knowledge/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from medical_rl.config import compose
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample

# Stands before a text that `python -m medical_rl.data attributes` wrote, until a person takes it away.
DRAFT = "[draft, not reviewed]"


def fill(samples: Iterable[Sample], knowledge: Mapping | None) -> Iterator[Sample]:
    """The samples with `knowledge` = "class: what it looks like; ..." of their classes, in their order.

    A label or grade is told of all its choices; a box of what its meta["finding"] names, if
    anything; any other row of nothing, for it could be told its answer. A row that has a text of its own keeps it. UserError where a class has no attributes.

    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="a", choices=("a", "b"))
    >>> next(fill([s], {"name": "demo", "attributes": {"B": "square", "a": "round"}})).knowledge
    'a: round; b: square'
    """
    if not knowledge or not knowledge.get("attributes"):
        yield from samples
        return
    texts = {
        normalise(str(name)): str(text).replace(DRAFT, "").strip()
        for name, text in knowledge["attributes"].items()
    }
    told: dict[tuple[str, ...], str] = {}
    for sample in samples:
        names = _named(sample)
        if names not in told:
            told[names] = _text(names, texts, str(knowledge.get("name", "")))
        yield sample if sample.knowledge else dataclasses.replace(sample, knowledge=told[names])


def load(name: str) -> dict:
    """The knowledge `conf/knowledge/<name>.yaml`, or that of a YAML file of your own.

    >>> load("none")["attributes"]
    {}
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in (known := compose.choices("knowledge")):
            raise unknown("knowledge", name, [*known, "a path ending in .yaml"])
        path = compose.root() / "conf" / "knowledge" / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"The knowledge file {path} cannot be read: {error}.") from error
    if not isinstance(found, dict) or not isinstance(found.get("attributes"), dict):
        raise UserError(f"The knowledge file {path} has no mapping `attributes` of class names to texts.")
    return {"name": path.stem, "references": [], **found}


def told(knowledge: Mapping | None) -> dict | None:
    """What the card says of it: name, references and, where there are any, the classes whose text is a draft; else None."""
    if not knowledge or not knowledge.get("attributes"):
        return None
    said = {
        "name": str(knowledge.get("name", "")),
        "references": [str(r) for r in knowledge.get("references") or ()],
    }
    drafts = [str(name) for name, text in knowledge["attributes"].items() if DRAFT in str(text)]
    return said | ({"drafts": drafts} if drafts else {})


def warnings(knowledge: Mapping | None) -> list[str]:
    """A sentence for texts that a model drafted and nobody has reviewed; none otherwise."""
    drafts = (told(knowledge) or {}).get("drafts", [])
    named = ", ".join(map(repr, drafts))
    return (
        [f"What the prompt tells of {named} was drafted by a model, and nobody has reviewed it."]
        if drafts
        else []
    )


def _named(sample: Sample) -> tuple[str, ...]:
    if sample.kind in ("label", "grade") and sample.choices:
        return sample.choices
    return (str(sample.meta["finding"]),) if sample.kind == "box" and sample.meta.get("finding") else ()


def _text(names: tuple[str, ...], texts: Mapping[str, str], which: str) -> str:
    if missing := [name for name in names if not texts.get(normalise(name))]:
        raise UserError(
            f"The knowledge {which!r} has no attributes for {', '.join(map(repr, missing))}; it has them for "
            f"{', '.join(texts)}. A prompt that describes some classes only would favour them: add the missing ones, "
            "or choose conf/knowledge=none."
        )
    return "; ".join(f"{name}: {texts[normalise(name)]}" for name in names)
