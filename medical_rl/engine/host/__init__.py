"""The host under the engine: accelerator, Slurm's allocation, environment, patches of verl and vLLM."""
