"""RL and SFT rows as verl reads them: limits in every image, exact token counts, a reported overlong filter."""

import json

import numpy as np
import pytest
from PIL import Image


def dataset(config, processor, path, **settings):
    from omegaconf import OmegaConf

    from medical_rl.engine.verl.dataset import MedicalDataset

    data = OmegaConf.merge(config.data, settings)
    return MedicalDataset(str(path), processor.tokenizer, data, processor)


def test_a_row_carries_its_image_its_limits_and_its_sample(verl, config, processor, prepared):
    row = dataset(config, processor, prepared / "train.parquet", min_pixels=3136, max_pixels=6272)[0]
    image = next(part for part in row["raw_prompt"][-1]["content"] if part["type"] == "image")
    assert (image["min_pixels"], image["max_pixels"]) == (3136, 6272)
    assert image["image"].size == (56, 56)
    assert json.loads(row["sample"])["kind"] == "grade"


def true_count(processor, verl, rows, path):
    """The prompt length verl's rollout builds: images decoded, resized twice and processed."""
    from qwen_vl_utils import process_vision_info

    text = processor.apply_chat_template(rows["raw_prompt"], add_generation_prompt=True, tokenize=False)
    images, _ = process_vision_info(rows["raw_prompt"], image_patch_size=processor.image_processor.patch_size)
    return len(processor(text=[text], images=images)["input_ids"][0])


@pytest.mark.parametrize("seed", range(6))
def test_the_token_count_from_headers_equals_the_processors(verl, config, model, prompt, tmp_path, seed):
    from verl.utils import hf_processor

    from medical_rl.data.parquet import write_split
    from medical_rl.images import encode_png
    from medical_rl.sample import Sample

    rng = np.random.default_rng(seed)
    processor = hf_processor(str(model))  # its own: the limits of a shared one would leak into other tests
    limits = sorted(int(v) for v in rng.integers(3136, 300_000, 2))
    processor.image_processor.size = {
        "shortest_edge": int(rng.integers(784, 4000)),
        "longest_edge": int(rng.integers(5000, 200_000)),
    }
    samples = [
        Sample(id=str(i), source="s", question="How many?" * int(rng.integers(1, 5)), kind="grade", answer="1", split="train",
               images=tuple(encode_png(rng.integers(0, 255, tuple(rng.integers(9, 400, 2)), dtype=np.uint8)) for _ in range(rng.integers(1, 3))))
        for i in range(5)
    ]  # fmt: skip
    path = tmp_path / "rows.parquet"
    write_split(iter(samples), path, prompt)
    rows = dataset(
        config, processor, path, min_pixels=limits[0], max_pixels=limits[1], filter_overlong_prompts=False
    )
    true = [true_count(processor, verl, rows[i], path) for i in range(len(rows))]
    assert [rows.token_count(row) for row in rows.dataframe] == true
    assert rows._token_counts(rows.dataframe) == true
    assert rows._token_counts(rows.dataframe.select([3, 0, 1])) == [true[3], true[0], true[1]]


def test_header_sizes_are_those_of_each_rows_own_images():
    import io

    import pyarrow as pa

    from medical_rl.engine.verl.tokens import header_sizes

    def image(height, width, format):
        Image.new("L", (width, height)).save(buffer := io.BytesIO(), format=format)
        return {"bytes": buffer.getvalue(), "path": None}

    rows = [[image(2, 3, "PNG")], [], [image(4, 5, "JPEG"), image(6, 7, "PNG")], None, [image(8, 9, "PNG")]]
    sizes = [[(2, 3)], [], [(4, 5), (6, 7)], [], [(8, 9)]]
    column = pa.chunked_array(
        [rows[:3], rows[3:]], pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    )
    assert list(header_sizes(column)) == sizes
    assert list(header_sizes(column[1:])) == sizes[1:]
    assert list(header_sizes(column[2:3])) == sizes[2:3]


@pytest.fixture
def mixed(prompt, tmp_path):
    """A parquet file of eight short rows and four with a long question."""
    from medical_rl.data.parquet import write_split
    from medical_rl.images import encode_png
    from medical_rl.sample import Sample

    image = encode_png(np.zeros((56, 56), dtype=np.uint8))
    questions = ["Grade?"] * 8 + ["Grade? " * 200] * 4
    samples = (
        Sample(id=str(i), source="s", question=q, kind="grade", answer="1", split="train", images=(image,))
        for i, q in enumerate(questions)
    )
    path = tmp_path / "train.parquet"
    write_split(samples, path, prompt)
    return path


