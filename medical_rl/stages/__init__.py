"""The stages a recipe is made of; `conf.stages` names them in order.

A stage is a function `(config, run) -> {"outputs": {name: path below the run folder}, "notes": [...]}`,
run in a process of its own by `medical_rl.pipeline`. To add one: write `stages/<name>.py` and list it here.
"""

STAGES = {
    "prepare": "medical_rl.stages.prepare:run",
    "warm_start": "medical_rl.stages.warm_start:run",
    "rl": "medical_rl.stages.rl:run",
    "evaluate": "medical_rl.stages.evaluate:run",
}
# The outputs of these stages, where the recipe has them, decide what a stage gives.
NEEDS = {
    "prepare": (),
    "warm_start": ("prepare",),
    "rl": ("prepare", "warm_start"),
    "evaluate": ("prepare", "warm_start", "rl"),
}
TITLES = {
    "prepare": "data preparation",
    "warm_start": "supervised warm start",
    "rl": "GRPO",
    "evaluate": "greedy evaluation",
}
