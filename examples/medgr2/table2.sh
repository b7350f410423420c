#!/usr/bin/env bash
# Table 2, four arms on OmniMedVQA and MMMU: base, SFT on the raw answers, SFT on rewarded pairs, + GRPO. The second arm is a run of its
# own, the others are one run of the loop. SCALE=tiny|paper, SOURCE (OmniMedVQA's folder).
set -euo pipefail
cd "$(dirname "$0")/../.."
shared=(conf=medgr2 conf.evaluation.option_scores=true)
[ -z "${SCALE:-}" ] || shared+=("conf/scale=$SCALE")
[ -z "${SOURCE:-}" ] || shared+=("conf.data.source=$SOURCE")
[ "${SCALE:-paper}" = tiny ] || shared+=("conf.evaluation.data=[mmmu_medical]")
raw=(conf.run_dir=runs/medgr2-table2/raw "conf.stages=[prepare,warm_start,evaluate]" conf/rewards=accuracy_format
     conf.rewards.terms.format=false)
raw+=("conf.prompt.target='<think></think><answer>{{ letter or answer }}</answer>'")
.venv/bin/python -m medical_rl.main "${shared[@]}" "${raw[@]}" "$@"
.venv/bin/python -m medical_rl.main "${shared[@]}" conf.run_dir=runs/medgr2-table2/loop "$@"
[ ! -f runs/medgr2-table2/loop/manifest.json ] || # a dry run leaves none
  .venv/bin/python -m medical_rl.evaluation collect runs/medgr2-table2/raw runs/medgr2-table2/loop --out runs/medgr2-table2
