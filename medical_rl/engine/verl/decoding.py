"""Responses decoded by a table of each token's bytes, for tokenizers whose tokens are bytes (Qwen's are).

A reward is asked for one response at a time, where the tokenizer's own `decode` costs more than all the rest of
scoring. The text is the same (tests/engine/test_decoding.py compares them on random ids). A response with a token that the
table does not know (an added token that is text, an id beyond the tokenizer) and a tokenizer of another kind decode by the
tokenizer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def decoder(tokenizer) -> Callable[[Sequence[int]], str]:
    """A function from token ids to text without special tokens, equal to `tokenizer.decode(ids, skip_special_tokens=True)`."""
    table = byte_table(tokenizer)
    if table is None:
        return lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
    get = table.__getitem__

    def decode(ids: Sequence[int]) -> str:
        try:
            return b"".join(map(get, ids)).decode("utf-8", errors="replace")
        except (IndexError, TypeError):  # beyond the table, or None in it
            return tokenizer.decode(ids, skip_special_tokens=True)

    return decode


def byte_table(tokenizer) -> list[bytes | None] | None:
    """Each token's bytes by its id, b"" for special tokens, None where the tokenizer must be asked.

    None for the whole table if the tokenizer is not plain byte-level BPE.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    plain = backend is not None and type(backend.decoder).__name__ == "ByteLevel"
    if not plain or getattr(tokenizer, "clean_up_tokenization_spaces", False):
        return None
    letters = {letter: byte for byte, letter in _letters().items()}
    added = tokenizer.added_tokens_decoder
    vocabulary = tokenizer.get_vocab()
    table: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    for token, number in vocabulary.items():
        if number not in added and all(c in letters for c in token):
            table[number] = bytes(letters[c] for c in token)
    for number in tokenizer.all_special_ids:
        table[number] = b""
    return table


def _letters() -> dict[int, str]:
    """The printable letter by which byte-level BPE writes each byte: itself where it is printable, else one from 256 on."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    shifted = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(shifted)}
