"""Prepare a dataset: a reader's rows to `<split>.parquet`, its reports beside them, with their card.

Everything is written into a hidden folder inside `out` and moved at the end, so a failure leaves `out` as it
was. A second call with the same recipe and intact files does nothing.
"""

import contextlib
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from medical_rl.data import knowledge as knowledges
from medical_rl.data import parquet, reports
from medical_rl.data.prepare import card as cards
from medical_rl.data.prepare import gold, readers, sampling
from medical_rl.data.rows import Drops, drop_sentences, settled_sentences, workers
from medical_rl.errors import UserError
from medical_rl.run.progress import Progress
from medical_rl.sample import Sample, group_key, is_restricted

# Draws the rows of `test_per_class`: not the run's seed, so that every run is tested on the same rows.
TEST_SEED = 0
# What may leave training rows out, in the order in which it does.
TRAIN_OPTIONS = ("train_where", "top_k", "score", "shots", "balanced", "limit")


def prepare(data_cfg: Mapping, prompt_cfg: Mapping, out: Path | str, seed: int, batch_size: int) -> dict:
    """Prepare the data in `out` where they are not there yet, and return their card.

    data_cfg    name, reader, source, params (of the reader), and what conf/data/_sampling.yaml explains
    prompt_cfg  name, template, system, target: see `medical_rl.data.prompts`
    batch_size  rows of one training batch; verl stops with fewer

    Raises UserError (exit 2) for unusable input, BadSplit (exit 1) for a leak or a split with no rows.
    """
    out, data, prompt = Path(out), readers.plain_config(data_cfg), readers.plain_config(prompt_cfg)
    reader = readers.load_reader(data["reader"])
    params, knowledge = data.get("params") or {}, data.get("knowledge")
    readers.check_params(reader, data["reader"], params)
    splits = readers.split_names(reader, params, data.get("only"), data.get("source"))
    cards.refuse_others(out, data.get("source"), splits)
    with _read_errors_as_user_errors(data):
        source = readers.open_source(reader, data.get("source"), params)
        about = source.describe()
        fingerprint = readers.fingerprint(data, prompt, seed, batch_size, about, reader, out)
    card = cards.valid_card(out, fingerprint)
    if card is not None:
        return card
    earlier = reader.earlier_card(data["source"], data, prompt) if hasattr(reader, "earlier_card") else {}
    allowed = bool(params.get("allow_leaks") or earlier.get("leaks"))
    drops, checks, facts = Drops(), [], {}
    with cards.staging(out) as folder, workers(data.get("num_proc")), Progress() as progress:
        for split in splits:
            check = LeakCheck(split)
            rows = progress.count(split, _read_rows(source, data, split, drops))
            rows = _select_rows(check.count_read(rows), split, data, seed)
            rows = _fill_batch(check.count_selected(rows), split, data, batch_size, seed, drops)
            rows = gold.check_gold(knowledges.fill(rows, knowledge), prompt)
            counts = parquet.write_split(rows, folder / f"{split}.parquet", prompt)
            facts[split] = cards.split_facts(counts, check.read, check.selected)
            checks.append(check)
        leaks, warnings = _refuse_leaks(checks, allowed)
        warnings += knowledges.warnings(knowledge)
        if hasattr(source, "warnings"):
            warnings += source.warnings()
        studies = {}
        for check in checks:
            studies |= check.studies
        restricted = bool(about.get("restricted") or is_restricted(str(about.get("source", ""))))
        with _read_errors_as_user_errors(data):
            corpus = reports.write_corpus(reader, source, data, restricted, studies, folder, drops)
        dropped, settled = drops.summary(), drops.settled()
        changes = drop_sentences(dropped) + settled_sentences(settled) + _changes(facts, data)
        files = [f"{split}.parquet" for split in splits] + [reports.FILE] * bool(corpus)
        card = {
            "name": data.get("name") or data["reader"],
            "recipe": fingerprint,
            "about": about,
            "params": cards.public_params(params),
            "seed": seed,
            "prompt": prompt.get("name", ""),
            "knowledge": knowledges.facts(knowledge),
            "splits": facts,
            "reports": corpus,
            "dropped": dropped,
            "images": settled,
            "changes": changes,
            "warnings": warnings,
            "leaks": leaks,
            "files": {name: cards.sha256(folder / name) for name in files},
        }
        if data.get("outcome"):
            card["outcome"] = data["outcome"]
        card = _with_earlier(card, earlier)
        card["notes"] = list(about.get("altered", ())) + card["changes"] + card["warnings"]
        cards.move(card, folder, out)
    return card


