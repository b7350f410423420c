"""The README's section "Your own data" as commands, and the table that it asks for, filled with phantoms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

from medical_rl.tiny import phantoms

ROOT = Path(__file__).resolve().parents[1]


def blocks() -> tuple[str, list[str]]:
    """(the table's first lines, the commands in order, each whole though it may go over several lines)."""
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own data\n")[1].split("\n## ")[0]
    )
    table = re.search(r"```csv\n(.*?)```", section, re.DOTALL)[1]
    code = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1]
    lines = re.sub(r"\\\n\s*", "", code).splitlines()
    return table, [line for line in lines if line.strip()]


def write_table(folder: Path, rows: int) -> None:
    """Write `scans/cases.csv` below `folder` with the README's columns: shapes drawn by code, three pictures a patient."""
    header, first = blocks()[0].split()
    image = Path(first.split(",")[0])
    (folder / "scans" / image.parent).mkdir(parents=True)
    lines = [header]
    drawn = phantoms.rows(None, "train", task="classification", sizes={"train": rows})
    for number, sample in enumerate(islice(drawn, rows), start=1):
        path = image.with_name(f"{number:0{len(image.stem)}}{image.suffix}")
        (folder / "scans" / path).write_bytes(sample.images[0])
        lines.append(f"{path},{sample.answer},P-{number // 3:03}")
    (folder / "scans/cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(command: str, folder: Path, timeout: float) -> subprocess.CompletedProcess:
    """The finished command, run by bash in `folder` as if that were the checkout, with this environment's Python."""
    if not (folder / "data_preprocess").exists():
        (folder / "data_preprocess").symlink_to(ROOT / "data_preprocess")
    script = f'set -eu\npython() {{ "{sys.executable}" "$@"; }}\n{command}\n'
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=timeout, env=environment
    )
