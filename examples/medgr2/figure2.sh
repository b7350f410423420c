#!/usr/bin/env bash
# Figure 2: accuracy over K for TopK, RandK and TopK + GRPO (K 1k to 8k), and unfiltered Rand11000: one R_phi, then a multirun.
# SCALE=tiny|paper, SOURCE (OmniMedVQA's folder), K and ALL (samples of the unfiltered control) choose.
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${SCALE:-paper}
if [ "$scale" = tiny ]; then K=${K:-100,200,400}; ALL=${ALL:-600}; else K=${K:-1000,2000,4000,8000}; ALL=${ALL:-11000}; fi
out=runs/medgr2-figure2
shared=(conf=medgr2 "conf/scale=$scale" conf.loop.rounds=1 conf.loop.seed_rows=${SEED_ROWS:-64} "$@")
[ "$scale" = tiny ] && shared+=(conf/engine=cpu)
[ -z "${SOURCE:-}" ] || shared+=("conf.data.source=$SOURCE")
# One R_phi for every arm.
.venv/bin/python -m medical_rl.main "${shared[@]}" conf.run_dir=$out/r_phi "conf.stages=[prepare,reward_model]"
r_phi=$PWD/$out/r_phi/checkpoints/reward_model/huggingface
[ ! -d "$r_phi" ] || shared+=("conf.reward_training.path=$r_phi") # a dry run leaves none
.venv/bin/python -m medical_rl.main "${shared[@]}" conf.run_dir=$out/top_k conf.loop.filter.by=top_k "conf.loop.filter.k=$K" -m
sft="conf.loop.steps=[generate,score,select,warm_start]"
.venv/bin/python -m medical_rl.main "${shared[@]}" conf.run_dir=$out/random_k conf.loop.filter.by=random_k "conf.loop.filter.k=$K" "$sft" -m
.venv/bin/python -m medical_rl.main "${shared[@]}" conf.run_dir=$out/unfiltered conf.loop.filter.by=random_k "conf.loop.filter.k=$ALL" "$sft"
[ -z "$(find "$out" -name manifest.json -print -quit 2>/dev/null)" ] || # a dry run leaves none
  .venv/bin/python -m medical_rl.evaluation scaling $out/top_k/*/ $out/random_k/*/ $out/unfiltered --out $out/figure2.png
