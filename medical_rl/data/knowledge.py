"""Knowledge: what each class looks like, put into the rows for prompts that tell it (VRFT-Aug's PA_P).

A knowledge is a mapping `{name, attributes: {class: text}, references: [...]}`, one file of
`conf/knowledge/`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from medical_rl.config import compose
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample

# Stands before a text that `python -m medical_rl.data attributes` wrote, until a person takes it away.
DRAFT = "[draft, not reviewed]"


def fill(samples: Iterable[Sample], knowledge: Mapping | None) -> Iterator[Sample]:
    """The samples with `knowledge` = "class: what it looks like; ..." of their classes, in their order.

    A label or grade is told of all its choices; a box of what its meta["finding"] names, if anything; any
    other row of nothing, for it could be told its answer. A row that has a text of its own keeps it.
    Raises UserError where a class has no attributes.

    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="a", choices=("a", "b"))
    >>> next(fill([s], {"name": "demo", "attributes": {"B": "square", "a": "round"}})).knowledge
    'a: round; b: square'
    """
    if not knowledge or not knowledge.get("attributes"):
        yield from samples
        return
    texts = {}
    for name, text in knowledge["attributes"].items():
        texts[normalise(str(name))] = str(text).replace(DRAFT, "").strip()
    filled: dict[tuple[str, ...], str] = {}
    for sample in samples:
        classes: tuple[str, ...] = ()
        if sample.kind in ("label", "grade"):
            classes = sample.choices
        elif sample.kind == "box" and sample.meta.get("finding"):
            classes = (str(sample.meta["finding"]),)
        if classes not in filled:
            filled[classes] = _description(classes, texts, str(knowledge.get("name", "")))
        yield sample if sample.knowledge else dataclasses.replace(sample, knowledge=filled[classes])


def load(name: str) -> dict:
    """The knowledge `conf/knowledge/<name>.yaml`, or that of a YAML file of your own."""
    path, content = read_choice("knowledge", name)
    if not isinstance(content, dict) or not isinstance(content.get("attributes"), dict):
        raise UserError(f"The knowledge file {path} has no mapping `attributes` of class names to texts.")
    return {"name": path.stem, "references": []} | content


def read_choice(group: str, name: str) -> tuple[Path, Any]:
    """(path, content) of `conf/<group>/<name>.yaml`, or of a YAML file of your own.

    Raises UserError for a name that the group does not have, and for a file that cannot be read.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        names = list(compose.choices(group))
        if name not in names:
            raise unknown(group, name, names + ["a path ending in .yaml"])
        path = compose.root() / "conf" / group / f"{name}.yaml"
    try:
        return path, yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"The {group} file {path} cannot be read: {error}.") from error


def facts(knowledge: Mapping | None) -> dict | None:
    """What the card says of it: name, references and the classes whose text is a draft, if any; or None."""
    if not knowledge or not knowledge.get("attributes"):
        return None
    references = list(map(str, knowledge.get("references") or ()))
    drafts = [str(name) for name, text in knowledge["attributes"].items() if DRAFT in str(text)]
    facts = {"name": str(knowledge.get("name", "")), "references": references}
    return facts | {"drafts": drafts} if drafts else facts


def warnings(knowledge: Mapping | None) -> list[str]:
    """A sentence for texts that a model drafted and nobody has reviewed; none otherwise."""
    drafts = (facts(knowledge) or {}).get("drafts")
    if not drafts:
        return []
    classes = ", ".join(map(repr, drafts))
    return [f"What the prompt tells of {classes} was drafted by a model, and nobody has reviewed it."]


def _description(classes: tuple[str, ...], texts: Mapping[str, str], knowledge: str) -> str:
    missing = [name for name in classes if not texts.get(normalise(name))]
    if missing:
        raise UserError(
            f"The knowledge {knowledge!r} has no attributes for {', '.join(map(repr, missing))}; it has them "
            f"for {', '.join(texts)}. A prompt that describes some classes only would favour them: add the "
            "missing ones, or choose conf/knowledge=none."
        )
    return "; ".join(f"{name}: {texts[normalise(name)]}" for name in classes)
