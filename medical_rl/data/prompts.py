"""Prompts: the text a model sees for a `Sample`, and the text SFT teaches it to answer.

A prompt is a mapping `{name, template, system, target}` of jinja2 templates, one file of `conf/prompt/`. One
that asks for boxes may name their `frame` (see `medical_rl.boxes`). The `template` may place images itself
with `<image>`; otherwise they come first. verl cuts a message at `<image>`, `<video>` and `<audio>`, and
Qwen's processor at its special tokens, so whatever comes from the data is neutralised: "[image]".
"""

import dataclasses
import functools
import json
from collections.abc import Mapping

import jinja2
import jinja2.meta
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medical_rl.boxes import FRAMES, from_original, to_original, within
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.kinds import LETTERS
from medical_rl.parsing.response import gold
from medical_rl.parsing.text import neutralise
from medical_rl.sample import Sample

IMAGE = "<image>"
# What the rows of a set have in common, most often.
_SHARED = ("question", "choices", "knowledge")


def render(sample: Sample, template: str) -> str:
    """The user's text with exactly one `<image>` per image of the sample.

    Variables of the template: question, choices, options (the choices of a multiple-choice question with
    their letters), knowledge, sample, meta.

    >>> s = Sample(id="1", source="demo", question="<image>?", kind="yes_no", answer="no", images=(b"",))
    >>> render(s, "{{ question }} Yes or no.")
    '<image>[image]? Yes or no.'
    """
    text = _fill(template, "template", _variables(sample))
    count = text.count(IMAGE)
    if count == 0:
        return IMAGE * len(sample.images) + text
    if count != len(sample.images):
        raise UserError(
            f"The prompt template places {count} {IMAGE} for sample {sample.id!r}, which has "
            f"{len(sample.images)} images. Leave {IMAGE} out (images then come first), or write {{% for _ in "
            f"sample.images %}}{IMAGE}{{% endfor %}}}}."
        )
    return text


def messages(sample: Sample, prompt_cfg: Mapping) -> list[dict[str, str]]:
    """The chat messages of a sample: the system's where `prompt_cfg["system"]` has one, then the user's."""
    chat = []
    system = prompt_cfg.get("system")
    if system:
        chat.append({"role": "system", "content": _without_image(sample, system, "system")})
    return chat + [{"role": "user", "content": render(sample, _required(prompt_cfg, "template"))}]


def target(sample: Sample, prompt_cfg: Mapping) -> str:
    r"""The text SFT teaches, from `prompt_cfg["target"]`.

    It also knows answer, thought (`meta["thought"]` or "") and letter: that of the right option of a
    multiple-choice question, "" for any other kind.
    """
    return _without_image(in_frame(sample, prompt_cfg), _required(prompt_cfg, "target"), "target")


def in_frame(sample: Sample, prompt_cfg: Mapping) -> Sample:
    """`sample` with its gold boxes in the whole numbers of the frame that the prompt asks for.

    >>> s = Sample(id="1", source="demo", question="?", kind="box", answer="[10, 0, 20, 5]", size=(10, 20))
    >>> in_frame(s, {"frame": "relative"}).answer
    '[500, 0, 1000, 500]'
    """
    frame = _frame(sample, prompt_cfg)
    truth = gold(sample) if frame else None
    if truth is None:
        return sample
    boxes = []
    for box in json.loads(truth):
        boxes.append(list(map(round, from_original(box, sample.size, **frame))))
    return dataclasses.replace(sample, answer=json.dumps(boxes if len(boxes) > 1 else boxes[0]))


def in_pixels(answer: str | None, sample: Sample, prompt_cfg: Mapping) -> str | None:
    """An answer that `read` gave, its boxes put into pixels of the original image; any other as it is.

    None where a box lies beyond the image: that is no answer.
    """
    if answer is None or sample.kind != "box":
        return answer
    frame, boxes = _frame(sample, prompt_cfg), json.loads(answer)
    if frame is not None:
        boxes = [to_original(box, sample.size, **frame) for box in boxes]
    return json.dumps(boxes) if all(within(box, sample.size) for box in boxes) else None


