"""Rows as the model's chat text, the same in training and in measuring; TRL's batches of pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from medical_rl.engine.verl.tokens import with_placeholders
from medical_rl.errors import UserError
from medical_rl.images import decode
from medical_rl.parsing.text import neutralise

COLUMNS = ["id", "messages", "images", "chosen", "rejected"]


def prompt_text(processor, messages: Sequence[Mapping[str, str]]) -> str:
    """The chat up to where the answer begins, one image token an `<image>`."""
    turns = _turns(messages)
    return processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def completion_text(processor, messages: Sequence[Mapping[str, str]], answer: str) -> str:
    """The answer and the token that ends its turn.

    Chat templates write a line break after that token. A model that stops there was never taught it, so that
    it would weigh more in the loss than the whole answer; special tokens within the answer are made plain.
    """
    content = [{"type": "text", "text": neutralise(answer)}]
    answered = _turns(messages) + [{"role": "assistant", "content": content}]
    whole = processor.apply_chat_template(answered, tokenize=False, add_generation_prompt=False)
    before = prompt_text(processor, messages)
    if not whole.startswith(before):
        raise UserError(
            "The chat template of this model writes a prompt in another way once it is answered; answers "
            "cannot be told from prompts. Qwen2.5-VL's template does not."
        )
    return whole[len(before) :].rstrip()


def decode_images(name: str, images: Sequence[bytes]) -> list:
    """The images of the row `name`. Raises UserError naming it where one cannot be read."""
    try:
        return list(map(decode, images))
    except UserError as error:
        raise UserError(f"An image of the row {name!r} cannot be used: {error}") from error


def _turns(messages: Sequence[Mapping[str, str]]) -> list[dict]:
    return [{"role": turn["role"], "content": with_placeholders(turn["content"])} for turn in messages]


def load_pairs(path: Path | str, cache: Path | str):
    """The pairs of a file as a `datasets.Dataset` on disk; images are decoded when their batch comes.

    Raises UserError where there are none, or a row is no pair.
    """
    from datasets import Dataset

    if pq.read_metadata(path).num_rows == 0:
        raise UserError(f"{path} has no preference pairs: there is nothing to align on.")
    rows = Dataset.from_parquet(str(path), columns=COLUMNS, cache_dir=str(cache))
    if rows.data.column("rejected").null_count:
        raise UserError(
            f"{path} has rows without a rejected answer: it is a file of measured rows, not of training "
            "pairs."
        )
    return rows


class PairCollator:
    """A list of rows as one batch; nothing is cut, as TRL's max_length would silently cut answers off."""

    def __init__(self, processor):
        from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

        self.processor = processor
        self.collate = DataCollatorForVisionPreference(processor=processor, max_length=None)

    def __call__(self, rows: Sequence[Mapping]):
        return self.collate(list(map(self._preference, rows)))

    def _preference(self, row: Mapping) -> dict:
        # in plain text: TRL's chat templating would add line breaks to answers
        messages = row["messages"]
        return {
            "images": decode_images(row["id"], row["images"]),
            "prompt": prompt_text(self.processor, messages),
            "chosen": completion_text(self.processor, messages, row["chosen"]),
            "rejected": completion_text(self.processor, messages, row["rejected"]),
        }
