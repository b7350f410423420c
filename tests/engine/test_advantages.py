"""GDPO's advantages through verl's own function, and the resize rule against the libraries'."""

import pytest
from hypothesis import given
from hypothesis import strategies as st


def results(**terms):
    return [dict(zip(terms, values, strict=True)) for values in zip(*terms.values(), strict=True)]


def test_gdpo_normalises_each_term_in_its_group_before_the_weighted_sum(verl):
    import torch

    from medical_rl.engine.verl.advantages import gdpo_advantages

    # One group of four. accuracy (1, 0, 1, 0): mean 1/2, sd 0.57735 -> (+.866, -.866, +.866, -.866).
    # format (10, 10, 0, 0): mean 5, sd 5.7735 -> (+.866, +.866, -.866, -.866): its size is gone.
    # weights 1 and 1/2: (1.299, -.433, .433, -1.299); whitening a sum of mean 0 divides by its sd 1.1180: one token each.
    found = gdpo_advantages(
        torch.ones(4, 1),
        ["a"] * 4,
        results(accuracy=[1, 0, 1, 0], format=[10, 10, 0, 0]),
        {"accuracy": 1.0, "format": 0.5},
    )
    assert found[:, 0].tolist() == pytest.approx([1.1619, -0.3873, 0.3873, -1.1619], abs=1e-3)


def test_under_gdpo_a_large_term_does_not_drown_a_small_one_as_under_grpo(verl):
    import torch

    from medical_rl.engine.verl.advantages import gdpo_advantages

    terms = results(learned=[10, 10, -6, -6], accuracy=[0, 1, 0, 1])
    found = gdpo_advantages(torch.ones(4, 3), ["a"] * 4, terms, {"learned": 1.0, "accuracy": 1.0})[:, 0]
    learned, accurate = float(found[0] - found[2]), float(found[1] - found[0])
    assert learned == pytest.approx(accurate, rel=1e-4), "both terms move the advantage alike"


def test_a_terms_constant_group_adds_nothing_and_padding_has_no_advantage(verl):
    import torch

    from medical_rl.engine.verl.advantages import gdpo_advantages

    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]])
    terms = results(accuracy=[1, 0, 1, 1], format=[1, 1, 1, 1])
    found = gdpo_advantages(mask, ["a", "a", "b", "b"], terms, {"accuracy": 1.0, "format": 1.0})
    assert found[mask == 0].abs().max() == 0
    assert found[0, 0] > found[2, 0] == found[3, 0] > found[1, 0]


@given(
    st.integers(28, 3000),
    st.integers(28, 3000),
    st.sampled_from([(3136, 501760), (3136, 12845056), (100352, 200704)]),
)
def test_our_resize_rule_is_the_processors(height, width, limits):
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    from medical_rl.boxes import resized

    if max(height, width) / min(height, width) > 200:
        return
    least, most = limits
    assert resized((height, width), least, most) == smart_resize(
        height, width, factor=28, min_pixels=least, max_pixels=most
    )