def prepare_shared(
    data_cfg: Mapping, prompt_cfg: Mapping, out: Path, seed: int, batch_size: int, shared: Path
) -> dict:
    """Prepare below `shared`, once for all runs that need the same, link it to `out` and return its card.

    Of two runs at once the second waits for the first. Without a draw the rows are the same for every seed.
    """
    data, prompt = readers.plain_config(data_cfg), readers.plain_config(prompt_cfg)
    drawn = any(data.get(name) is not None for name in TRAIN_OPTIONS if name != "train_where")
    shared_seed = seed if drawn else 0
    settings = {key: data.get(key) for key in readers.READ + ("source",)}
    key = json.dumps([settings, prompt, shared_seed, batch_size], sort_keys=True, default=str)
    home = shared / hashlib.sha256(key.encode()).hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    with cards.locked(home, wait=True):
        card = prepare(data, prompt, home / "data", shared_seed, batch_size)
    if seed != shared_seed and any(facts["rows"] > facts["distinct"] for facts in card["splits"].values()):
        return prepare(data, prompt, out, seed, batch_size)  # which copies fill a batch is drawn, too
    return cards.valid_card(out, card["recipe"]) or cards.link({**card, "seed": seed}, home / "data", out)


def _with_earlier(card: dict, earlier: Mapping) -> dict:
    """The card with what that of the same rows' earlier preparation says of them; {}: as it is."""
    if not earlier:
        return card
    for split, facts in card["splits"].items():
        facts["read"] = earlier["splits"][split]["read"]
    kept = {name: earlier[name] for name in ("params", "knowledge", "concepts") if earlier.get(name)}
    for name in ("dropped", "images"):
        kept[name] = {**earlier.get(name, {}), **card[name]}
    for name in ("changes", "warnings"):
        kept[name] = list(dict.fromkeys(earlier.get(name, []) + card[name]))
    return {**card, **kept}


@contextlib.contextmanager
def _read_errors_as_user_errors(data: Mapping) -> Iterator[None]:
    """Turn an OSError while the source is read into a UserError: one that is left is of writing."""
    try:
        yield
    except OSError as error:
        raise UserError(f"The source {data.get('source')} cannot be read: {error}.") from error


def _read_rows(source, data: Mapping, split: str, drops: Drops) -> Iterator[Sample]:
    with _read_errors_as_user_errors(data):
        yield from source.rows(split, drops)


def _select_rows(samples: Iterable[Sample], split: str, data: Mapping, seed: int) -> Iterable[Sample]:
    """The rows used: of train by TRAIN_OPTIONS, of test by `test_per_class`, of others by `train_where`."""
    if split == "test":
        if data.get("test_per_class") is not None:
            return sampling.k_shot(samples, data["test_per_class"], TEST_SEED)
        return samples
    if data.get("train_where"):
        samples = sampling.where(samples, data["train_where"], split)
    if split != "train":
        return samples
    if data.get("top_k") is not None:
        samples = sampling.top_k(samples, data["top_k"], data.get("score"), seed)
    if data.get("shots") is not None:
        samples = sampling.k_shot(samples, data["shots"], seed, whole_from=data.get("whole_from"))
    if data.get("balanced") is not None:
        samples = sampling.balanced(samples, data["balanced"], seed)
    if data.get("limit") is not None:
        samples = sampling.limit(samples, data["limit"], seed)
    return samples


def _fill_batch(
    samples: Iterator[Sample], split: str, data: Mapping, batch_size: int, seed: int, drops: Drops
) -> Iterable[Sample]:
    """The samples, at least one of them; train repeated to one batch where it is shorter."""
    needed = max(1, batch_size) if split == "train" else 1
    head = list(itertools.islice(samples, needed))
    if not head:
        raise BadSplit(_why_empty(split, data, drops))
    if len(head) == needed:
        return itertools.chain(head, samples)
    if not data.get("train_repeat", True):
        raise UserError(
            f"train has {len(head)} rows, fewer than one batch of {needed}, and train_repeat is false. Set "
            "it to true to repeat rows, or make the batch smaller."
        )
    return sampling.repeat_to(head, needed, seed)


