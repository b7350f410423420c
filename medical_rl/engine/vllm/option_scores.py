"""Log-probabilities of a question's options by vLLM, in a process of its own: `python -m medical_rl.engine.vllm.option_scores REQUEST.json ...`.

A request is that of medical_rl.engine.vllm.generate with `responses`, the file that it has written. What follows the
prompt for each option is told in medical_rl/evaluation/option_texts.py. Lines are written as they come, so an
interrupted request goes on where it stopped.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from os.path import commonprefix
from pathlib import Path

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.data.parquet import read_samples
from medical_rl.engine.vllm.forks import answer_each
from medical_rl.engine.vllm.generate import answered, batches
from medical_rl.engine.vllm.inputs import load_engine, load_processor, prompts
from medical_rl.evaluation.option_texts import continuations, options
from medical_rl.sample import Sample

MARGIN = 8  # tokens: a text joined to the prompt may be cut into a few more than alone
MARK = re.compile(r"</?(think|answer)>")  # special tokens of some models, and what an answer is read by


def answer(request_file: Path) -> None:
    """None; appends {"id", "options", "scores"} lines, natural logarithms, for every row with options not scored yet."""
    from vllm import SamplingParams

    request = json.loads(request_file.read_text())
    output = Path(request["output"])
    done = answered(output)
    waiting = unscored(request, done)
    first = next(waiting, None)
    if first is None:
        output.touch()
        return
    lines = Path(request["responses"]).read_text(encoding="utf-8").splitlines()
    responses = {line["id"]: line["response"] for line in map(json.loads, lines)}
    processor = load_processor(request["model"])

    def texts(sample: Sample) -> list[str]:
        said = without_special(responses[sample.id], processor.tokenizer)
        return continuations(sample, request["prompt"], said)

    room = max(
        longest_text(texts(sample), processor.tokenizer) for sample in unscored(request, done, images=False)
    )
    llm = load_engine(request, processor, room + MARGIN)
    scored = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, seed=int(request["seed"]))
    with output.open("a", encoding="utf-8") as file:
        for batch in batches(chain([first], waiting), int(request["batch"])):
            asked = prompts(batch, request, processor)
            each = [
                [{**ask, "prompt": ask["prompt"] + t} for t in texts(s)]
                for ask, s in zip(asked, batch, strict=True)
            ]
            found = iter(llm.generate(list(chain.from_iterable(each)), scored, use_tqdm=False))
            for sample, own in zip(batch, each, strict=True):
                scores = after_common([likelihoods(result) for result in islice(found, len(own))])
                line = {"id": sample.id, "options": options(sample), "scores": scores}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            print(f"scored the options of {len(batch)} rows", flush=True)


def unscored(request: dict, done: set[str], images: bool = True) -> Iterator[Sample]:
    """The request's rows that have options and no line yet."""
    rows = islice(read_samples(Path(request["rows"]), with_images=images), request.get("limit"))
    return (sample for sample in rows if sample.id not in done and options(sample))


def without_special(text: str, tokenizer) -> str:
    """`text` with the tokenizer's special tokens made plain: a response that spells one must not become an image's place."""
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    for token in sorted(special, key=len, reverse=True):
        text = text.replace(token, f"[{token.strip('<|>')}]") if not MARK.fullmatch(token) else text
    return text


def longest_text(texts: Sequence[str], tokenizer) -> int:
    """Tokens of the longest of `texts`."""
    return max(len(tokenizer(text=text, add_special_tokens=False)["input_ids"]) for text in texts)


def likelihoods(result) -> tuple[list[int], list[float]]:
    """(tokens, log-probability of each given those before it) of a vLLM result with prompt_logprobs; the first has none: 0."""
    tokens = list(result.prompt_token_ids)
    found = result.prompt_logprobs
    return tokens, [of[token].logprob if of else 0.0 for token, of in zip(tokens, found, strict=True)]


def after_common(results: Sequence[tuple[Sequence[int], Sequence[float]]]) -> list[float]:
    """The summed log-probabilities of each text after the tokens that all begin with, which weigh alike in every one.

    >>> after_common([([1, 2, 3], [0.0, -5.0, -1.0]), ([1, 2, 4, 5], [0.0, -5.0, -2.0, -0.5])])
    [-1.0, -2.5]
    """
    shared = len(commonprefix([list(tokens) for tokens, _ in results]))
    return [sum(values[shared:]) for _, values in results]


if __name__ == "__main__":
    raise SystemExit(answer_each(answer, sys.argv[1:]))
