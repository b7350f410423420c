"""A resumed GRPO takes the rows that an uninterrupted one takes, at an epoch's end as anywhere else."""

from types import SimpleNamespace

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


class Rows:
    def __len__(self):
        return 12

    def __getitem__(self, number):
        return number


def trainer():
    """verl's trainer as far as it fetches batches, over 12 rows: three batches of four an epoch."""
    from omegaconf import OmegaConf
    from torchdata.stateful_dataloader import StatefulDataLoader
    from verl.trainer.ppo.utils import create_rl_sampler

    sampler = create_rl_sampler(OmegaConf.create({"shuffle": True, "seed": 1, "sampler": None}), Rows())
    loader = StatefulDataLoader(
        Rows(), batch_size=4, drop_last=True, sampler=sampler, collate_fn=lambda rows: {"raw_prompt": rows}
    )
    return SimpleNamespace(train_dataloader=loader, train_dataloader_it=None)


def take(of, steps):
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

    return [PPOTrainerSync._fetch_one_gen_batch(of)["raw_prompt"] for _ in range(steps)]


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4, 6])
def test_the_rows_after_a_resume_are_those_of_a_whole_run(verl, monkeypatch, killed_after):
    from verl.trainer.ppo.v1 import trainer_base

    monkeypatch.setattr(trainer_base.tu, "get_tensordict", lambda batch: batch)
    whole = take(trainer(), 9)
    assert sorted(sum(whole[:3], [])) == list(range(12)), "an epoch has every row once"
    killed = trainer()
    before = take(killed, killed_after)
    resumed = trainer()
    resumed.train_dataloader.load_state_dict(killed.train_dataloader.state_dict())
    assert before + take(resumed, 9 - killed_after) == whole


@pytest.mark.parametrize("reached, planned, val_only", [(6, 6, False), (3, 6, True)])
def test_a_training_at_its_last_step_is_done(verl, monkeypatch, reached, planned, val_only):
    ended_at(monkeypatch, reached, planned, val_only)


def test_a_training_that_ended_early_is_not_done(verl, monkeypatch):
    from medical_rl.errors import StageFailed

    with pytest.raises(StageFailed, match="step 3 of 6: it is not done.*trainer.total_epochs=1 passes"):
        ended_at(monkeypatch, 3, 6)


def ended_at(monkeypatch, reached, planned, val_only=False):
    """The adapter's `fit` over one of verl's that returns after step `reached` without a word."""
    from omegaconf import OmegaConf
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

    from medical_rl.engine.verl.trainer import MedicalTrainer

    monkeypatch.setattr(PPOTrainerSync, "fit", lambda self, loops: setattr(self, "global_steps", reached + 1))
    one = MedicalTrainer.__new__(MedicalTrainer)
    one.total_training_steps, one.steps_per_epoch = planned, 3
    one.config = OmegaConf.create({"trainer": {"total_epochs": 1, "val_only": val_only}})
    one.fit(None)
