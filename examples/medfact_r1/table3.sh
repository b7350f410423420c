#!/usr/bin/env bash
# Table 3: whose labels the cold start learns (the untrained model's, calibrated retrieval's, the data's own) as one multirun. SCALE, DATA and
# SOURCE choose.
set -euo pipefail
. "$(dirname "$0")/_shared.sh"
out=runs/medfact_r1-table3/$data
label "$out/labels" "$@"
shared+=("conf.pseudo_label.path=$PWD/$out/labels/pseudo_label")
"$python" -m medical_rl.main "${shared[@]}" "conf.run_dir=$out/rows" conf/warm_start/source=base_vlm,rule,human "$@" -m
collected "$out"
