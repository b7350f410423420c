"""Every script of examples/ asks for jobs that a dry run at the paper's scale passes, on the real files there are."""

import csv
import importlib.util
import json
import re
from pathlib import Path

import pytest

from medical_rl.images import encode_png
from medical_rl.pipeline import dry_run

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(1800)

# What there is no real file of: jobs on these sets are left out, and a script that has no other is skipped.
ABSENT = {
    **dict.fromkeys(("octmnist", "dermamnist", "bloodmnist", "tissuemnist", "organamnist"), "no official file of it is here"),
    **dict.fromkeys(("heel", "heel_boxes"), "the heel X-rays may not be passed on"),
}  # fmt: skip
# What is not here to be found: MMMU's pictures, WordNet, the hub's models (all are the small one of the fixture `model`).
OFFLINE = ["conf.reward_training.model={model}", "conf.reward_training.synonyms=builtin"]
OFFLINE_CLIP = ["conf.retriever.model={model}"]
# {script: (arguments, what it is told by its environment)}; {...} are folders of the fixture `sources`, and the small model's
SCRIPTS = {
    "vrft_aug/run.sh": (["conf/engine=gpu_node"], {"SCALE": "paper", "DATA": "retinamnist", "SOURCE": "{medmnist}/retinamnist.npz", "SHOTS": "256"}),
    "vrft_aug/table1.sh": ([], {"MEDMNIST": "{medmnist}"}),
    "vrft_aug/table2.sh": ([], {"MEDMNIST": "{medmnist}"}),
    "vrft_aug/table3.sh": ([], {"MEDMNIST": "{medmnist}", "COVID": "{covid}"}),
    "vrft_aug/figure3.sh": ([], {"HAM10000": "{ham10000}", "HEEL": "/data/heel", "DATA": "ham10000"}),
    "vrft_aug/figure4.sh": ([], {"MEDMNIST": "{medmnist}"}),
    "medfact_r1/table1.sh": (OFFLINE_CLIP, {"SOURCE": "{iu_xray}"}),
    "medfact_r1/table2.sh": (OFFLINE_CLIP, {"SOURCE": "{iu_xray}"}),
    "medfact_r1/table3.sh": (OFFLINE_CLIP, {"SOURCE": "{iu_xray}"}),
    "medgr2/figure2.sh": (OFFLINE, {"SOURCE": "{omnimedvqa}"}),
    "medgr2/figure4.sh": (OFFLINE, {"SOURCE": "{omnimedvqa}", "VALUES": "Fundus Photography,X-Ray"}),
    "medgr2/figure5.sh": (None, "it draws a finished run, and trains nothing"),
    "medgr2/table1.sh": ([*OFFLINE, "conf.evaluation.models=[]"], {"SOURCE": "{omnimedvqa}"}),
    "medgr2/table2.sh": ([*OFFLINE, "conf.evaluation.data=[]"], {"SOURCE": "{omnimedvqa}"}),
    "slurm/sweep.sh": (["conf/data=retinamnist", "conf.data.source={medmnist}/retinamnist.npz"], {}),
    "slurm/multi_node.sh": (None, "it wants Slurm's nodes: tests/e2e/slurm; its job is the recipe that it is given"),
}  # fmt: skip


def test_no_script_is_forgotten():
    there = {str(path.relative_to(ROOT / "examples")) for path in (ROOT / "examples").glob("*/*.sh")}
    assert there - {"vrft_aug/shared.sh", "medfact_r1/_shared.sh"} == set(SCRIPTS)


