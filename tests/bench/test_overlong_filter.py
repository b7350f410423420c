"""The overlong filter against verl's own on the same rows in the same run: equal counts, a ratio of times."""

import time

import numpy as np
import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
ROWS, SIDE, REPEATS = 200, 384, 3


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A parquet file of ROWS different pictures of about SIDE x SIDE pixels."""
    from medical_rl.data.images import encode_png
    from medical_rl.data.parquet import write_split
    from medical_rl.sample import Sample

    rng = np.random.default_rng(0)
    prompt = {"name": "bare", "template": "{{ question }}", "system": None, "target": "{{ answer }}"}

    def samples():
        for i in range(ROWS):
            picture = rng.integers(0, 255, (SIDE + i % 64, SIDE), dtype=np.uint8)
            yield Sample(
                id=str(i),
                source="s",
                question="What is it?",
                kind="grade",
                answer="1",
                split="train",
                images=(encode_png(picture),),
            )

    path = tmp_path_factory.mktemp("bench") / "rows.parquet"
    write_split(samples(), path, prompt)
    return path


def test_header_only_counts_against_verls_filter(rows, tmp_path, root):
    from omegaconf import OmegaConf
    from verl.utils import hf_processor
    from verl.utils.dataset.rl_dataset import RLHFDataset

    import medical_rl.engine.plugin  # noqa: F401
    from medical_rl.engine.dataset import MedicalDataset
    from medical_rl.tiny.model import build_tiny_model

    processor = hf_processor(str(build_tiny_model(["What is it?"], size={"max_pixels": 501760}, cache=tmp_path)))
    settings = OmegaConf.create(
        {
            "max_prompt_length": 230,
            "filter_overlong_prompts": True,
            "min_pixels": 3136,
            "max_pixels": 501760,
            "filter_overlong_prompts_workers": 1,
        }
    )

    def build(cls, filtering):
        config = OmegaConf.merge(settings, {"filter_overlong_prompts": filtering, "cache_dir": str(tmp_path / "cache")})
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
        ratios.append(((time.perf_counter() - middle) / (middle - start), middle - start, time.perf_counter() - middle))
        assert [r["extra_info"]["id"] for r in mine] == [r["extra_info"]["id"] for r in verls]
        assert 0 < len(mine) < ROWS, "the limit must divide the rows"
    ratio, ours_s, verl_s = sorted(ratios)[REPEATS // 2]
    (root / "benchmarks" / "overlong_filter.md").write_text(
        f"# Overlong filter\n\n{ROWS} rows of about {SIDE} x {SIDE} pixels, the same rows kept by both, median of {REPEATS} runs in one process, in turn.\n\n"
        "| filter | seconds | rows a second |\n|---|---|---|\n"
        f"| verl 0.9.1, decodes and processes every image | {verl_s:.2f} | {ROWS / verl_s:.0f} |\n"
        f"| medical_rl, image headers only | {ours_s:.4f} | {ROWS / ours_s:.0f} |\n\n"
        f"Ratio {ratio:.0f}; the target was 500. Written by `make bench`; read the ratio, not the seconds.\n"
    )
    assert ratio >= 500
