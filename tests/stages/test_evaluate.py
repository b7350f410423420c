"""The stage `evaluate` with an engine that answers at once: what is asked, in which order, what is asked again."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import compose
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.prepare import prepare
from medical_rl.engine.vllm import requests
from medical_rl.evaluation.results import read_results
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common import evaluate

SIZES = "{warm_start: 6, train: 12, val: 6, test: 30}"  # 15 grades, then 15 sides
FURTHER = f"{{choice: phantom_questions, prompt: yes_no, params: {{sizes: {SIZES}}}}}"


@pytest.fixture
def engine(monkeypatch):
    """Stands in for vLLM: RL answers right, any other model "0"; the gold option is e times likelier. Gives what was asked."""
    asked = []

    def started(command, check):
        for file in command[3:]:
            answer(command[2].rsplit(".", 1)[1], Path(file))

    def answer(module, file):
        request = json.loads(file.read_text())
        output = Path(request["output"])
        if output.exists():
            return
        asked.append((module, file.name.removesuffix(".request.json"), Path(request["rows"]).parent.name))
        lines = []
        for sample in read_samples(request["rows"]):
            said = sample.answer if "checkpoints/round_1/rl" in request["model"] else "0"
            line = {"id": sample.id, "response": f"<answer>{said}</answer>"}
            if module == "option_scores":
                options = sample.choices or ("yes", "no")
                line = {
                    "id": sample.id,
                    "options": options,
                    "scores": [float(o == sample.answer) for o in options],
                }
            lines.append(json.dumps(line) + "\n")
        output.write_text("".join(lines))

    monkeypatch.setattr(requests.subprocess, "run", started)
    return asked


@pytest.fixture
def stage(tmp_path, engine):
    """Runs the stage on a run folder of one round with overrides; gives (folder, results)."""

    def model(path):
        path.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "tokenizer_config.json", "model.safetensors"):
            (path / name).write_text(str(path))
        return path

    def go(*overrides):
        config = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/data=phantom_vqa",
                          f"conf.data.params.sizes={SIZES}", f"conf.run_dir={tmp_path}/run", *overrides])  # fmt: skip
        folder = RunFolder(tmp_path / "run")
        folder.create()
        if not folder.manifest_file.exists():
            data, prompt = (
                OmegaConf.to_container(config.conf[name], resolve=True) for name in ("data", "prompt")
            )
            prepare(data, prompt, folder.path / "data", seed=1, batch_size=4)
            write_json(folder.manifest_file, {"stages": {}})
            for name, relative in (
                ("round_1/rl", "round_1/rl"),
                ("round_1/warm_start", "round_1/warm_start"),
                ("prepare", "base"),
            ):
                model(folder.path / "checkpoints" / relative / "huggingface")
                outputs = {"model": folder.describe(f"checkpoints/{relative}/huggingface")}
                folder.update_stage(name, status="done", outputs=outputs, inputs={})
        evaluate.run(config, folder)
        return folder, read_results(folder.path)

    go.model = lambda name: model(tmp_path / name)
    return go


def test_each_test_set_is_asked_of_base_of_the_rounds_in_order_and_of_further_models(stage, engine):
    other = stage.model("other")
    folder, results = stage(f"conf.evaluation.data=[{FURTHER}]", f"conf.evaluation.models=[{other}]")
    models = [("base", None), ("warm_start", 1), ("rl", 1), (str(other), None)]
    found = [(row["dataset"], row["model"], row["round"]) for row in results["evaluations"]]
    assert found == [(data, *model) for data in ("phantom_vqa", "phantom_questions") for model in models]
    names = [name for _, name, rows in engine if rows == "data_phantom_questions"]
    assert names[:3] == ["base", "round_1.warm_start", "round_1.rl"] and names[3].startswith("model.")
    assert (folder.path / "predictions" / "phantom_questions" / "round_1.rl.jsonl").is_file()
    rl = results["evaluations"][2]
    assert rl["metrics"]["accuracy"] == 1.0 and rl["macro_accuracy"] == {
        "modality": 1.0,
        "question_type": 1.0,
    }
    assert set(rl["groups"]["modality"]) == {"bright", "dark", "speckled"}
    assert "f1" in results["evaluations"][6]["metrics"], "yes/no questions have theirs"
    asked = json.loads((folder.path / "predictions" / "phantom_questions" / "base.request.json").read_text())
    assert asked["prompt"]["name"] == "yes_no"


def test_what_is_answered_is_not_asked_again_and_a_changed_model_is(stage, engine):
    folder, _ = stage()
    first = list(engine)
    stage()
    assert engine == first and len(first) == 3
    (folder.path / "checkpoints" / "round_1" / "rl" / "huggingface" / "model.safetensors").write_text(
        "trained further"
    )
    stage()
    assert engine[3:] == [("generate", "round_1.rl", "data")]


def test_option_scores_give_auroc_its_method_is_noted_and_they_follow_the_responses(stage, engine):
    _, without = stage()
    assert not any("auroc" in row["metrics"] for row in without["evaluations"])
    folder, results = stage("conf.evaluation.option_scores=true")
    assert [module for module, *_ in engine] == ["generate"] * 3 + ["option_scores"] * 3
    assert all(row["metrics"]["auroc"] == 1.0 for row in results["evaluations"]), (
        "the right option is always likelier"
    )
    assert all(of["auroc"] == 1.0 for of in results["evaluations"][0]["groups"]["question_type"].values())
    assert [n for n in results["notes"] if "AUROC" in n] == [
        "AUROC on phantom_vqa: over all pairs of a row and an option, as the options vary."
    ]
    record = json.loads((folder.path / "predictions" / "base.jsonl").read_text().splitlines()[0])
    # one option e times likelier than each of the four others: e / (e + 4)
    assert record["option_scores"][record["gold"]] == pytest.approx(0.4046, abs=1e-4)
    # other responses are other texts before the options
    requests = folder.path / "predictions" / "base.responses.jsonl"
    requests.write_text(requests.read_text().replace("<answer>0", "<answer>1"))
    stage("conf.evaluation.option_scores=true")
    assert engine[6:] == [("option_scores", "base.option_scores", "data")]
