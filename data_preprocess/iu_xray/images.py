"""Where an image of IU-Xray lies: R2Gen's folders (`CXR1_IM-0001/0.png`), Open-i's or Kaggle's flat ones."""

from __future__ import annotations

import collections
from pathlib import Path, PurePosixPath

from medical_rl.data.drops import Drops
from medical_rl.data.sources import files
from medical_rl.data_preprocess.iu_xray import openi
from medical_rl.errors import UserError, unknown

VIEWS = ("frontal", "lateral", "all")
NO_VIEW = "its study has no {view} view"
UNKNOWN_VIEW = "which of its study's images is {view} is not known (indiana_projections.csv says it)"


class IuImages:
    """The images of one copy of the dataset, as `data_preprocess.question_rows` asks for them.

    A question of RULE names one file of R2Gen's folders. Where it is not there, the frontal view of the study stands
    for it (or what `view` says): R2Gen numbered two views of each study and did not publish which is which.
    """

    source, restricted = "iu_xray", False

    def __init__(
        self, folder: Path, view: str, published: dict[str, str], listed: dict[str, list[tuple[str, str]]]
    ) -> None:
        if view not in VIEWS:
            raise unknown("view", view, VIEWS)
        self.view, self.splits, self.listed = view, published, listed
        found = files.below(folder)
        # An image is known by its name in Open-i's and Kaggle's folders, in R2Gen's by the study's folder before it.
        self.paths: dict[str, list[Path]] = collections.defaultdict(list)
        for path in found:
            for name in (openi.plain_name(path.name), f"{path.parent.name}/{path.name}"):
                self.paths[name].append(path)

    def path(self, name: str) -> Path | None:
        """The first file that goes by this name, None where there is none."""
        return next(iter(self._files(name)), None)

    def _files(self, name: str) -> list[Path]:
        # "CXR478_IM-2101-1001/0.png" is a study's folder of R2Gen, and no file of that number in a flat one.
        *_, folder, file = ("", *PurePosixPath(name).parts)
        return self.paths.get(f"{folder}/{file}" if folder else openi.plain_name(file), [])

    def group(self, name: str) -> str:
        """The study, "CXR3030"."""
        return f"CXR{openi.study_of(name)}"

    def published(self, name: str) -> str | None:
        """R2Gen's split of the study; None for the studies it left out."""
        return self.splits.get(self.group(name))

    def there(self, name: str) -> bool:
        """Whether the named file or any image of its study is there."""
        return bool(self.path(name)) or self.has(openi.study_of(name))

    def has(self, study: str) -> bool:
        """Whether any image of the study is there."""
        return any(self.path(file) for file, _ in self.of(study))

    def of(self, study: str) -> list[tuple[str, str]]:
        """(file name, view) of the study's images, as the table lists them."""
        return self.listed.get(study, [])

    def load(self, name: str, row: str, drops: Drops) -> tuple[tuple[bytes, ...], dict] | None:
        """The named file, else the study's images of the wanted view."""
        if found := self._files(name):
            picture = files.only(found, row, drops)
            return picture and ((picture.data,), {})
        return self.study(openi.study_of(name), row, drops)

    def study(self, study: str, row: str, drops: Drops) -> tuple[tuple[bytes, ...], dict] | None:
        """The images of one study: its first frontal or lateral one, or all, frontal ones first."""
        try:
            chosen = self._chosen(study)
        except UserError as error:
            return drops.add(row, str(error))
        pictures = [files.only(self._files(file), row, drops) for file, _ in chosen]
        if None in pictures:
            return None
        return tuple(picture.data for picture in pictures), {"views": [view for _, view in chosen]}

    def _chosen(self, study: str) -> list[tuple[str, str]]:
        listed = self.of(study)
        if not listed:
            raise UserError("its study lists no image")
        if self.view == "all":
            return sorted(listed, key=lambda image: image[1] != "frontal")
        if chosen := [image for image in listed if image[1] == self.view][:1]:
            return chosen
        reason = UNKNOWN_VIEW if any(not view for _, view in listed) else NO_VIEW
        raise UserError(reason.format(view=self.view))
