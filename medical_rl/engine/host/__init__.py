"""The host under the engine: its accelerator, what Slurm gave, environment variables, corrections of verl and vLLM."""
