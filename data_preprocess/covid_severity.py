"""COVID-19 severity: chest X-rays of COVID-19 scored 0 to 6 by two raters (and, if wanted, 784 normal ones).

Source: Danilov et al., Scientific Reports 2022, doi 10.1038/s41598-022-15013-z; images at Mendeley Data, doi
10.17632/36fjrg9s69.1; the table of scores (1,364 rows) in github.com/quantori/prj-covid-scoring.
Licence: the table MIT; the images come from six public sets (Actualmed, Figure 1, COVID-19 Radiography,
covid- chestxray-dataset, chest_xray, RSNA), each under its own licence, some for research only.
VRFT-Aug (appendix A.1) takes the first four sets, 580 rows; the 784 normals of the last two are an option.
One row: COVID-00021.jpg of Figure1-COVID-chestxray-dataset, rater R says 6, rater D says 6, split val,
COVID-19.
What the splits do not prove: they are the published ones, and nothing names the patients, so one patient's
images may be in two splits. No row of the four sets is of grade 0. The normal images (`normals=true`) come
from other sets than those of COVID-19 (and from children, in part), so a model may tell the set and not the
disease. The raters differ by 2 or more on some rows: no score is certain to 1.
"""

import collections
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from medical_rl.data.prepare import command
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import files, tables
from medical_rl.data_preprocess import count_differences, file_names
from medical_rl.errors import UserError, check_known
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
OFFICIAL = {"train": 1089, "val": 136, "test": 139}
GRADES = tuple(map(str, range(7)))
# The sets that VRFT-Aug names; all of their rows are COVID-19.
PAPERS = (
    "Actualmed-COVID-chestxray-dataset", "COVID-19-Radiography-Database", "covid-chestxray-dataset",
    "Figure1-COVID-chestxray-dataset",
)  # fmt: skip
COLUMNS = (
    "dataset", "filename", "Inaccurate labelling", "Score R", "Score D", "Poor quality D", "Poor quality R",
    "subset", "label",
)  # fmt: skip
# The grade from the two scores, R first; a score that is missing has been replaced by the other.
CONSENSUS = {
    "ceil_mean": lambda r, d: (r + d + 1) // 2,
    "floor_mean": lambda r, d: (r + d) // 2,
    "max": max,
    "min": min,
    "R": lambda r, d: r,
    "D": lambda r, d: d,
}
QUESTION = (
    "How severe is the lung disease on this chest X-ray, from 0 (no opacity) to 6 (all six lung zones)?"
)
WHAT = (
    "It should hold the images of https://doi.org/10.17632/36fjrg9s69.1 and the table of scores (columns "
    f"{', '.join(COLUMNS)}) of https://github.com/quantori/prj-covid-scoring."
)
NOTES = (
    "No patients are named: one patient's images may be in two splits.",
    "Normal and COVID-19 images come from different sets: a model may tell the set and not the disease.",
)


