"""What must stay light: importing the package, the help page, composing a configuration, scoring."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "ray", "vllm", "verl", "transformers")


def loaded(code: str) -> list[str]:
    """Heavy modules in sys.modules after `code` ran in a fresh interpreter."""
    report = f"{code}\nimport sys\nprint('LOADED', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return next(line for line in done.stdout.splitlines() if line.startswith("LOADED")).split()[1:]


@pytest.mark.parametrize(
    "code",
    [
        "import medical_rl",
        "import medical_rl.main, medical_rl.config.arguments",
        "from medical_rl.main import main; assert main(['--help']) == 0",
        "from medical_rl.main import main; assert main(['conf=vrft_aug', '--cfg', 'job']) == 0",
        "import medical_rl.rewards.mix, medical_rl.parsing.response, medical_rl.sample",
        "import medical_rl.data.prepare.prepare, medical_rl.data.prompts, medical_rl.evaluation.results",
        "import medical_rl.judges.judge, medical_rl.judges.judge, medical_rl.judges.requests.connection",
        "import medical_rl.reward_model.grading.probes, medical_rl.reward_model.policy_grades, medical_rl.reward_model.grading.distilled",
        "import medical_rl.loop.generate, medical_rl.loop.generate",
        "import medical_rl.pseudo_label.answering, medical_rl.pseudo_label.agreement, medical_rl.pseudo_label.rows",
        "import medical_rl.pseudo_label.retrieval.retrieve, medical_rl.pseudo_label.retrieval.bm25, medical_rl.pseudo_label.retrieval.clip",
        "import medical_rl.pipeline.run, medical_rl.pipeline.dry_run, medical_rl.pipeline.validate",
        "from medical_rl.data.prepare.readers import load_reader; load_reader('medmnist'); load_reader('phantoms'); load_reader('phantom_reports')",
    ],
)
def test_nothing_heavy_is_imported(code):
    assert loaded(code) == []


def test_the_probe_of_this_file_sees_a_heavy_import():
    assert loaded("import torch") == ["torch"]


def test_only_the_engine_package_imports_verl_ray_or_vllm(root):
    import re

    pattern = re.compile(r"^\s*(?:import|from) (?:verl|ray|vllm)\b", re.MULTILINE)
    offenders = [
        str(path.relative_to(root))
        for path in (root / "medical_rl").rglob("*.py")
        if "engine" not in path.relative_to(root / "medical_rl").parts and pattern.search(path.read_text())
    ]
    assert offenders == []
