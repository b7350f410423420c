"""The CLIP retriever on a tiny CLIP of random weights, built here: its ranks are those of plain cosines."""

import json

import numpy as np
import pytest

from medical_rl.errors import UserError
from medical_rl.images import encode_png
from medical_rl.pseudo_label.retrieval import clip as clip_index
from medical_rl.pseudo_label.retrieval import retrieve

pytest.importorskip("faiss", reason="faiss-cpu (the extra `retrieval`) is not installed")
WORDS = [
    "a",
    "the",
    "phantom",
    "disc",
    "band",
    "ring",
    "is",
    "seen",
    "no",
    "bright",
    "dark",
    "left",
    "right",
    "lung",
    "clear",
    "large",
    "small",
    "effusion",
]
LONGEST = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a CLIPModel with two small layers on either side and a vocabulary of a few words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        CLIPTextConfig,
        CLIPVisionConfig,
        PreTrainedTokenizerFast,
    )  # fmt: skip

    folder = tmp_path_factory.mktemp("clip")
    # An end token of number 2 would mean to transformers that the highest token ends a text, as in CLIP's first vocabulary.
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "<unk>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        model_max_length=LONGEST,
    )  # fmt: skip
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 24,
    }
    text = CLIPTextConfig(
        **size, vocab_size=len(vocabulary), max_position_embeddings=LONGEST, eos_token_id=vocabulary["</s>"],
        bos_token_id=vocabulary["<s>"], pad_token_id=vocabulary["<pad>"],
    )  # fmt: skip
    vision = CLIPVisionConfig(**size, image_size=32, patch_size=8)
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24)
    CLIPModel(config).save_pretrained(folder)
    shape = {"height": 32, "width": 32}
    CLIPProcessor(
        CLIPImageProcessor(size=shape, crop_size=shape, do_center_crop=False), fast
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def clip(chosen, model):
    return {**chosen("clip"), "model": str(model), "batch_size": 3, "device": "cpu"}


@pytest.fixture
def reports(report):
    rng = np.random.default_rng(0)
    return [report(f"r{i}", " ".join(rng.choice(WORDS, 6))) for i in range(10)]


@pytest.fixture
def picture():
    return lambda number: encode_png(
        np.random.default_rng(number).integers(0, 256, (40, 36, 3), dtype=np.uint8)
    )


def test_ranks_and_scores_are_those_of_plain_cosines(clip, model, reports, row, picture, tmp_path):
    import io

    import torch
    from PIL import Image
    from transformers import CLIPModel, CLIPProcessor

    rows = [row(str(i), images=(picture(i),)) for i in range(5)]
    found = clip_index.ClipIndex(clip, reports, tmp_path).rank(rows, 4)
    # By the model's own words: logits_per_image is the cosine times exp(logit_scale).
    plain, processor = CLIPModel.from_pretrained(model).eval(), CLIPProcessor.from_pretrained(model)
    pictures = [Image.open(io.BytesIO(s.images[0])).convert("RGB") for s in rows]
    inputs = processor(
        text=[r.text for r in reports],
        images=pictures,
        padding="max_length",
        max_length=LONGEST,
        return_tensors="pt",
    )
    with torch.inference_mode():
        cosines = (plain(**inputs).logits_per_image / plain.logit_scale.exp()).numpy()
    for hits, expected in zip(found, cosines, strict=True):
        order = np.argsort(-expected)[:4]
        assert [hit.id for hit in hits] == [reports[i].id for i in order]
        assert [hit.score for hit in hits] == pytest.approx(expected[order], abs=1e-5)
    # More than there are gives all there are; several images are asked with as their mean direction.
    assert len(clip_index.ClipIndex(clip, reports, tmp_path).rank(rows[:1], 99)[0]) == 10
    both = row("both", images=(rows[0].images[0], rows[1].images[0]))
    (hits,) = clip_index.ClipIndex(clip, reports, tmp_path).rank([both], 10)
    one, two = (
        {hit.id: hit.score for hit in ranked}
        for ranked in clip_index.ClipIndex(clip, reports, tmp_path).rank(rows[:2], 10)
    )
    # The mean of unit vectors has the mean of their cosines up to its own length, which is one for all reports.
    ratio = [hit.score / (one[hit.id] + two[hit.id]) for hit in hits]
    assert np.ptp(ratio) < 1e-3


def test_embeddings_are_made_once_for_a_model_and_a_corpus(
    clip, reports, report, row, picture, tmp_path, monkeypatch
):
    made, encode = [], clip_index.Encoder.texts
    monkeypatch.setattr(
        clip_index.Encoder, "texts", lambda self, texts: made.extend(texts) or encode(self, texts)
    )
    sample = row(images=(picture(0),))
    first = clip_index.ClipIndex(clip, reports, tmp_path).rank([sample], 3)
    (kept,) = (tmp_path / "embeddings").iterdir()
    assert len(made) == 10
    assert clip_index.ClipIndex(clip, reports, tmp_path).rank([sample], 3) == first and len(made) == 10
    # A file cut short is made again, another corpus has a file of its own.
    kept.write_bytes(kept.read_bytes()[:100])
    assert clip_index.ClipIndex(clip, reports, tmp_path).rank([sample], 3) == first and len(made) == 20
    clip_index.ClipIndex(clip, [*reports, report("new", "a ring")], tmp_path)
    assert len(made) == 31 and len(list((tmp_path / "embeddings").iterdir())) == 2


def test_an_image_asked_about_twice_is_encoded_once(clip, reports, row, picture, tmp_path, monkeypatch):
    seen, encode = [], clip_index.Encoder.images
    monkeypatch.setattr(
        clip_index.Encoder, "images", lambda self, images: seen.extend(images) or encode(self, images)
    )
    rows = [row(str(i), images=(picture(i // 3),)) for i in range(6)]
    counts = retrieve.retrieve(clip, rows, reports, 2, tmp_path)
    assert len(seen) == 2 and counts["rows"] == 6


def test_a_rows_own_report_is_kept_out_here_too(clip, reports, row, picture, tmp_path):
    sample = row(images=(picture(0),), group=reports[4].group, meta={"report": reports[7].text})
    retrieve.retrieve(clip, [sample], reports, 8, tmp_path)
    (hits,) = retrieve.read_retrieved(tmp_path / retrieve.FILE).values()
    assert {hit.id for hit in hits} == {r.id for r in reports} - {"r4", "r7"}


def test_a_text_longer_than_the_encoder_reads_is_cut(clip, report, row, picture, tmp_path):
    reports = [report("short", "disc"), report("long", "band " * 500)]
    (hits,) = clip_index.ClipIndex(clip, reports, tmp_path).rank([row(images=(picture(0),))], 2)
    assert {hit.id for hit in hits} == {"short", "long"}


def test_rows_without_an_image_and_wrong_models_are_told(clip, reports, row, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="Row 1 has no image.*bm25"):
        clip_index.ClipIndex(clip, reports, tmp_path).rank([row()], 1)
    with pytest.raises(UserError, match="nowhere cannot be loaded"):
        clip_index.ClipIndex({**clip, "model": str(tmp_path / "nowhere")}, reports, tmp_path)
    with pytest.raises(UserError, match="device=cuda: there is no such accelerator"):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        clip_index.ClipIndex({**clip, "device": "cuda"}, reports, tmp_path)


def test_a_model_of_texts_alone_is_refused_by_what_it_lacks(clip, model, reports, tmp_path):
    import shutil

    from transformers import CLIPModel

    text = CLIPModel.from_pretrained(model).text_model
    shutil.copytree(model, tmp_path / "text")
    text.save_pretrained(tmp_path / "text")
    kind = json.loads((tmp_path / "text" / "config.json").read_text())["model_type"]
    assert kind == "clip_text_model"
    with pytest.raises(UserError, match="has no get_text_features and no get_image_features"):
        clip_index.ClipIndex({**clip, "model": str(tmp_path / "text")}, reports, tmp_path)


def test_faiss_that_is_not_there_is_named(clip, reports, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match="pip install faiss-cpu"):
        clip_index.ClipIndex(clip, reports, tmp_path)