def _frame(sample: Sample, prompt_cfg: Mapping) -> dict | None:
    """{"frame", "min_pixels", "max_pixels"}, the limits where the prompt has them; None for original pixels.

    Raises UserError for an unknown frame, or a row without the size that it needs.
    """
    frame = prompt_cfg.get("frame")
    if sample.kind != "box" or frame in (None, "original"):
        return None
    if frame not in FRAMES:
        raise unknown("frame of boxes", str(frame), FRAMES)
    if sample.size is None:
        raise UserError(
            f"The prompt asks for boxes in the frame {frame!r}, and the row {sample.id!r} has no size."
        )
    limits = {name: int(prompt_cfg[name]) for name in ("min_pixels", "max_pixels") if prompt_cfg.get(name)}
    return {"frame": frame} | limits


def _variables(sample: Sample) -> dict:
    return {
        "question": sample.question,
        "choices": tuple(sample.choices),
        "knowledge": sample.knowledge,
        "options": _options(sample),
        "meta": sample.meta,
        "sample": sample,
    }


def _options(sample: Sample) -> tuple[tuple[str, str], ...]:
    """(letter, option) of a multiple-choice question; () for any other kind, which has no letters."""
    if sample.kind != "choice":
        return ()
    if len(sample.choices) > len(LETTERS):
        raise UserError(
            f"Sample {sample.id!r} has {len(sample.choices)} options; letters are read up to {LETTERS[-1]}."
        )
    return tuple(zip(LETTERS, sample.choices, strict=False))


def _required(prompt_cfg: Mapping, key: str) -> str:
    text = prompt_cfg.get(key)
    if not isinstance(text, str) or not text.strip():
        raise UserError(
            f"The prompt {prompt_cfg.get('name', '')!r} has no {key}; it needs a jinja2 text under that key."
        )
    return text


def _without_image(sample: Sample, template: str, role: str) -> str:
    """A system or target text: no image belongs in either, and verl would count it."""
    thought = sample.meta.get("thought") or ""
    # The letter that is read as the gold answer: of equal options the first one's.
    right = gold(sample) if sample.kind == "choice" else None
    letters = [letter for letter, option in _options(sample) if option == right]
    variables = {"answer": sample.answer, "thought": thought, "letter": "".join(letters[:1])}
    text = _fill(template, role, _variables(sample) | variables)
    if IMAGE in text:
        raise UserError(
            f"The {role} text of a prompt must not contain {IMAGE}; images belong in its template."
        )
    return text


@functools.lru_cache(maxsize=64)
def _compile(template: str, role: str) -> tuple[jinja2.Template, bool]:
    """The template, and whether its text depends on the variables of _SHARED alone."""
    # `finalize` sees every {{ ... }} and no plain text, which is what tells data from template.
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=neutralise, trim_blocks=True, lstrip_blocks=True
    )
    try:
        parsed = environment.parse(template)
        filters = {node.name for node in parsed.find_all(jinja2.nodes.Filter)}
        variables = jinja2.meta.find_undeclared_variables(parsed)
        return environment.from_string(template), "random" not in filters and variables <= set(_SHARED)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(
            f"The prompt's {role} does not compile: {error.message} (line {error.lineno}). Available "
            "variables: question, choices, options, knowledge, sample, meta; in a target also answer, "
            "thought, letter."
        ) from error


@functools.lru_cache(maxsize=1024)
def _fill_shared(compiled: jinja2.Template, *shared) -> str:
    # Most sets ask one question of the same classes, and filling a template takes as long as a small PNG.
    return compiled.render(zip(_SHARED, shared, strict=True)).strip()


def _fill(template: str, role: str, variables: Mapping) -> str:
    compiled, is_shared = _compile(template, role)
    try:
        if is_shared:
            return _fill_shared(compiled, *map(variables.get, _SHARED))
        return compiled.render(variables).strip()
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        # A template is the user's program: whatever it raises is about the template, not about us.
        raise UserError(
            f"The prompt's {role} cannot be filled for sample {variables['sample'].id!r}: {error}. "
            f"Available variables: {', '.join(variables)}."
        ) from error