def small_picture(number: int) -> bytes:
    import numpy as np

    return encode_png(np.random.default_rng(number).integers(0, 256, (56, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def sources(realdata, tmp_path_factory) -> dict[str, str]:
    """{set: folder}: the real files as they are; of real tables whose pictures are not here a small picture for each row."""
    home = tmp_path_factory.mktemp("sources")
    found = {"medmnist": str(realdata / "medmnist_official")}
    for name, build in (
        ("covid", covid),
        ("ham10000", ham10000),
        ("iu_xray", iu_xray),
        ("omnimedvqa", omnimedvqa),
    ):
        (home / name).mkdir()
        build(realdata, home / name)
        found[name] = str(home / name)
    return found


def covid(real: Path, folder: Path) -> None:
    table = real / "covid_severity" / "danilov_metadata.csv"
    (folder / "scores.csv").symlink_to(table)
    for number, row in enumerate(csv.DictReader(table.open())):
        (folder / row["dataset"]).mkdir(exist_ok=True)
        (folder / row["dataset"] / row["filename"]).write_bytes(small_picture(number))


def ham10000(real: Path, folder: Path) -> None:
    files = real / "ham10000_200x150"
    (folder / "HAM10000_metadata.csv").symlink_to(files / "HAM10000_metadata_subset_DERIVED.csv")
    (folder / "HAM10000_images_part_1").symlink_to(files / "images")
    (folder / "HAM10000_segmentations_lesion_tschandl").symlink_to(files / "masks")


def iu_xray(real: Path, folder: Path) -> None:
    for file in (
        "rule_iuxray_test.jsonl",
        "rule_retriever_iuxray_train.json",
        "rule_retriever_iuxray_val.json",
    ):
        (folder / file).symlink_to(real / "iu_xray" / file)
    lines = (folder / "rule_iuxray_test.jsonl").read_text().splitlines()
    for number, name in enumerate(sorted({json.loads(line)["image"] for line in lines})):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(small_picture(number))


def omnimedvqa(real: Path, folder: Path) -> None:
    """Med-R1's rows in OmniMedVQA's own form, which says their modality and type."""
    from medical_rl.data_preprocess.omnimedvqa import split_problem

    (folder / "QA_information" / "Open-access").mkdir(parents=True)
    for modality, name in (("Fundus Photography", "Fundus_train"), ("X-Ray", "XRay_test")):
        rows = []
        for number, row in enumerate(json.loads((real / "omnimedvqa" / f"{name}.json").read_text())[:500]):
            question, options = split_problem(row["problem"])
            entry = {
                "dataset": name, "question_id": f"{name}_{number}", "question": question, "modality_type": modality,
                "question_type": "Modality Recognition" if "modal" in question else "Disease Diagnosis",
                "gt_answer": options["ABCD".index(row["solution"].split()[1])], "image_path": row["image"],
            }  # fmt: skip
            rows.append(
                entry | {f"option_{letter}": option for letter, option in zip("ABCD", options, strict=False)}
            )
            path = folder / row["image"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(small_picture(len(row["image"]) * 1000 + number))
        (folder / "QA_information" / "Open-access" / f"{name}.json").write_text(json.dumps(rows))


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """A small Qwen2.5-VL with the real processor's classes, in the place of the 3B and the 7B one."""
    from medical_rl.tiny.model import build_tiny_model

    return str(build_tiny_model(["Is there a disc? yes no"], cache=tmp_path_factory.mktemp("model")))


_spec = importlib.util.spec_from_file_location("examples_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
jobs = _conftest.jobs


def covering(calls: list[list[str]]) -> list[list[str]]:
    """Of the jobs that a script's commands ask for so many that every value of every setting is in one of them."""
    chosen, seen = [], set()
    for call in calls:
        assert call[:2] == ["-m", "medical_rl.main"]
        for job in jobs(call[2:]):
            # the model's path is replaced, and what is drawn or how many changes nothing that is checked
            values = {
                one
                for one in job
                if not re.match(r"conf/model=|conf\.(run_dir|seed|data\.(shots|limit|test_per_class))=", one)
            }
            if any(f"conf/data={name}" in values for name in ABSENT):
                continue
            if values - seen:
                chosen.append(job)
                seen |= values
    return chosen


ASKED: set[tuple[str, str]] = set()


def once_a_recipe(problems):
    """The check `problems`, which starts a process of its own, for the first job of each recipe; none for the others."""

    def ask(config, *more):
        key = (problems.__name__, config.conf.recipe)
        if key in ASKED:
            return []
        ASKED.add(key)
        return problems(config, *more)

    return ask


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_kind_of_job_of_a_script_passes_its_dry_run(
    script, sources, model, recorded, dry_ran, monkeypatch
):
    arguments, told = SCRIPTS[script]
    if arguments is None:
        pytest.skip(f"{script}: {told}")
    environment = {"SCALE": "paper", **{name: value.format(**sources) for name, value in told.items()}}
    arguments = [argument.format(**sources, model=model) for argument in arguments]
    calls = [call for call in recorded(script, *arguments, **environment) if call[1] == "medical_rl.main"]
    assert calls
    monkeypatch.setattr(dry_run, "verl_problems", once_a_recipe(dry_run.verl_problems))
    monkeypatch.setattr(dry_run, "prompt_problems", once_a_recipe(dry_run.prompt_problems))
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "not-a-key")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    chosen = covering(calls)
    if not chosen:
        pytest.skip(f"there is no real file of the sets that it wants: {', '.join(ABSENT)}")
    for job in chosen:
        said = dry_ran([*job, f"conf.model.path={model}", "conf.data.num_proc=1"])
        assert "✗" not in said and "right by their own reward" in said, said
