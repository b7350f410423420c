"""A paper of one's own: the eight files that CONTRIBUTING.md walks through, written into a copy of the tree and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from medical_rl.images import encode_png

BLOCK = re.compile(r"^\d\. [^\n]*?`([\w./]+)`(.*?)```(\w+)\n(.*?)```", re.MULTILINE | re.DOTALL)
REGISTRIES = (
    "medical_rl/rewards/__init__.py",
    "medical_rl/data/prepare/readers.py",
    "medical_rl/stages/__init__.py",
)


def files(text: str) -> dict[str, tuple[str, str]]:
    """{path: (language, block)} of the walk-through."""
    return {
        path: (language, block) for path, _, language, block in BLOCK.findall(text.split("## House rules")[0])
    }


def with_added_lines(text: str, diff: str) -> str:
    """`text` after a diff of added lines: an import goes before the first, an entry after the context line above it."""
    context = ""
    for line in diff.splitlines():
        if not line.startswith("+"):
            context = line[1:]
        elif line.startswith("+from "):
            text = text.replace("\nfrom medical_rl", f"\n{line[1:]}\nfrom medical_rl", 1)
        else:
            assert text.count(f"\n{context}\n") == 1, context
            text = text.replace(f"\n{context}\n", f"\n{context}\n{line[1:]}\n")
    return text


@pytest.fixture(scope="module")
def tree(root, tmp_path_factory):
    """The copy with the eight files, and a folder of pictures for them."""
    copy = tmp_path_factory.mktemp("fourth") / "medical_rl"
    shutil.copytree(
        root,
        copy,
        symlinks=True,
        ignore=shutil.ignore_patterns(".venv", ".git", "runs", "benchmarks", "tests"),
    )
    for path, (language, block) in files((root / "CONTRIBUTING.md").read_text()).items():
        file = copy / path
        file.write_text(with_added_lines(file.read_text(), block) if language == "diff" else block)
    pictures = copy / "pictures"
    pictures.mkdir()
    for number in range(40):
        answer, grey = ("bright", 220) if number % 2 else ("dark", 20)
        (pictures / f"{answer}-{number:02}.png").write_bytes(encode_png(np.full((32, 32), grey, np.uint8)))
    return copy


def run(tree, *arguments: str, module: str = "medical_rl.main") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=tree, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(tree)},
    )  # fmt: skip


def test_a_paper_takes_eight_files_of_which_only_registries_are_others(root):
    written = files((root / "CONTRIBUTING.md").read_text())
    assert len(written) == 8
    assert [path for path in written if (root / path).exists()] == list(REGISTRIES)


@pytest.mark.parametrize("scale", ["tiny", "paper"])
def test_its_dry_run_passes_at_both_scales(tree, scale):
    model = "conf.model.path=null" if scale == "tiny" else "conf/model=tiny"
    stages = "conf.stages=[prepare,answer_lengths,rl,evaluate]"
    engine = f"conf/engine={'cpu' if scale == 'tiny' else 'gpu_single'}"
    done = run(
        tree, "conf=brevity", f"conf/scale={scale}", engine, model, "conf/data=dots", "conf.data.source=pictures", stages,
        "data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4", "conf.dry_run=true",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answer_lengths" in done.stdout and "train 28 rows" in done.stdout


def test_its_stage_runs_resumes_and_is_invalidated_by_its_own_setting_alone(tree):
    arguments = (
        "conf=brevity", "conf/scale=tiny", "conf/engine=cpu", "conf/data=dots", "conf.data.source=pictures",
        "conf.stages=[prepare,answer_lengths]",
    )  # fmt: skip
    done = run(tree, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tree / "runs/brevity/lengths.json").read_text()) == {"1": 28}
    assert "answer_lengths (lengths of the answers): done before, skipped" in run(tree, *arguments).stdout
    # a group that no stage reads invalidates nothing
    assert run(tree, *arguments, "+conf.unread.group=1").stdout.count("done before, skipped") == 2
    again = run(tree, *arguments, "conf.lengths.most=0").stdout
    assert "answer_lengths is invalid now" in again and "conf.lengths.most: 10 -> 0" in again
    assert again.count("done before, skipped") == 1


def test_its_reward_scores_offline_and_its_data_are_prepared_by_hand(tree):
    lines = tree / "completions.jsonl"
    sample = {
        "id": "1",
        "source": "dots",
        "question": "?",
        "kind": "label",
        "answer": "dark",
        "choices": ["bright", "dark"],
    }
    lines.write_text(
        json.dumps({**sample, "response": "<think>" + "word " * 41 + "</think><answer>dark</answer>"}) + "\n"
    )
    done = run(tree, "score", str(lines), "--out", "scored.jsonl", "conf/rewards=vrft_aug",
               "+conf.rewards.terms.brevity.weight=0.2", module="medical_rl.rewards")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tree / "scored.jsonl").read_text())["terms"]["brevity"] == 0
    done = run(tree, "--source", "pictures", "--out", "prepared", module="data_preprocess.dots")
    assert done.returncode == 0 and "train: 28 rows" in done.stdout, done.stdout + done.stderr
