"""What R_phi is trained on and measured on, as files of graded rows: the seed's, those of a later round, and the held-out ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from medical_rl.errors import UserError, unknown
from medical_rl.reward_model import rows as rated
from medical_rl.reward_model.graded import GRADES, Graded, read_graded, write_graded
from medical_rl.reward_model.grading.counterfactual import grey
from medical_rl.reward_model.grading.distilled import agreed, distil, tally, write_pairs
from medical_rl.reward_model.grading.donors import Donors
from medical_rl.reward_model.grading.grades import graded_rows
from medical_rl.reward_model.grading.probes import probe_rows
from medical_rl.reward_model.grading.synonyms import Synonyms, load
from medical_rl.reward_model.policy_grades import mix_with_replay

# The held-out Spearman is of the paper's four grades alone; probes are figures of their own.
MEASURED = tuple(GRADES)
# Probes whose texts are wrong or not to be believed: the least gap of these is how far R_phi can be exploited.
WRONG = ("wrong_image_synonym", "text_against_answer", "grey_image")
SEEDS = ("graded", "judge")
IMAGES = ("own", "grey")
# Of conf/reward_training, what the training process is told as it stands.
TRAINING = (
    "loss", "criteria", "criteria_weight", "max_length", "overlong", "precision", "export_dtype", "gradient_checkpointing",
    "micro_batch", "max_grad_norm", "save_every",
)  # fmt: skip


def write_seed(
    train: Path, path: Path, settings: Mapping, prompt: Mapping, seed: int, judge=None
) -> list[str]:
    """What is to be told, a line each, after R_phi's first rows were written: texts of the four grades, or those of them on whose
    order a judge agrees (conf.reward_training.seed_from)."""
    if settings["seed_from"] not in SEEDS:
        raise unknown("seed of R_phi (conf.reward_training.seed_from)", settings["seed_from"], SEEDS)
    synonyms, count = load(settings["synonyms"]), int(settings["rows"])
    donors = Donors(rated.learned(train, count, seed), seed)
    if settings["seed_from"] == "judge":
        preferences = distil(
            rated.learned(train, count, seed),
            prompt,
            seed,
            synonyms,
            judge,
            donors=donors,
            pairs=int(settings["pairs"]),
        )
        found = tally(preferences)
        write_pairs(preferences, path.with_name("preferences.parquet"))
        written = write_graded(agreed(preferences), path)
        notes = [
            f"{found['pairs']:,} preferences of the judge; it sides with the grades in {found['agree']:.1%} of {found['ordered']:,}"
        ]
    else:
        skipped: Counter[str] = Counter()
        rows = graded_rows(
            rated.learned(train, count, seed), prompt, seed, synonyms, donors=donors,
            contradictions=float(settings["contradictions"]), skipped=skipped,
        )  # fmt: skip
        written = write_graded(_seen(rows, settings["images"]), path)
        notes = [f"{n:,} rows without a {name} text" for name, n in sorted(skipped.items())]
    if not written:
        raise UserError(
            "Nothing is left for R_phi to learn from: no text could be graded. See conf.reward_training.rows and seed_from."
        )
    return [f"{written:,} graded texts about at most {count:,} training rows", *notes]


def _seen(rows: Iterable[Graded], images: str) -> Iterator[Graded]:
    """The rows with their own images, or as a control without what is to be seen."""
    if images not in IMAGES:
        raise unknown("conf.reward_training.images", images, IMAGES)
    return (grey([row])[0] for row in rows) if images == "grey" else iter(rows)


def write_held_out(val: Path, path: Path, settings: Mapping, prompt: Mapping, seed: int) -> int:
    """Number of rows written: the four grades and the probes of validation rows, the same for every round."""
    synonyms: Synonyms = load(settings["synonyms"])
    samples = list(rated.first(val, int(settings["held_out"])))
    graded = graded_rows(samples, prompt, seed + 1, synonyms, contradictions=0.0)
    probes = probe_rows(samples, prompt, seed + 1, synonyms)
    return write_graded((row for rows in (graded, probes) for row in rows), path)


def write_again(policy: Path, seed_rows: Path, path: Path, replay: float, seed: int) -> list[str]:
    """What is to be told after the rows of a retraining were written: graded responses of the policy and replayed graded texts."""
    rows = mix_with_replay(_fitting(policy, seed_rows, replay, seed), read_graded(seed_rows), replay, seed)
    write_graded(rows, path)
    counts = Counter(row.made_by for row in rows)
    return [f"{len(rows):,} graded texts: " + ", ".join(f"{n:,} {name}" for name, n in counts.most_common())]


def _fitting(policy: Path, seed_rows: Path, replay: float, seed: int) -> list:
    """The policy's rows, no more of them than the seed's rows can be `replay` beside."""
    import random

    rows = list(read_graded(policy))
    held = sum(1 for _ in read_graded(seed_rows))
    most = int(held * (1 - replay) / replay)
    return rows if len(rows) <= most else random.Random(seed).sample(rows, most)
