"""Phantoms whose retrieved report may speak of another picture: a labeller that leans on reports can be made, and unmade.

One soft disc, graded 0 (none) to 4 by its size, drawn by code; nothing here speaks of patients.
"""

import dataclasses
import random

import torch

from medical_rl.data.prompts import messages, target
from medical_rl.pseudo_label.alignment.pair_scores import Scorer
from medical_rl.pseudo_label.alignment.pairs import Pairs, Preference, make_pairs, write_preferences  # noqa: F401  for the tests
from medical_rl.tiny import phantoms
from medical_rl.tiny.model import build_tiny_model

LIMITS = {"min_pixels": 56 * 56, "max_pixels": 56 * 56}
# Few words: on two cores every token of the prompt is seconds of the suite.
PROMPT = {
    "name": "phantom",
    "system": "Look.",
    "template": "{% if knowledge %}Report: grade {{ knowledge }}. {% endif %}Grade?",
    "target": "<think>size</think><answer>{{ answer }}</answer>",
}


def drawn(split: str, count: int, seed: int = 0) -> list:
    """Phantom graded rows without a report."""
    rows = phantoms.rows(None, split, task="grading", seed=seed, sizes={split: count})
    return [dataclasses.replace(row, knowledge="") for row in rows]


def reported(rows: list, right: float, seed: int = 0) -> list:
    """The rows with a report each, of their own grade in a share `right` of them and of another grade in the rest."""
    found = []
    for row in rows:
        draw = random.Random(f"{seed}/{row.id}")
        grade = int(row.answer)
        told = grade if draw.random() < right else draw.choice([g for g in range(5) if g != grade])
        found.append(dataclasses.replace(row, knowledge=str(told)))
    return found


def leaning(rows: list, share: float, seed: int = 0) -> list:
    """The rows with a report of any grade, which is the answer of a share of them: who learns from them leans on reports.

    Were it the answer of all, no word about the picture would be left to prefer; were reports just right in training, it would be
    chance which of two right ways a model takes.
    """
    told = reported(rows, right=0.2, seed=seed)  # one grade of five is the picture's own
    wrong = [random.Random(f"lean/{seed}/{row.id}").random() < share for row in told]
    return [
        dataclasses.replace(row, answer=row.knowledge) if w else row
        for row, w in zip(told, wrong, strict=True)
    ]


def asked(row) -> Preference:
    """The row as a question with its gold answer."""
    return Preference.of(row, "", messages(row, PROMPT), target(row, PROMPT), None)


def taught(rows: list, folder, **how):
    """`folder`, a tiny model after supervised fine-tuning on `rows`, as `fitted` does it."""
    return fitted([asked(row) for row in rows], folder, **how)


def fitted(
    known: list[Preference],
    folder,
    *,
    steps: int,
    size: dict | None = None,
    batch: int = 32,
    lr: float = 1e-3,
    seed: int = 0,
):
    """`folder`, a tiny model after `steps` of supervised fine-tuning on the chosen answers, by plain torch."""
    texts = {turn["content"] for row in known for turn in row.messages} | {row.chosen for row in known}
    scorer, draw = (
        Scorer(build_tiny_model(texts, size=size, seed=seed, cache=folder.parent / "cache"), LIMITS),
        random.Random(seed),
    )
    optimiser = torch.optim.AdamW(scorer.model.parameters(), lr=lr, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    scorer.model.train()
    for _ in range(steps):
        some = draw.sample(known, batch)
        logprobs, mask = scorer.token_logprobs(some, [row.chosen for row in some])
        (-logprobs.sum() / mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(scorer.model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    scorer.model.save_pretrained(folder)
    scorer.processor.save_pretrained(folder)
    return folder


def answers(folder, rows: list, batch: int = 64) -> dict[str, str]:
    """{row id: the model's greedy response}."""
    scorer, known = Scorer(folder, LIMITS), [asked(row) for row in rows]
    parts = [known[i : i + batch] for i in range(0, len(known), batch)]
    return {row.id: text for part in parts for row, text in zip(part, scorer.respond(part, 16), strict=True)}


def made(folder, rows: list, *, right: float, held_out: float, seed: int = 0) -> Pairs:
    """The labeller's preference pairs of gold rows whose reports are right in a share `right` of them."""
    told = reported(rows, right, seed)
    found = answers(folder, rows), answers(folder, told)
    return make_pairs(told, *found, lambda row: messages(row, PROMPT), PROMPT, held_out=held_out, seed=seed)


def contradicted(row) -> Preference:
    """The row as a pair whose rejected answer is its report's."""
    worse = target(dataclasses.replace(row, answer=row.knowledge), PROMPT)
    return dataclasses.replace(asked(row), cell="right_wrong", rejected=worse)
