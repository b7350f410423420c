"""Where an image of IU-Xray lies: R2Gen's folders (`CXR1_IM-0001/0.png`), or flat ones."""

import collections
from pathlib import Path, PurePosixPath

from medical_rl.data.drops import Drops
from medical_rl.data.sources import files
from medical_rl.data_preprocess.iu_xray.studies import Views, plain_name, study_of
from medical_rl.data_preprocess.question_rows import Loaded
from medical_rl.errors import UserError, check_known

VIEWS = ("frontal", "lateral", "all")
NO_VIEW = "its study has no {view} view"
UNKNOWN_VIEW = "which of its study's images is {view} is not known (indiana_projections.csv says it)"


class IuImages:
    """The images of one copy of the dataset, as `data_preprocess.question_rows` asks for them.

    A question of RULE names one file of R2Gen's folders. Where it is not there, the frontal view of the study
    stands for it (or what `view` says): R2Gen numbered two views of each study and did not publish which is
    which.
    """

    source, restricted = "iu_xray", False

    def __init__(self, folder: Path, view: str, published: dict[str, str], listed: Views) -> None:
        check_known("view", view, VIEWS)
        self.view, self.splits, self.listed = view, published, listed
        # An image is known by its name in Open-i's and Kaggle's folders, in R2Gen's by the study's folder
        # before it.
        self.paths: dict[str, list[Path]] = collections.defaultdict(list)
        for path in files.below(folder):
            self.paths[plain_name(path.name)].append(path)
            self.paths[f"{path.parent.name}/{path.name}"].append(path)

    def path(self, name: str) -> Path | None:
        """The first file that goes by this name, None where there is none."""
        return next(iter(self._paths(name)), None)

    def group(self, name: str) -> str:
        """The study, "CXR3030"."""
        return f"CXR{study_of(name)}"

    def published(self, name: str) -> str | None:
        """R2Gen's split of the study; None for the studies it left out."""
        return self.splits.get(self.group(name))

    def there(self, name: str) -> bool:
        """Whether the named file or any image of its study is there."""
        return bool(self.path(name)) or self.has(study_of(name))

    def has(self, study: str) -> bool:
        """Whether any image of the study is there."""
        return any(self.path(name) for name, _ in self.listed.get(study, ()))

    def load(self, name: str, row: str, drops: Drops) -> Loaded | None:
        """The named file, else the study's images of the wanted view."""
        paths = self._paths(name)
        if not paths:
            return self.study(study_of(name), row, drops)
        picture = files.read_only_picture(paths, row, drops)
        return picture and ((picture.data,), {})

    def study(self, study: str, row: str, drops: Drops) -> Loaded | None:
        """The images of one study: its first frontal or lateral one, or all, frontal ones first."""
        try:
            chosen = self._chosen(study)
        except UserError as error:
            return drops.add(row, str(error))
        pictures = [files.read_only_picture(self._paths(name), row, drops) for name, _ in chosen]
        if None in pictures:
            return None
        return tuple(picture.data for picture in pictures), {"views": [view for _, view in chosen]}

    def _paths(self, name: str) -> list[Path]:
        # "CXR478_IM-2101-1001/0.png" is a study's folder of R2Gen, and no file of that number in a flat one.
        path = PurePosixPath(name)
        known = f"{path.parent.name}/{path.name}" if path.parent.name else plain_name(path.name)
        return self.paths.get(known, [])

    def _chosen(self, study: str) -> list[tuple[str, str]]:
        """(file name, view) of the study's images that `view` means; UserError where there is none."""
        images = self.listed.get(study, [])
        if not images:
            raise UserError("its study lists no image")
        if self.view == "all":
            return sorted(images, key=lambda image: image[1] != "frontal")
        views = [view for _, view in images]
        if self.view in views:
            return [images[views.index(self.view)]]
        raise UserError((NO_VIEW if all(views) else UNKNOWN_VIEW).format(view=self.view))
