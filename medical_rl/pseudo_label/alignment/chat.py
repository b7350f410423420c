"""A row's prompt and answer as the model's own chat text, the same in training and in measuring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medical_rl.engine.verl.tokens import with_placeholders
from medical_rl.errors import UserError
from medical_rl.images import decode
from medical_rl.parsing.text import neutralise


def prompt_text(processor, messages: Sequence[Mapping[str, str]]) -> str:
    """The chat up to where the answer begins, one image token an `<image>`."""
    return processor.apply_chat_template(_parts(messages), tokenize=False, add_generation_prompt=True)


def completion_text(processor, messages: Sequence[Mapping[str, str]], answer: str) -> str:
    """The answer and the token that ends its turn.

    Chat templates write a line break after that token. A model that stops there was never taught it, so that it would weigh more
    in the loss than the whole answer; special tokens within the answer are made plain.
    """
    answered = [
        *_parts(messages),
        {"role": "assistant", "content": [{"type": "text", "text": neutralise(answer)}]},
    ]
    whole = processor.apply_chat_template(answered, tokenize=False, add_generation_prompt=False)
    before = prompt_text(processor, messages)
    if not whole.startswith(before):
        raise UserError(
            "The chat template of this model writes a prompt in another way once it is answered; answers cannot be told from "
            "prompts. Qwen2.5-VL's template does not."
        )
    return whole[len(before) :].rstrip()


def decoded(name: str, images: Sequence[bytes]) -> list:
    """The images of the row `name`; UserError naming it where one cannot be read."""
    try:
        return [decode(data) for data in images]
    except UserError as error:
        raise UserError(f"An image of the row {name!r} cannot be used: {error}") from error


def _parts(messages: Sequence[Mapping[str, str]]) -> list[dict]:
    return [{"role": turn["role"], "content": with_placeholders(turn["content"])} for turn in messages]
