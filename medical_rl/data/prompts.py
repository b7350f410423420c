r"""Prompts: the text a model sees for a `Sample`, and the text SFT teaches it to answer.

A prompt is a mapping `{name, template, system, target}` of jinja2 templates, one file of
`conf/prompt/`; a new one is a YAML file, not code. One that asks for boxes may name their `frame`. The `template` may place images itself
with `<image>` as plain text; otherwise they come first.

verl cuts a message at `<image>`, `<video>` and `<audio>`, and Qwen's processor at its
special tokens, so whatever comes from the data is neutralised: a question that mentions
"<image>" reads "[image]" and never asks for a picture that is not there.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jinja2
import jinja2.meta
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medical_rl.data.box_frame import in_frame
from medical_rl.data.options import LETTERS
from medical_rl.errors import UserError
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

    >>> s = Sample(id="1", source="demo", question="Is <image> odd?", kind="yes_no", answer="no", images=(b"",))
    >>> render(s, "{{ question }} Yes or no.")
    '<image>Is [image] odd? Yes or no.'
    """
    text = _fill(template, "template", _variables(sample))
    placed = text.count(IMAGE)
    if placed == 0:
        return IMAGE * len(sample.images) + text
    if placed != len(sample.images):
        raise UserError(
            f"The prompt template places {placed} {IMAGE} for sample {sample.id!r}, which has {len(sample.images)} "
            f"images. Leave {IMAGE} out (images then come first), or write "
            f"{{% for _ in sample.images %}}{IMAGE}{{% endfor %}}."
        )
    return text


def messages(sample: Sample, prompt_cfg: Mapping) -> list[dict[str, str]]:
    """The chat messages of a sample: the system's where `prompt_cfg["system"]` has one, then the user's."""
    system = prompt_cfg.get("system")
    head = [{"role": "system", "content": _without_image(sample, system, "system")}] if system else []
    return [*head, {"role": "user", "content": render(sample, _required(prompt_cfg, "template"))}]


def target(sample: Sample, prompt_cfg: Mapping) -> str:
    r"""The text SFT teaches, from `prompt_cfg["target"]`; also knows answer, thought (`meta["thought"]` or "") and letter.

    letter: that of the right option of a multiple-choice question, "" for any other kind.

    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="normal, benign")
    >>> target(s, {"target": "Answer: {{ answer }}"})
    'Answer: normal, benign'
    """
    return _without_image(in_frame(sample, prompt_cfg), _required(prompt_cfg, "target"), "target")


def _variables(sample: Sample) -> dict:
    told = {"question": sample.question, "choices": tuple(sample.choices), "knowledge": sample.knowledge}
    return {**told, "options": _options(sample), "meta": sample.meta, "sample": sample}


def _options(sample: Sample) -> tuple[tuple[str, str], ...]:
    """(letter, option) of a multiple-choice question; () for any other kind, whose answers no letter stands for."""
    if sample.kind != "choice":
        return ()
    if len(sample.choices) > len(LETTERS):
        raise UserError(
            f"Sample {sample.id!r} has {len(sample.choices)} options; letters are read up to {LETTERS[-1]}."
        )
    return tuple(zip(LETTERS, sample.choices, strict=False))


def _letter(sample: Sample) -> str:
    """The letter that is read as the gold answer: of equal options the first one's."""
    right = gold(sample) if sample.kind == "choice" else None
    return next((letter for letter, option in _options(sample) if option == right), "")


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
    variables = {**_variables(sample), "answer": sample.answer, "thought": thought, "letter": _letter(sample)}
    text = _fill(template, role, variables)
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
        drawn = any(filtered.name == "random" for filtered in parsed.find_all(jinja2.nodes.Filter))
        shared = not drawn and jinja2.meta.find_undeclared_variables(parsed) <= set(_SHARED)
        return environment.from_string(template), shared
    except jinja2.TemplateSyntaxError as error:
        raise UserError(
            f"The prompt's {role} does not compile: {error.message} (line {error.lineno}). Available variables: "
            f"question, choices, options, knowledge, sample, meta; in a target also answer, thought, letter."
        ) from error


@functools.lru_cache(maxsize=1024)
def _filled(compiled: jinja2.Template, *shared) -> str:
    # The rows of most sets ask one question of the same classes, and filling a template takes as long as a small PNG.
    return compiled.render(zip(_SHARED, shared, strict=True)).strip()


def _fill(template: str, role: str, variables: Mapping) -> str:
    compiled, shared = _compile(template, role)
    try:
        if shared:
            return _filled(compiled, *(variables[name] for name in _SHARED))
        return compiled.render(variables).strip()
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        # A template is the user's program: whatever it raises is about the template, not about us.
        raise UserError(
            f"The prompt's {role} cannot be filled for sample {variables['sample'].id!r}: {error}. "
            f"Available variables: {', '.join(variables)}."
        ) from error
