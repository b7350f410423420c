"""Two FSDP ranks, LoRA, the reference model with KL, DAPO: each by its override, small but on the real engine."""

import json

import pytest

from medical_rl.run.progress import read_metrics

pytestmark = [pytest.mark.accept, pytest.mark.timeout(1800)]
SMALL = (
    "conf.data.params.sizes={warm_start: 256, train: 64, val: 16, test: 30}",
    "conf.warm_start.epochs=2",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
)
OPTIONS = {
    "ranks2": ("conf.engine.ranks=2",),
    "lora": ("conf.model.lora_rank=8",),
    "kl": ("actor_rollout_ref.actor.use_kl_loss=true", "actor_rollout_ref.actor.kl_loss_coef=0.04"),
    "dapo": ("conf/algorithm=dapo",),
    "rloo": ("conf/algorithm=rloo",),
    "dr_grpo": ("conf/algorithm=dr_grpo",),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_option_trains_and_evaluates(accept, name):
    folder = accept.train(f"option-{name}", *accept.two_steps, *SMALL, *OPTIONS[name])
    found = read_metrics(folder / "metrics.jsonl", "rl")
    assert {1, 2} <= set(found)
    for step in (1, 2):
        assert found[step]["training/rollout_actor_probs_pearson_corr"] > 0.999
    assert list(accept.results(folder)) == ["base", "warm_start", "rl"]
    if name == "kl":
        assert "actor/kl_loss" in found[2]
    if name == "ranks2":
        shards = sorted(
            p.name
            for p in (folder / "checkpoints" / "rl" / "global_step_2" / "actor").glob("model_world_size_*")
        )
        assert shards == ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"]
    if name == "lora":
        manifest = json.loads((folder / "manifest.json").read_text())["stages"]
        assert (
            manifest["rl"]["outputs"]["model"]["sha256"]
            != manifest["warm_start"]["outputs"]["model"]["sha256"]
        )
