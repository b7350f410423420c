"""What other trainers hand to a reward, made a `Sample`, a text or bytes, and scored by a mix."""

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.parsing.response import normalise
from medical_rl.sample import KINDS, Sample

_FIELDS = ("question", "choices", "concepts", "knowledge", "size", "id", "restricted", "split", "group")


def sample_of(row: Mapping) -> Sample:
    """The row's sample: its `sample` column (data prepared by medical_rl), else made of its other columns.

    Read are answer | ground_truth | solution, kind, question | problem, source | data_source, choices,
    concepts, knowledge and size. Without a kind, an answer "yes" or "no" is a yes_no and any other a label: a
    number may be a grade or an option, which nothing here can tell. Raises UserError where there is no
    answer.
    """
    if row.get("sample"):
        return Sample.from_json(str(row["sample"]))
    answer = _first(row, ("answer", "ground_truth", "solution"))
    if answer is None:
        raise UserError(
            "A row has no answer to compare with (answer, ground_truth or solution); it has "
            f"{', '.join(row)}."
        )
    if not isinstance(answer, str):
        answer = json.dumps(answer)
    kind = row.get("kind") or ("yes_no" if normalise(answer) in ("yes", "no") else "label")
    if kind not in KINDS:
        raise UserError(f"A row is of kind {kind!r}. Available: {', '.join(KINDS)}.")
    fields = {"question": str(row.get("problem") or ""), "id": str(row.get("index", ""))}
    for name in _FIELDS:
        if row.get(name) is not None:
            fields[name] = _field(name, row[name])
    images = row.get("images") or []
    if not images and row.get("image") is not None:
        images = [row["image"]]
    source = str(row.get("source") or row.get("data_source") or "rows")
    return Sample(source=source, kind=kind, answer=answer, images=tuple(map(encode_image, images)), **fields)


def _first(row: Mapping, names: Sequence[str]):
    """The first value of these columns that is there, or None."""
    for name in names:
        if row.get(name) is not None:
            return row[name]
    return None


def encode_image(image) -> bytes:
    """The encoded bytes of an image given as bytes, a path, {"bytes"|"path"|"image"} or a Pillow image.

    >>> encode_image({"bytes": b"PNG..."})
    b'PNG...'
    """
    if isinstance(image, Mapping):
        image = _first(image, ("bytes", "image", "path"))
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


def _field(name: str, value):
    if name in ("choices", "concepts"):
        if isinstance(value, str):
            raise UserError(f"A row's {name} is the text {value!r}; a list of texts is needed.")
        return tuple(map(str, value))
    if name == "size":
        return tuple(map(int, value))
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


def score_all(mix, responses: Sequence[tuple[str, Sample]]) -> list[dict[str, float]]:
    """The mix's result for each (text, sample), all asked at once.

    Where an event loop is running already (a notebook), it is done in a thread of its own.
    """

    async def gathered():
        scores = [mix.score(text, sample) for text, sample in responses]
        return await asyncio.gather(*scores)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(gathered())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, gathered()).result()
