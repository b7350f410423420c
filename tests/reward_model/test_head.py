"""The head: which token it reads, that padding and company change nothing, and the folder it is saved as."""

import json

import pytest

torch = pytest.importorskip("torch")

from medical_rl.errors import UserError  # noqa: E402
from medical_rl.reward_model.model import (  # noqa: E402
    HEAD,
    export,
    hidden_states,
    last_token,
    load_base,
    load_exported,
    read_facts,
    with_head,
)
from medical_rl.reward_model.score import Scorer  # noqa: E402
from medical_rl.training.encode import collate  # noqa: E402


@pytest.fixture(scope="module")
def scorer(exported):
    return Scorer(exported)


def pairs(rows):
    return [(row.sample, row.text) for row in rows]


def test_reading_shared_images_once_changes_nothing(encoder, rows, tiny):
    body = load_base(tiny).model
    batch = collate(
        [encoder.encode(r.sample, r.text) for r in rows[4:12]], encoder.padding, encoder.image_token
    )
    which, grids = batch["image_of"], batch["image_grid_thw"]
    parts = batch["pixel_values"].split(grids.prod(1).tolist())
    stock = {name: batch[name] for name in ("input_ids", "attention_mask", "mm_token_type_ids")}
    with torch.no_grad():
        ours = hidden_states(body, batch)
        theirs = body(
            **stock, pixel_values=torch.cat([parts[i] for i in which]), image_grid_thw=grids[which]
        )[0]
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_scores_do_not_depend_on_padding_or_company(scorer, rows):
    alone = [scorer.batch([pair])[0] for pair in pairs(rows[:12])]
    spread = torch.tensor(alone)[:, 0].std()
    assert spread > 0.05  # else the next lines would hold of a constant
    for side in ("right", "left"):
        together = scorer.batch(pairs(rows[:12]), side)
        assert torch.allclose(torch.tensor(alone), torch.tensor(together), atol=1e-4)


def test_it_is_the_last_real_token_that_is_read(scorer, rows):
    encoder, model = scorer.encoder, scorer.model
    batch = collate(
        [encoder.encode(*p) for p in pairs([rows[0], rows[8]])], encoder.padding, encoder.image_token
    )
    with torch.no_grad():
        hidden, found = hidden_states(model.model, batch), model(**batch)
    end = batch["attention_mask"].sum(1) - 1
    assert last_token(batch["attention_mask"]).tolist() == end.tolist()
    weight = model.language_model.score.weight
    assert torch.allclose(found[0], hidden[0, end[0]] @ weight.T, atol=1e-4)
    assert not torch.allclose(found[0], hidden[0, -1] @ weight.T, atol=1e-2), (
        "the padding's place gives another score"
    )


def test_images_and_text_both_move_the_score(scorer, rows):
    import dataclasses

    row = rows[0]
    other = dataclasses.replace(row.sample, images=rows[4].sample.images)
    found = [f[0] for f in scorer.batch([(row.sample, row.text), (other, row.text), (row.sample, "none")])]
    assert abs(found[0] - found[1]) > 1e-4 and abs(found[0] - found[2]) > 1e-3


def test_the_folder_is_vllms_layout(exported):
    from safetensors import safe_open

    config = json.loads((exported / "config.json").read_text())
    assert config["architectures"] == ["Qwen2_5_VLForSequenceClassification"]
    assert config["num_labels"] == config["text_config"]["num_labels"] == 3
    with safe_open(exported / "model.safetensors", "pt") as weights:
        assert HEAD == "language_model.score.weight" and weights.get_tensor(HEAD).shape == (3, 64)
        names = set(weights.keys())
    assert "lm_head.weight" not in names and f"{HEAD[:-6]}bias" not in names
    assert all(n.startswith(("model.language_model.", "model.visual.")) for n in names - {HEAD})
    card = (exported / "README.md").read_text()
    assert "Not for clinical use" in card and "phantom" in card and "use_activation" in card
    facts = read_facts(exported)
    assert facts["outputs"] == ["total", "factual", "format"] and facts["max_pixels"] == 112 * 112


def test_what_is_exported_scores_as_the_model_did(exported, encoder, rows, tmp_path):
    model = load_exported(exported)
    again = load_exported(export(model, encoder.processor, tmp_path / "again", read_facts(exported)))
    batch = collate([encoder.encode(*p) for p in pairs(rows[:4])], encoder.padding, encoder.image_token)
    with torch.no_grad():
        assert torch.equal(model(**batch), again(**batch))


def test_a_new_head_is_seeded(tiny):
    weights = [with_head(load_base(tiny), 1, seed).language_model.score.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_failed_export_leaves_the_earlier_folder(exported, encoder, tmp_path):
    model, facts, goal = load_exported(exported), read_facts(exported), tmp_path / "huggingface"
    export(model, encoder.processor, goal, facts)
    with pytest.raises(KeyError):
        export(model, encoder.processor, goal, {k: v for k, v in facts.items() if k != "outputs"})
    assert read_facts(goal) == facts and [p.name for p in tmp_path.iterdir()] == ["huggingface"]


def test_another_models_folder_is_no_reward_model(tiny):
    with pytest.raises(UserError, match="reward_model.json"):
        read_facts(tiny)
