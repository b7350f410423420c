"""Ask a trained model about images: `python -m medical_rl.predict --model RUN_OR_FOLDER
--image X.png --question "..."`.

The model is a run folder (its RL model, else its warm start, else its base), a stage's folder below it, or
any Qwen2.5-VL folder. Plain transformers, no engine. Not for clinical use.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.images import decode
from medical_rl.parsing.response import parse


def find_model(path: Path) -> Path:
    """The model folder meant by a run folder, a checkpoint folder or a model folder.

    Raises UserError with what was tried.
    """
    from medical_rl.stages import STAGES, supervised_arms, that_train

    stages = that_train("reinforced") + supervised_arms(STAGES) + ["warm_start", "base"]
    folders = [path, path / "huggingface"]
    folders += [path / "checkpoints" / stage / "huggingface" for stage in stages]
    for folder in folders:
        if (folder / "config.json").is_file():
            return folder
    raise UserError(
        f"No model in {path}. Tried: {', '.join(map(str, folders))} (a model folder has a config.json)."
    )


def run_of(model: Path) -> Path | None:
    """The run folder that `model` is part of, None for a model outside a run."""
    for folder in model.resolve().parents:
        if (folder / "config.yaml").is_file() and (folder / "manifest.json").is_file():
            return folder
    return None


def prompt_of_run(run: Path | None, question: str, images: list[bytes]) -> tuple[list[dict], dict]:
    """The question as the model's run asked its own: (messages with `<image>`, image limits in pixels).

    Classes and knowledge are the dataset's, the same in each of its rows. Outside a run the question stands
    as it is after its images, and there are no limits.
    """
    bare = [{"role": "user", "content": "<image>" * len(images) + question}]
    if run is None:
        return bare, {}
    from omegaconf import OmegaConf

    from medical_rl.data.parquet import read_samples
    from medical_rl.data.prompts import messages

    conf = OmegaConf.load(run / "config.yaml").conf
    limits = {"min_pixels": int(conf.model.min_pixels), "max_pixels": int(conf.model.max_pixels)}
    rows = run / "data" / "train.parquet"
    if not rows.exists():
        return bare, limits
    like = dataclasses.replace(next(iter(read_samples(rows))), question=question, images=tuple(images))
    return messages(like, OmegaConf.to_container(conf.prompt)), limits


def answer(
    model: Path, images: list[bytes], turns: list[dict], limits: dict, max_new_tokens: int = 512
) -> str:
    """The model's greedy response to `turns` (content with `<image>`) about `images`.

    limits  {"min_pixels", "max_pixels"} to which the images are resized; {} for the model's own
    """
    import torch
    from qwen_vl_utils.vision_process import fetch_image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from medical_rl.engine.verl.tokens import with_placeholders

    processor = AutoProcessor.from_pretrained(model)
    network = AutoModelForImageTextToText.from_pretrained(
        model, dtype="auto", device_map="auto" if torch.cuda.is_available() else None
    )
    patch = processor.image_processor.patch_size
    pictures = [fetch_image({"image": decode(b), **limits}, image_patch_size=patch) for b in images]
    turns = [{"role": turn["role"], "content": with_placeholders(turn["content"])} for turn in turns]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=pictures or None, return_tensors="pt").to(network.device)
    with torch.no_grad():
        tokens = network.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]


def main(argv: list[str] | None = None) -> int:
    """Print the response and the answer read from it; return 0, or 2 on unusable input."""
    parser = argparse.ArgumentParser(
        prog="python -m medical_rl.predict", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add("--model", required=True, type=Path, help="run folder, checkpoint folder or model folder")
    add("--image", required=True, type=Path, action="append", help="PNG or JPEG; repeat for several")
    question_help = "the question; it is put into the prompt template of the model's run"
    add("--question", required=True, help=question_help)
    add("--as-is", action="store_true", help="ask the question as it stands, without a template")
    add("--max-new-tokens", type=int, default=512)
    options = parser.parse_args(argv)
    try:
        for image in options.image:
            if not image.is_file():
                raise UserError(f"The image {image} does not exist.")
        images = [image.read_bytes() for image in options.image]
        model = find_model(options.model)
        turns, limits = prompt_of_run(None if options.as_is else run_of(model), options.question, images)
        response = answer(model, images, turns, limits, options.max_new_tokens)
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    text = parse(response).answer
    print(response)
    print(f"\nanswer: {text if text is not None else '(none could be read)'}\nNot for clinical use.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