def test_overlong_rows_are_left_out_and_listed_for_each_split(verl, config, processor, mixed, tmp_path):
    settings = {"overlong_report": str(tmp_path), "train_files": str(mixed), "train_batch_size": 8}
    assert len(dataset(config, processor, mixed, max_prompt_length=200, **settings)) == 8
    listed = json.loads((tmp_path / "overlong-train.json").read_text())
    assert [row["id"] for row in listed["removed"]] == ["8", "9", "10", "11"] and listed["limit"] == 200
    assert all(row["tokens"] > 200 for row in listed["removed"])
    assert len(dataset(config, processor, mixed, max_prompt_length=2000, **settings)) == 12
    assert not list(tmp_path.glob("overlong*")), "a list of an earlier setting does not stay"


def test_fewer_rows_left_than_a_batch_is_an_error_that_says_what_to_change(verl, config, processor, mixed):
    # verl would compute zero steps an epoch and divide by it
    with pytest.raises(
        ValueError, match="4 of 12 rows.*8 are left where 9 are needed.*data.max_prompt_length"
    ):
        dataset(
            config,
            processor,
            mixed,
            max_prompt_length=200,
            overlong_report=None,
            train_files=str(mixed),
            train_batch_size=9,
        )
    with pytest.raises(ValueError, match="0 are left where 1 are needed"):
        dataset(
            config, processor, mixed, max_prompt_length=2, overlong_report=None, train_files="other.parquet"
        )


def test_warm_start_rows_are_what_verls_sft_dataset_reads(
    verl, config, processor, prepared, prompt, tmp_path
):
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    from medical_rl.data.parquet import write_sft_rows

    path = tmp_path / "sft.parquet"
    assert (
        write_sft_rows(
            prepared / "warm_start.parquet", path, prompt, {"min_pixels": 3136, "max_pixels": 3136}
        )
        == 8
    )
    settings = OmegaConf.create({"pad_mode": "no_padding", "max_length": 400, "truncation": "error"})
    row = MultiTurnSFTDataset(str(path), processor.tokenizer, settings, processor)[0]
    learned = processor.tokenizer.decode(row["input_ids"][row["loss_mask"].bool()])
    assert learned.startswith("<think>the size of the disc</think> \\boxed{") and "<|im_end|>" in learned


def test_a_group_shares_image_work_and_gets_what_verl_computes(verl, processor, prepared):
    from types import SimpleNamespace

    import torch
    from verl.trainer.ppo.v1 import AgentLoopWorkerTQ

    from medical_rl.engine.verl.agent_loop import SharedImageWorker

    theirs = AgentLoopWorkerTQ.__ray_metadata__.modified_class
    ours = SharedImageWorker.__ray_metadata__.modified_class

    def worker(cls):
        made = object.__new__(cls)
        made.processor, made.tokenizer, made.mm_processor_kwargs = processor, processor.tokenizer, {}
        return made

    images = [Image.fromarray(np.full((56, 56), 90, dtype=np.uint8)).convert("RGB")]
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}],
        add_generation_prompt=True,
        tokenize=False,
    )
    prompt_ids = processor(text=[text], images=images, return_tensors="pt")["input_ids"][0]
    for answer in ("0", "<think>longer</think> 1"):
        ids = torch.cat([prompt_ids, torch.tensor(processor.tokenizer(answer)["input_ids"])])
        given = {"multi_modal_data": {"images": images}, "mm_processor_kwargs": {}, "extra_fields": {}}
        output = SimpleNamespace(**given)
        expected, found = (worker(cls)._compute_multi_modal_inputs(output, ids) for cls in (theirs, ours))
        assert set(found) == set(expected)
        for name in ("pixel_values", "image_grid_thw", "images_seqlens"):
            assert torch.equal(found[name], expected[name])
        ones = torch.ones_like(ids).unsqueeze(0)
        positions = [
            worker(theirs)._compute_position_ids(ids.unsqueeze(0), ones, dict(inputs))
            for inputs in (expected, found)
        ]
        assert torch.equal(*positions)
