"""What passed through each split of a preparation: the groups and images that no two splits may share."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping

from medical_rl.errors import UserError
from medical_rl.sample import Sample

# Only these may share a group: warm-start rows are training rows.
_TRAINING = ("warm_start", "train")


class BadSplit(UserError):
    """A split leaks into another or has nothing left; exit code 1, as the command itself was right."""

    exit_code = 1


class Tally:
    """What passed through one split: rows read and the studies they are of; rows chosen, their groups and their images."""

    def __init__(self) -> None:
        self.read = self.distinct = 0
        self.groups: set[str] = set()
        self.studies: set[str] = set()
        self.images: set[bytes] = set()

    def reading(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self.read += 1
            self.studies.update(filter(None, (sample.group or sample.id, sample.meta.get("study"))))
            yield sample

    def choosing(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self.distinct += 1
            self.groups.add(sample.group or sample.id)
            self.images.update(hashlib.sha256(data).digest()[:16] for data in sample.images)
            yield sample


def refuse_leaks(tallies: Mapping[str, Tally]) -> None:
    """None; BadSplit where two splits share a group."""
    for one, other in itertools.combinations(tallies, 2):
        if shared := set() if {one, other} <= set(_TRAINING) else tallies[one].groups & tallies[other].groups:
            raise BadSplit(
                f"{len(shared)} groups (patients, lesions or studies) are in both {one} and {other}, for instance "
                f"{min(shared)!r}. A model would be tested on what it was trained on; split by group."
            )


def shared_images(tallies: Mapping[str, Tally]) -> list[str]:
    """A sentence for every pair of splits with byte-identical images: published sets have them, so it is no error."""
    pairs = itertools.combinations(tallies, 2)
    shared = [(one, other, len(tallies[one].images & tallies[other].images)) for one, other in pairs]
    return [f"{n:,} images of {other} are identical to images of {one}." for one, other, n in shared if n]
