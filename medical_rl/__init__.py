"""medical_rl: reinforcement of medical vision-language models on verl.

Importing this package loads nothing heavy. What the modules at this level are for:

command line     main, cli (overrides), compose (Hydra), sweep (-m), explain (its errors), predict
before a run     checks, dry_run, disk, accelerator
a run            pipeline (stages in order), attend and processes (a stage's process), progress
                 run_folder, fingerprint (what makes a stage outdated), superseded, folders, slurm
what all speak   sample, answers (reads model output; per kind in reading/), boxes, frames, kinds, errors
training         training (what R_phi and preference alignment share); engine/ is all that imports verl, Ray and vLLM
"""

__version__ = "0.2.0"
