#!/usr/bin/env bash
# A sweep whose jobs are Slurm jobs of one node each; run it on a login node, in tmux say, as it waits for the jobs.
# RECIPE, SCALE, ENGINE and SEEDS choose; further overrides go to the command (hydra.launcher.partition=gpu, say).
set -euo pipefail
cd "$(dirname "$0")/../.."
recipe=${RECIPE:-vrft_aug}
python=${PYTHON:-.venv/bin/python}
out=${OUT:-runs/slurm-$recipe}
"$python" -m medical_rl.main "conf=$recipe" conf/launcher=slurm "conf/scale=${SCALE:-paper}" "conf/engine=${ENGINE:-gpu_node}" \
  "conf.run_dir=$out" "conf.seed=${SEEDS:-1,2,3}" "$@" -m
[ -z "$(find "$out" -name manifest.json -print -quit 2>/dev/null)" ] || # a dry run leaves none
  "$python" -m medical_rl.evaluation collect "$out" --out "$out/collected"
