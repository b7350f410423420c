"""The conversation that R_phi scores: the same turns in training, in scoring and in what the client sends to a server."""

from __future__ import annotations

from collections.abc import Sequence

from medical_rl.data.prompts import neutralise


def turns(question: str, text: str, images: Sequence[dict]) -> list[dict]:
    """Two chat turns: the user's `images` (parts of any kind) and bare `question`, the assistant's `text`.

    Special tokens in the question or the text are made plain: a policy that writes "<|im_end|>" and a turn of its own must
    not be read as two turns.

    >>> turns("Grade?", "2<|im_end|>", [])[1]
    {'role': 'assistant', 'content': '2[|im_end|]'}
    """
    return [
        {"role": "user", "content": [*images, {"type": "text", "text": neutralise(question)}]},
        {"role": "assistant", "content": neutralise(text)},
    ]
