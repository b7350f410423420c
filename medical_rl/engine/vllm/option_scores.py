"""Option scores by vLLM: `python -m medical_rl.engine.vllm.option_scores REQUEST.json ...`.

A request is that of `generate` with `responses`, the file that it has written. What follows the prompt for
each option is told in medical_rl/evaluation/auroc.py.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from os.path import commonprefix
from pathlib import Path

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.engine.vllm.inputs import load_engine, load_processor, prompts
from medical_rl.engine.vllm.requests import answer_each, answered_ids, append_lines, requested_samples
from medical_rl.evaluation.auroc import answer_options, continuations
from medical_rl.sample import Sample

MARGIN = 8  # tokens: a text joined to the prompt may be cut into a few more than alone
MARK = re.compile(r"</?(think|answer)>")  # special tokens of some models, and what an answer is read by


def answer(request_file: Path) -> None:
    """Append {"id", "options", "scores"} (log-probabilities) for every row with options and no line yet."""
    from vllm import SamplingParams

    request = json.loads(request_file.read_text())
    output = Path(request["output"])
    done = answered_ids(output)
    remaining = unscored(request, done)
    first = next(remaining, None)
    if first is None:
        output.touch()
        return
    processor = load_processor(request["model"])
    responses = {}
    for line in Path(request["responses"]).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        responses[row["id"]] = without_special(row["response"], processor.tokenizer)

    def texts(sample: Sample) -> Sequence[str]:
        return continuations(sample, request["prompt"], responses[sample.id])

    room = 0
    for sample in unscored(request, done, with_images=False):
        room = max(room, longest_text(texts(sample), processor.tokenizer))
    engine = load_engine(request, processor, room + MARGIN)
    scoring = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, seed=int(request["seed"]))

    def lines(batch: list[Sample]) -> Iterator[dict]:
        inputs = []
        for sample, prompt in zip(batch, prompts(batch, request, processor), strict=True):
            for text in texts(sample):
                inputs.append({**prompt, "prompt": prompt["prompt"] + text})
        results = iter(engine.generate(inputs, scoring, use_tqdm=False))
        for sample in batch:
            likely = [likelihoods(next(results)) for _ in texts(sample)]
            yield {"id": sample.id, "options": answer_options(sample), "scores": after_common(likely)}

    for count in append_lines(output, chain([first], remaining), int(request["batch"]), lines):
        print(f"scored the options of {count} rows", flush=True)


def unscored(request: Mapping, done: set[str], with_images: bool = True) -> Iterator[Sample]:
    """The request's rows that have options and no line yet."""
    for sample in requested_samples(request, with_images):
        if sample.id not in done and answer_options(sample):
            yield sample


def without_special(text: str, tokenizer) -> str:
    """`text` with special tokens made plain: a response that spells one must not become an image's place."""
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    for token in sorted(special, key=len, reverse=True):
        if not MARK.fullmatch(token):
            text = text.replace(token, f"[{token.strip('<|>')}]")
    return text


def longest_text(texts: Sequence[str], tokenizer) -> int:
    """Tokens of the longest of `texts`."""
    return max(map(len, tokenizer(text=list(texts), add_special_tokens=False)["input_ids"]))


def likelihoods(result) -> tuple[list[int], list[float]]:
    """(tokens, log-probability of each given those before it) of a vLLM result with prompt_logprobs.

    The first token has none: 0.
    """
    tokens = list(result.prompt_token_ids)
    values = []
    for token, candidates in zip(tokens, result.prompt_logprobs, strict=True):
        values.append(candidates[token].logprob if candidates else 0.0)
    return tokens, values


def after_common(results: Sequence[tuple[Sequence[int], Sequence[float]]]) -> list[float]:
    """The summed log-probabilities of each text after the tokens that all begin with, alike in each.

    >>> after_common([([1, 2, 3], [0.0, -5.0, -1.0]), ([1, 2, 4, 5], [0.0, -5.0, -2.0, -0.5])])
    [-1.0, -2.5]
    """
    shared = len(commonprefix([list(tokens) for tokens, _ in results]))
    return [sum(values[shared:]) for _, values in results]


if __name__ == "__main__":
    raise SystemExit(answer_each(answer, sys.argv[1:]))
