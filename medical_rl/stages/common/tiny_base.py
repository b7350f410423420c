"""The tiny base model of a run: a real Qwen2.5-VL whose tokenizer learned this task's texts."""

import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages, target
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.data.reports import read_reports
from medical_rl.run.folder import RunFolder

SAMPLES = 400  # of each split, whose texts the tokenizer learns


def build_tiny_base(
    config: DictConfig, folder: RunFolder, prompt: dict, further: Sequence[tuple[Path, dict]] = ()
) -> None:
    """Build the tiny model for the run's texts and copy it to checkpoints/base/huggingface.

    further  (rows, prompt) of sets that the warm start learns besides the run's own
    """
    from medical_rl.tiny.model import build_tiny_model

    data = folder.path / "data"
    texts = set()
    own = [(path, prompt) for path in _learned_files(data)]
    for path, rows_prompt in [*own, *further]:
        for sample in islice(read_samples(path), SAMPLES):
            texts.update(message["content"] for message in messages(sample, rows_prompt))
            texts.add(target(sample, rows_prompt))
    if (data / REPORTS).exists():
        for report in islice(read_reports(data / REPORTS, with_images=False), SAMPLES):
            texts.add(report.text)
    texts |= _graded_texts(config, data / "train.parquet", prompt)
    model = config.conf.model
    size = {"min_pixels": int(model.min_pixels), "max_pixels": int(model.max_pixels)}
    built = build_tiny_model(
        texts, seed=int(model.build.seed), vocab_size=int(model.build.vocab_size), size=size
    )
    goal = folder.path / "checkpoints" / "base" / "huggingface"
    shutil.rmtree(goal, ignore_errors=True)
    shutil.copytree(built, goal)


def _learned_files(data: Path) -> list[Path]:
    """The files of the splits that are trained on; all there are where nothing is.

    A tested row's text is looked at only then.
    """
    files = [data / f"{split}.parquet" for split in ("warm_start", "train")]
    present = [path for path in files if path.exists()]
    return present or sorted(path for path in data.glob("*.parquet") if path.name != REPORTS)


def _graded_texts(config: DictConfig, train: Path, prompt: dict) -> set[str]:
    """The texts that R_phi will read besides the rows' own, in synonyms.

    Spelt in letters they would be hard to tell apart.
    """
    settings = config.conf.get("reward_training")
    if not settings or not train.exists():
        return set()
    from medical_rl.reward_model.grading.grades import graded_rows
    from medical_rl.reward_model.grading.synonyms import load

    rows = list(islice(read_samples(train), SAMPLES))
    graded = graded_rows(rows, prompt, int(config.conf.seed), load(str(settings.synonyms)))
    return {row.text for row in graded}
