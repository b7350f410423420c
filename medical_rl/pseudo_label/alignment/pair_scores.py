"""What a model thinks of measured rows, in a process of its own: `python -m medical_rl.pseudo_label.alignment.pair_scores REQUEST.json`.

The request names model, rows (preference.py), output, batch, max_new_tokens, min_pixels, max_pixels, device and dtype. A line a row:
{"id", "chosen", "rejected", "response"}: log-probabilities in nats, summed over an answer and its end, rejected null for a row that
is no pair; the response is greedy. A file that a kill cut short is completed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText

from medical_rl.errors import exit_code
from medical_rl.pseudo_label.alignment.chat import completion_text, decoded, prompt_text
from medical_rl.pseudo_label.alignment.preference import Preference, read_preferences
from medical_rl.reward_model.scoring import scored
from medical_rl.training.encode import limits_of, load_processor


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
        texts = [prompt_text(self.processor, row.messages) for row in rows]
        images = [decoded(row.id, row.images) for row in rows]
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
        """(log-probability of each answer's tokens, 1 where there is a token and 0 where it is padding): (rows, tokens)."""
        inputs = self.prompts(rows)
        found = [torch.tensor(self.completion(row, text)) for row, text in zip(rows, answers, strict=True)]
        padding = self.processor.tokenizer.pad_token_id
        ids = torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=padding)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(f) for f in found], batch_first=True)
        grown = {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": torch.zeros_like(ids)}
        batch = {
            k: torch.cat([v, grown[k].to(v.dtype)], dim=1) if k in grown else v for k, v in inputs.items()
        }
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
        return self.processor.batch_decode(
            tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )

    def records(self, rows: Sequence[Preference], max_new_tokens: int) -> Iterator[dict]:
        """A line for each row of one batch."""
        chosen = self.logprobs(rows, [row.chosen for row in rows])
        pairs = [row for row in rows if row.rejected is not None]
        worse = self.logprobs(pairs, [row.rejected for row in pairs]) if pairs else []
        rejected = dict(zip((row.id for row in pairs), worse, strict=True))
        for row, score, text in zip(rows, chosen, self.respond(rows, max_new_tokens), strict=True):
            yield {"id": row.id, "chosen": score, "rejected": rejected.get(row.id), "response": text}


def main(request_file: str) -> int:
    """0 after every row of the request has its line; 2 on a user's error."""
    return exit_code(lambda: measure(request_file))


def measure(request_file: str) -> None:
    """None; a line for every row of the request that has none yet."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    path, batch = Path(request["output"]), int(request["batch"])
    rows = islice(read_preferences(request["rows"]), scored(path), None)
    scorer = None
    with path.open("a", encoding="utf-8") as file:
        while some := list(islice(rows, batch)):
            scorer = scorer or Scorer(
                request["model"], limits_of(request), request["device"], request["dtype"]
            )
            lines = [
                json.dumps(line, ensure_ascii=False)
                for line in scorer.records(some, int(request["max_new_tokens"]))
            ]
            file.write("\n".join(lines) + "\n")
            file.flush()
            print(f"predicting with {request['model']}: {len(some)} more rows", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
