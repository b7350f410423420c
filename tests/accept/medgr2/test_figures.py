"""Figure 2's multirun, the two transfer matrices and the error transitions: one command each, at the tiny scale."""

import os
import subprocess

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(7200)]
# Fewer rows and steps than the demo: what is proved is that the commands end in their pictures.
SMALL = (
    "conf.data.params.sizes={train: 500, val: 20, test: 60}",
    "conf.reward_training.rows=200",
    "conf.reward_training.sft.steps=20",
    "conf.reward_training.fit.steps=40",
    "conf.reward_training.held_out=20",
    "conf.generator.images=120",
    # such a policy writes few answers; R_phi is to be asked all the same
    "conf.rewards.terms.learned.no_answer=asked",
    # until the form is learned: fewer leave every figure at 0
    "conf.warm_start.epochs=24",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "trainer.total_training_steps=2",
    "trainer.save_freq=1",
    "trainer.test_freq=2",
)


def script(accept, name, *arguments, **environment):
    done = subprocess.run(
        [str(accept.root / "examples" / "medgr2" / name), *arguments],
        cwd=accept.root, env=os.environ | {"SCALE": "tiny"} | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=7000,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def is_picture(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 5000


def test_figure_2_by_one_command(accept):
    script(accept, "figure2.sh", *SMALL, K="30,60", ALL="100")
    assert is_picture(accept.root / "runs" / "medgr2-figure2" / "figure2.png")


@pytest.mark.parametrize("by", ["modality", "question_type"])
def test_figure_4_by_one_command(accept, by):
    one_round = ("conf.loop.rounds=1", "conf.loop.steps=[generate,score,select,warm_start]")
    # three ways of drawing and two questions share the rows; the best 60 are kept, however well so small an R_phi tells them apart
    rows = ("conf.data.params.sizes={train: 1200, val: 40, test: 120}", "conf.loop.filter={by: top_k, k: 60}")
    script(accept, "figure4.sh", *SMALL, *one_round, *rows, BY=by, MODEL="warm_start")
    assert is_picture(accept.root / "runs" / "medgr2-figure4" / f"{by}.png")


def test_figure_5_by_one_command(accept):
    run = accept.root / "runs" / "medgr2"  # what `make demo` leaves
    if not (run / "results.json").exists():
        pytest.skip("figure 5 is of a finished run: `make demo` first")
    script(accept, "figure5.sh", RUN=str(run))
    assert is_picture(run / "figure5.png")
