"""The adapter to verl 0.9.1, Ray and vLLM: the only package that imports them.

plugin.py        imported by verl in every process: version check, CPU platform, patches
cpu_platform.py  what verl asks of a device, answered for a host with no accelerator
patches.py       corrections of verl and vLLM, one function each, with the reason and the version
environment.py   the variables a stage's process starts with
settings.py      the run's final verl configuration, out of the composed one
dataset.py       RL rows: image limits, exact token count, overlong report
reward_manager.py, agent_loop.py, replay_buffer.py, trainer.py, tracking.py, rollout_worker.py   verl's plug-in points
advantages.py    what the trainer changes around verl's advantage step: failed terms, dropped samples, GDPO
decoding.py      token ids to text by a table of bytes
judge_desk.py    the judges' desk as an actor of the cluster
verl_entry.py    the entry point that registers our reward manager in plain verl
runner.py, sft.py, generate.py   the three heavy jobs: GRPO, supervised fine-tuning, responses of a model
vllm_inputs.py   a model under vLLM and what it is given; option_scores.py  log-probabilities of options
responses.py     requests to such processes, and their lines, kept while a request stays the same; forks.py  one import for all of them
"""
