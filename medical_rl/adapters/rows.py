"""A `Sample` out of what other trainers hand to a reward."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.parsing.response import normalise
from medical_rl.sample import KINDS, Sample

_FIELDS = ("question", "choices", "concepts", "knowledge", "size", "id", "restricted", "split", "group")


def sample_of(row: Mapping) -> Sample:
    """The row's sample: its `sample` column (data prepared by medical_rl), else made of its other columns.

    Read are answer | ground_truth | solution, kind, question | problem, source | data_source, choices, concepts,
    knowledge and size. Without a kind, an answer "yes" or "no" is a yes_no and any other a label: a number may
    be a grade or an option, which nothing here can tell. Raises UserError where there is no answer.
    """
    if row.get("sample"):
        return Sample.from_json(str(row["sample"]))
    answer = next((row[k] for k in ("answer", "ground_truth", "solution") if row.get(k) is not None), None)
    if answer is None:
        raise UserError(
            f"A row has no answer to compare with (answer, ground_truth or solution); it has {', '.join(row)}."
        )
    answer = answer if isinstance(answer, str) else json.dumps(answer)
    kind = row.get("kind") or ("yes_no" if normalise(answer) in ("yes", "no") else "label")
    if kind not in KINDS:
        raise UserError(f"A row is of kind {kind!r}. Available: {', '.join(KINDS)}.")
    given = {name: _plain(name, row[name]) for name in _FIELDS if row.get(name) is not None}
    given.setdefault("question", str(row.get("problem") or ""))
    given.setdefault("id", str(row.get("index", "")))
    source = str(row.get("source") or row.get("data_source") or "rows")
    images = row.get("images") or ([row["image"]] if row.get("image") is not None else [])
    encoded = tuple(encode_image(image) for image in images)
    return Sample(**{**given, "source": source, "kind": kind, "answer": answer, "images": encoded})


def encode_image(image) -> bytes:
    """The encoded bytes of an image as trainers hand it on: bytes, a path, {"bytes"|"path"|"image"}, or a Pillow image.

    >>> encode_image({"bytes": b"PNG..."})
    b'PNG...'
    """
    if isinstance(image, Mapping):
        image = next((image[k] for k in ("bytes", "image", "path") if image.get(k) is not None), None)
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, Path)):
        return Path(str(image).removeprefix("file://")).read_bytes()
    if not hasattr(image, "save"):
        raise UserError(
            f"A row's image is {type(image).__name__}; bytes, a path or a Pillow image is needed."
        )
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _plain(name: str, value):
    if name in ("choices", "concepts"):
        if isinstance(value, str):
            raise UserError(f"A row's {name} is the text {value!r}; a list of texts is needed.")
        return tuple(map(str, value))
    if name == "size":
        return tuple(int(v) for v in value)
    return bool(value) if name == "restricted" else str(value)


def completion_text(completion) -> str:
    """The text of a completion: a string, or chat messages whose last content is meant.

    >>> completion_text([{"role": "assistant", "content": [{"type": "text", "text": "yes"}]}])
    'yes'
    """
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and completion:
        completion = completion[-1]
    content = completion.get("content", "") if isinstance(completion, Mapping) else completion
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))


def finish(coroutine: Coroutine):
    """What `coroutine` returns, also where an event loop is running already (a notebook): then in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
