"""The overlong filter against verl's own on the same rows in the same run: equal counts, a ratio of times."""

import time

import numpy as np
import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
REPEATS = 3
# Thumbnails, OmniMedVQA's and IU-Xray's usual pictures, radiographs as they come. verl's cost grows with the picture, ours does not.
SIDES = {384: 400, 1024: 300, 2048: 60}  # pixels: rows
LIMITS = {384: 230, 1024: 4096, 2048: 4096}  # tokens; the first divides the rows, the others keep all


def written(folder, side):
    """A parquet file of different pictures of about side x side pixels."""
    from medical_rl.data.parquet import write_split
    from medical_rl.images import encode_png
    from medical_rl.sample import Sample

    rng = np.random.default_rng(0)
    prompt = {"name": "bare", "template": "{{ question }}", "system": None, "target": "{{ answer }}"}

    def samples():
        for i in range(SIDES[side]):
            picture = rng.integers(0, 255, (side + i % 64, side), dtype=np.uint8)
            facts = {
                "source": "s",
                "question": "What is it?",
                "kind": "grade",
                "answer": "1",
                "split": "train",
            }
            yield Sample(id=str(i), images=(encode_png(picture),), **facts)

    path = folder / f"rows-{side}.parquet"
    write_split(samples(), path, prompt)
    return path


def test_header_only_counts_against_verls_filter(tmp_path, root):
    lines, ratios = [], {}
    for side, rows in SIDES.items():
        ratio, ours_s, verl_s = measured(written(tmp_path, side), tmp_path, limit=LIMITS[side])
        ratios[side] = ratio
        lines.append(
            f"| {side} x {side} | {rows} | {1000 * verl_s / rows:.1f} | {1000 * ours_s / rows:.3f} | {ratio:.0f} |"
        )
    (root / "benchmarks" / "overlong_filter.md").write_text(
        f"# Overlong filter\n\nThe same rows kept by both, median of {REPEATS} runs in one process, in turn. verl 0.9.1 "
        "decodes and processes every image, medical_rl reads the header.\n\n"
        "| pixels | rows | verl, ms a row | medical_rl, ms a row | ratio |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n\n"
        "The target was 500. Written by `make bench`; read the ratio, not the seconds.\n"
    )
    assert ratios[1024] >= 500, ratios


def measured(rows, tmp_path, limit):
    """(ratio, our seconds, verl's seconds), the median of REPEATS runs in turn."""
    from omegaconf import OmegaConf
    from verl.utils import hf_processor
    from verl.utils.dataset.rl_dataset import RLHFDataset

    import medical_rl.engine.verl.plugin  # noqa: F401
    from medical_rl.engine.verl.dataset import MedicalDataset
    from medical_rl.tiny.model import build_tiny_model

    processor = hf_processor(
        str(build_tiny_model(["What is it?"], size={"max_pixels": 501760}, cache=tmp_path))
    )
    settings = OmegaConf.create(
        {
            "max_prompt_length": limit,
            "filter_overlong_prompts": True,
            "min_pixels": 3136,
            "max_pixels": 501760,
            "filter_overlong_prompts_workers": 1,
        }
    )

    def build(cls, filtering):
        config = OmegaConf.merge(
            settings, {"filter_overlong_prompts": filtering, "cache_dir": str(tmp_path / "cache")}
        )
        return cls(str(rows), processor.tokenizer, config, processor)

    ours, theirs, ratios = build(MedicalDataset, False), build(RLHFDataset, False), []
    for dataset in (ours, theirs):
        dataset.filter_overlong_prompts = True
    import datasets

    datasets.disable_caching()
    for _ in range(REPEATS):
        start = time.perf_counter()
        mine = ours.maybe_filter_out_long_prompts(ours.dataframe)
        middle = time.perf_counter()
        verls = theirs.maybe_filter_out_long_prompts(theirs.dataframe)
        ratios.append(
            ((time.perf_counter() - middle) / (middle - start), middle - start, time.perf_counter() - middle)
        )
        assert [r["extra_info"]["id"] for r in mine] == [r["extra_info"]["id"] for r in verls]
        assert 0 < len(mine) < len(ours.dataframe) or limit == 4096, "the limit must divide the rows"
    return sorted(ratios)[REPEATS // 2]