def rows(
    source, split: str, *, drops: Drops | None = None, consensus: str = "ceil_mean", table: str | None = None,
    normals: bool = False,
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one published split in the table's order; kind "grade", "0" to "6".

    consensus  the grade from the raters R and D: ceil_mean (the reference's), floor_mean, max, min, R or D;
               where one gave no score, the other's stands for both
    table      the table's path within the source, where several fit
    normals    keep the normal images of two more sets, all of grade 0, which VRFT-Aug's four sets do not have

    Rows of inaccurate labelling or poor quality, without a score, or without a readable image go to `drops`.
    Raises UserError for a table that cannot be used, and where none of its images is in the folder.
    """
    check_known("split of COVID-19 severity", split, SPLITS)
    folder, path, lines = _read_scores(source, consensus, table)
    lines = [line for line in lines if normals or not _is_extra(line[1])]
    pictures = files.ImageIndex(folder)
    if not any(pictures.find(row["filename"], row["dataset"]) for _, row in lines):
        raise UserError(f"None of the {len(lines):,} images of {path.name} is in {folder.absolute()}. {WHAT}")
    files_named = [(row["filename"], row["dataset"]) for _, row in lines]
    counts = collections.Counter(filename for filename, _ in files_named)
    disputed = pictures.disputed(files_named)

    def sample(numbered: tuple[int, dict[str, str]], drops: Drops) -> Sample | None:
        line, row = numbered
        filename = row["filename"]
        name = f"line {line}, {filename}"
        reason = _unusable(row, counts)
        if reason:
            return drops.add(name, reason)
        paths = pictures.find(filename, row["dataset"])
        path_names = file_names(paths)
        if len(paths) > 1:
            return drops.add(name, "several files could be its image", path_names)
        if filename in disputed:
            return drops.add(name, "its image may be another row's", path_names)
        picture = files.read_picture(paths[0] if paths else None, name, drops)
        if picture is None:
            return None
        r, d = _score(row["Score R"]), _score(row["Score D"])
        return Sample(
            id=f"covid_severity/{filename}", source="covid_severity", question=QUESTION, kind="grade",
            answer=str(CONSENSUS[consensus](d if r is None else r, r if d is None else d)), choices=GRADES,
            images=(picture.data,), group=filename, split=split, size=picture.size,
            meta={"score_r": r, "score_d": d, "dataset": row["dataset"], "label": row["label"]},
        )  # fmt: skip

    return parallel_map(sample, [line for line in lines if line[1]["subset"] == split], drops or Drops())


def describe(
    source, *, consensus: str = "ceil_mean", table: str | None = None, normals: bool = False
) -> dict:
    """The facts for the data card: licence, URL, the consensus rule, how often the raters differ."""
    _, path, lines = _read_scores(source, consensus, table)
    counts, differences = collections.Counter(), []
    for _, row in lines:
        counts[row["subset"]] += 1
        scores = _score(row["Score R"]), _score(row["Score D"])
        if row["label"] != "Normal" and None not in scores:
            differences.append(abs(scores[0] - scores[1]))
    extra = sum(_is_extra(row) for _, row in lines)
    sets = f"VRFT-Aug's four sets: {len(lines) - extra:,} rows. "
    sets += f"The table's {extra:,} normal images, of two others, are "
    if normals:
        sets += "kept too (normals=true): most test rows are then of grade 0, which is not the paper's set."
    else:
        sets += "left out; normals=true keeps them. No row is then of grade 0."
    apart = sum(difference >= 2 for difference in differences)
    rows_of_both = f"{apart:,} of the {len(differences):,} COVID-19 rows that both scored"
    return {
        "source": "COVID-19 severity scoring (Danilov et al.)",
        "file": path.name,
        "table": files.content_hash(path),
        "licence": "table MIT; images under the licences of their six sources, some for research only",
        "url": "https://doi.org/10.17632/36fjrg9s69.1",
        "doi": "10.1038/s41598-022-15013-z",
        "consensus": consensus,
        "altered": count_differences(counts, OFFICIAL),
        "notes": [
            *(NOTES if normals else NOTES[:1]),
            sets,
            f"The raters differ by 2 or more on {rows_of_both}.",
        ],
    }


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    parser.add_argument("--consensus", help=f"{', '.join(CONSENSUS)} (default: ceil_mean)")
    parser.add_argument("--table", help="the table's path within the source, where several fit")
    told = "keep the 784 normal images, which VRFT-Aug's four sets do not have"
    parser.add_argument("--normals", action="store_true", help=told)


main = functools.partial(command.run, "covid_severity", add_options=add_options)


def _is_extra(row: dict[str, str]) -> bool:
    """Whether a row is a normal image of a set that VRFT-Aug does not name."""
    return row["label"] == "Normal" and row["dataset"] not in PAPERS


def _unusable(row: dict[str, str], names: collections.Counter) -> str | None:
    """Why the table itself rules a row out, None where it does not."""
    if row["Inaccurate labelling"].casefold() == "yes":
        return "its labelling is marked as inaccurate"
    if "yes" in (row["Poor quality R"].casefold(), row["Poor quality D"].casefold()):
        return "its quality is marked as poor"
    scores = row["Score R"], row["Score D"]
    if not any(scores):
        return "neither rater gave a score"
    if any(text and _score(text) is None for text in scores):
        return "a score is no whole number from 0 to 6"
    return "its filename is in several rows" if names[row["filename"]] > 1 else None


def _score(text: str) -> int | None:
    """0 to 6, None for anything else; spreadsheets write "3.0".

    >>> _score("3"), _score("3.0"), _score(""), _score("7"), _score("nan")
    (3, 3, None, None, None)
    """
    text = text.removesuffix(".0")
    return int(text) if text in GRADES else None


def _read_scores(source, consensus: str, table: str | None) -> tuple[Path, Path, list[tuple[int, dict]]]:
    """The folder, its table and the table's (line, row) pairs: every option known, every subset a split."""
    check_known("consensus of two raters", consensus, CONSENSUS)
    folder = files.source_folder(source, WHAT)
    path = tables.find_table(folder, (COLUMNS,), table, "The table of scores")
    lines = list(tables.read_table(path, COLUMNS))
    for line, row in lines:
        check_known(f"subset (line {line} of {path.absolute()})", row["subset"], SPLITS)
    return folder, path, lines


if __name__ == "__main__":
    sys.exit(main())