def _why_empty(split: str, data: Mapping, drops: Drops) -> str:
    if (data.get("params") or {}).get(f"{split}_share") == 0:
        return (
            f"The split {split} has no rows, as {split}_share is 0. Training chooses its checkpoint on val "
            f"and reports on test: give it a share, such as 0.1 (conf.data.params.{split}_share, "
            f"--{split}-share)."
        )
    sentences = [f"The split {split} of {data.get('name') or data['reader']} has no rows left."]
    sentences += drop_sentences(drops.summary())
    if split != "test":
        sentences.append(
            "A set that is only tested on needs no other split: conf.data.only=[test] (--only test)."
        )
    return " ".join(sentences)


def _changes(facts: Mapping[str, dict], data: Mapping) -> list[str]:
    """What was left out or repeated by choice, a sentence each."""
    changes = []
    for split, fact in facts.items():
        options = {"test": ("test_per_class",), "train": TRAIN_OPTIONS}.get(split, ("train_where",))
        why = ", ".join(f"{name}={data[name]}" for name in options if data.get(name) is not None)
        read, distinct, rows = fact["read"], fact["distinct"], fact["rows"]
        if distinct < read:
            changes.append(f"{split}: {distinct:,} of {read:,} rows were kept ({why}).")
        if split == "train" and (data.get("shots") or 0) >= (data.get("whole_from") or math.inf):
            whole_from, shots = data["whole_from"], data["shots"]
            changes.append(f"train: taken whole, as from {whole_from} shots on (shots={shots}).")
        if rows > distinct:
            changes.append(f"{split}: {distinct:,} rows were repeated to {rows:,}, to fill one batch.")
    return changes


class BadSplit(UserError):
    """A split leaks into another or has nothing left; exit code 1, as the command itself was right."""

    exit_code = 1


class LeakCheck:
    """What passed through a split: {study: split} of the rows read, groups and images of those selected."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.read = self.selected = 0
        self.studies: dict[str, str] = {}
        self.groups: set[str] = set()
        self.images: set[bytes] = set()

    def count_read(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples as they are read."""
        for sample in samples:
            self.read += 1
            for study in (group_key(sample), sample.meta.get("study")):
                if study:
                    self.studies[study] = self.split
            yield sample

    def count_selected(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples that are left when some are chosen."""
        for sample in samples:
            self.selected += 1
            self.groups.add(group_key(sample))
            for data in sample.images:
                self.images.add(hashlib.sha256(data).digest()[:16])
            yield sample


def _refuse_leaks(checks: Iterable[LeakCheck], allowed: bool) -> tuple[dict[str, int], list[str]]:
    """({"one and other": groups that both splits have}, a sentence for each and for identical images).

    Raises BadSplit where two splits share a group and it is not allowed; warm-start rows are training rows.
    """
    leaks, sentences = {}, []
    for one, other in itertools.combinations(checks, 2):
        groups = one.groups & other.groups
        if groups and {one.split, other.split} != {"warm_start", "train"}:
            both = f"{one.split} and {other.split}"
            if not allowed:
                raise BadSplit(
                    f"{len(groups)} groups (patients, lesions or studies) are in both {both}, for instance "
                    f"{min(groups)!r}. A model would be tested on what it was trained on; split by group, "
                    "or, for an official split that is as it is, conf.data.params.allow_leaks=true: every "
                    "table of results will say so."
                )
            leaks[both] = len(groups)
            count = f"{len(groups):,} group{'s' * (len(groups) != 1)} (patients, lesions or studies)"
            verb = "is" if len(groups) == 1 else "are"
            sentences.append(
                f"{count} {verb} in both {both}, allowed by allow_leaks: what is measured there is measured "
                "in part on what was trained on."
            )
        count = len(one.images & other.images)
        if count:
            sentences.append(f"{count:,} images of {other.split} are identical to images of {one.split}.")
    return leaks, sentences
