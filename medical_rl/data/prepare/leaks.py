"""What passed through each split of a preparation: the groups and images that no two splits may share."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping

from medical_rl.errors import UserError
from medical_rl.sample import Sample, group_key

# Only these may share a group: warm-start rows are training rows.
_TRAINING = {"warm_start", "train"}


class BadSplit(UserError):
    """A split leaks into another or has nothing left; exit code 1, as the command itself was right."""

    exit_code = 1


class LeakCheck:
    """What passed through a split: studies of the rows read, groups and images of those selected."""

    def __init__(self) -> None:
        self.read = self.selected = 0
        self.groups: set[str] = set()
        self.studies: set[str] = set()
        self.images: set[bytes] = set()

    def count_read(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples as they are read."""
        for sample in samples:
            self.read += 1
            self.studies.add(group_key(sample))
            if sample.meta.get("study"):
                self.studies.add(sample.meta["study"])
            yield sample

    def count_selected(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples that are left when some are chosen."""
        for sample in samples:
            self.selected += 1
            self.groups.add(group_key(sample))
            for data in sample.images:
                self.images.add(hashlib.sha256(data).digest()[:16])
            yield sample


def refuse_leaks(checks: Mapping[str, LeakCheck]) -> None:
    """Raise BadSplit where two splits share a group."""
    for one, other in itertools.combinations(checks, 2):
        shared = checks[one].groups & checks[other].groups
        if shared and {one, other} != _TRAINING:
            raise BadSplit(
                f"{len(shared)} groups (patients, lesions or studies) are in both {one} and {other}, for "
                f"instance {min(shared)!r}. A model would be tested on what it was trained on; split by "
                "group."
            )


def shared_images(checks: Mapping[str, LeakCheck]) -> list[str]:
    """A sentence for every two splits with byte-identical images: published sets have them."""
    sentences = []
    for one, other in itertools.combinations(checks, 2):
        count = len(checks[one].images & checks[other].images)
        if count:
            sentences.append(f"{count:,} images of {other} are identical to images of {one}.")
    return sentences
