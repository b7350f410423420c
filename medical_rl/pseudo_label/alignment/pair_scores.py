"""Scores of measured rows: `python -m medical_rl.pseudo_label.alignment.pair_scores REQUEST.json`.

The request names model, rows (preference.py), output, batch, max_new_tokens, min_pixels, max_pixels, device
and dtype. A line a row: {"id", "chosen", "rejected", "response"}: log-probabilities in nats, summed over an
answer and its end, rejected null for a row that is no pair; the response is greedy. A file that a kill cut
short is completed.
"""

import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText

from medical_rl.engine.vllm.requests import answered_ids, append_lines
from medical_rl.errors import exit_code
from medical_rl.pseudo_label.alignment.chat import completion_text, decode_images, prompt_text
from medical_rl.pseudo_label.alignment.pairs import Preference, read_preferences
from medical_rl.training.encode import image_limits_of, load_processor


class Scorer:
    """A generating model in this process."""

    def __init__(
        self, folder: Path | str, limits: Mapping[str, int], device: str = "cpu", dtype: str = "float32"
    ):
        self.processor, self.device = load_processor(folder, limits), device
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
        )
        self.model = model.to(device).eval()

    def prompts(self, rows: Sequence[Preference]) -> dict[str, torch.Tensor]:
        """The rows' prompts as one batch, padded on the left."""
        texts, images = [], []
        for row in rows:
            texts.append(prompt_text(self.processor, row.messages))
            images.append(decode_images(row.id, row.images))
        return self.processor(
            text=texts, images=images, padding=True, padding_side="left", return_tensors="pt"
        )

    def completion(self, row: Preference, answer: str) -> list[int]:
        """Tokens of an answer after its prompt, the end of the turn among them."""
        text = completion_text(self.processor, row.messages, answer)
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    @torch.inference_mode()
    def logprobs(self, rows: Sequence[Preference], answers: Sequence[str]) -> list[float]:
        """The log-probability of each answer given its row's prompt: the sum over its tokens, in nats."""
        return self.token_logprobs(rows, answers)[0].sum(dim=1).tolist()

    def token_logprobs(
        self, rows: Sequence[Preference], answers: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(log-probability of each answer's tokens, 1 for a token and 0 for padding), both (rows, tokens)."""
        batch = dict(self.prompts(rows))
        tokens = list(map(torch.tensor, map(self.completion, rows, answers)))
        padding = self.processor.tokenizer.pad_token_id
        ids = pad_sequence(tokens, batch_first=True, padding_value=padding)
        mask = pad_sequence(list(map(torch.ones_like, tokens)), batch_first=True)
        answer_inputs = {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": torch.zeros_like(ids)}
        for name, more in answer_inputs.items():
            if name in batch:
                batch[name] = torch.cat([batch[name], more.to(batch[name].dtype)], dim=1)
        batch = {name: value.to(self.device) for name, value in batch.items()}
        ids, mask = ids.to(self.device), mask.to(self.device)
        logits = self.model(**batch, use_cache=False, logits_to_keep=ids.shape[1] + 1).logits[:, :-1]
        logprobs = torch.log_softmax(logits.float(), dim=-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
        return logprobs * mask, mask

    @torch.inference_mode()
    def respond(self, rows: Sequence[Preference], max_new_tokens: int) -> list[str]:
        """The greedy response to each row's prompt."""
        inputs = {name: value.to(self.device) for name, value in self.prompts(rows).items()}
        tokens = self.model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        prompt_length = inputs["input_ids"].shape[1]
        return self.processor.batch_decode(tokens[:, prompt_length:], skip_special_tokens=True)

    def records(self, rows: Sequence[Preference], max_new_tokens: int) -> Iterator[dict]:
        """A line for each row of one batch."""
        chosen = self.logprobs(rows, [row.chosen for row in rows])
        pairs = [row for row in rows if row.rejected is not None]
        scores = self.logprobs(pairs, [row.rejected for row in pairs]) if pairs else []
        rejected = {row.id: score for row, score in zip(pairs, scores, strict=True)}
        for row, score, text in zip(rows, chosen, self.respond(rows, max_new_tokens), strict=True):
            yield {"id": row.id, "chosen": score, "rejected": rejected.get(row.id), "response": text}


def main(request_file: str) -> int:
    """Score the rows of a request file; returns 0 after every row has its line, 2 on a user's error."""
    return exit_code(lambda: measure(request_file))


def measure(request_file: str) -> None:
    """Write a line for every row of the request that has none yet."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    output = Path(request["output"])
    done = answered_ids(output)
    rows = (row for row in read_preferences(request["rows"]) if row.id not in done)

    @functools.cache
    def scorer() -> Scorer:  # loaded when a row needs it
        return Scorer(request["model"], image_limits_of(request), request["device"], request["dtype"])

    def records(batch: list[Preference]) -> Iterator[dict]:
        return scorer().records(batch, int(request["max_new_tokens"]))

    for count in append_lines(output, rows, int(request["batch"]), records):
        print(f"predicting with {request['model']}: {count} more rows", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
