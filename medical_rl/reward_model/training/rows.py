"""Which training rows R_phi learns from, and the files of graded rows it is trained and measured on.

No patient is among R_phi's rows and the generator's: were the generator asked about the pictures whose right
answers R_phi has seen, its filter would only remember.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path

from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError, unknown
from medical_rl.reward_model.graded import GRADES, read_graded, write_graded
from medical_rl.reward_model.grading.distilled import agreeing_rows, agreement_figures, distil, write_pairs
from medical_rl.reward_model.grading.grades import graded_rows
from medical_rl.reward_model.grading.probes import probe_rows, with_grey_images
from medical_rl.reward_model.grading.synonyms import load
from medical_rl.reward_model.grading.text_maker import Donors
from medical_rl.reward_model.policy_grades import mix_with_replay
from medical_rl.sample import Sample, group_key
from medical_rl.seeding import hash_order

# The held-out Spearman is of the paper's four grades alone; probes are figures of their own.
MEASURED = tuple(GRADES)
# Probes whose texts are wrong or not to be believed: the least gap of these is how far R_phi can be
# exploited.
WRONG = ("wrong_image_synonym", "text_against_answer", "grey_image")
SEEDS = ("graded", "judge")
IMAGES = ("own", "grey")


def write_seed_rows(
    train: Path, path: Path, settings: Mapping, prompt: Mapping, seed: int, judge=None
) -> list[str]:
    """Write R_phi's first rows: texts of the four grades, or those of them on whose order a judge agrees.

    train     the prepared training rows
    settings  conf.reward_training: seed_from says which of both; with images=grey, a control, nothing can be
              seen

    The result is what to say of them, a line each.
    """
    if settings["seed_from"] not in SEEDS:
        raise unknown("seed of R_phi (conf.reward_training.seed_from)", settings["seed_from"], SEEDS)
    synonyms, count = load(settings["synonyms"]), int(settings["rows"])
    samples = reward_model_rows(train, count, seed)
    donors = Donors(reward_model_rows(train, count, seed), seed)
    if settings["seed_from"] == "judge":
        pairs = int(settings["pairs"])
        preferences = distil(samples, prompt, seed, synonyms, judge, donors=donors, pairs=pairs)
        write_pairs(preferences, path.with_name("preferences.parquet"))
        written = write_graded(agreeing_rows(preferences), path)
        figures = agreement_figures(preferences)
        notes = [
            f"{figures['pairs']:,} preferences of the judge; it sides with the grades in "
            f"{figures['agree']:.1%} of {figures['ordered']:,}"
        ]
    else:
        if settings["images"] not in IMAGES:
            raise unknown("conf.reward_training.images", settings["images"], IMAGES)
        skipped: Counter[str] = Counter()
        rows = graded_rows(
            samples, prompt, seed, synonyms, donors=donors,
            contradictions=float(settings["contradictions"]), skipped=skipped,
        )  # fmt: skip
        written = write_graded(map(with_grey_images, rows) if settings["images"] == "grey" else rows, path)
        notes = [f"{number:,} rows without a {name} text" for name, number in sorted(skipped.items())]
    if not written:
        raise UserError(
            "Nothing is left for R_phi to learn from: no text could be graded. See conf.reward_training.rows "
            "and seed_from."
        )
    return [f"{written:,} graded texts about at most {count:,} training rows"] + notes


def write_held_out_rows(val: Path, path: Path, settings: Mapping, prompt: Mapping, seed: int) -> int:
    """Write the four grades and the probes of validation rows, the same each round; return their number."""
    synonyms = load(settings["synonyms"])
    samples = list(islice(read_samples(val), int(settings["held_out"])))
    graded = graded_rows(samples, prompt, seed + 1, synonyms, contradictions=0.0)
    probes = probe_rows(samples, prompt, seed + 1, synonyms)
    return write_graded(chain(graded, probes), path)


def write_retraining_rows(policy: Path, seed_rows: Path, path: Path, replay: float, seed: int) -> list[str]:
    """Write the rows of a retraining: graded responses of the policy, and replayed texts of the seed.

    replay  share of the seed's texts among all; where these are too few for it, responses are left out

    The result is what to say of them.
    """
    responses = list(read_graded(policy))
    seed_texts = sum(1 for _ in read_graded(seed_rows))
    most = int(seed_texts * (1 - replay) / replay)
    if len(responses) > most:
        responses = random.Random(seed).sample(responses, most)
    rows = mix_with_replay(responses, read_graded(seed_rows), replay, seed)
    write_graded(rows, path)
    counts = Counter(map(attrgetter("made_by"), rows))
    by_kind = ", ".join(f"{number:,} {name}" for name, number in counts.most_common())
    return [f"{len(rows):,} graded texts: {by_kind}"]


def reward_model_groups(groups: Iterable[str], rows: int, seed: int) -> set[str]:
    """Groups (patients, lesions, studies) of together at least `rows` rows, drawn with the seed.

    groups  the group of every row

    Raises UserError where that would leave no row.
    """
    sizes = Counter(groups)
    chosen: set[str] = set()
    chosen_rows = 0
    for group in sorted(sizes, key=lambda name: _order(name, seed)):
        if chosen_rows >= rows:
            break
        chosen.add(group)
        chosen_rows += sizes[group]
    if len(chosen) == len(sizes):
        raise UserError(
            f"conf.reward_training.rows={rows} takes all {sizes.total()} training rows for R_phi and leaves "
            "none for the generator. Lower it."
        )
    return chosen


def reward_model_rows(train: Path, rows: int, seed: int) -> Iterator[Sample]:
    """The first `rows` training rows of the groups that R_phi learns from, in the file's order."""
    groups = _groups(train, rows, seed)
    learned = (sample for sample in read_samples(train) if group_key(sample) in groups)
    return islice(learned, rows)


def seed_rows(train: Path, count: int, rows: int, seed: int) -> Iterator[Sample]:
    """D_seed: `count` of the rows R_phi learns from, drawn with the seed, with their own, true answers."""
    groups = _groups(train, rows, seed)
    ids = [sample.id for sample in read_samples(train, with_images=False) if group_key(sample) in groups]
    drawn = set(sorted(ids, key=lambda name: _order(name, seed))[:count])
    return (sample for sample in read_samples(train) if sample.id in drawn)


def generator_rows(train: Path, rows: int, seed: int) -> Iterator[Sample]:
    """The training rows that R_phi does not learn from: the generator may be asked about their images."""
    groups = _groups(train, rows, seed)
    return (sample for sample in read_samples(train) if group_key(sample) not in groups)


def _groups(train: Path, rows: int, seed: int) -> set[str]:
    return reward_model_groups(map(group_key, read_samples(train, with_images=False)), rows, seed)


def _order(name: str, seed: int) -> int:
    """The rank of a name in a seeded order that does not change when rows are added."""
    return hash_order(f"{seed}/{name}")
