#!/usr/bin/env bash
# Table 2: the six rows of the ablation as one multirun, on the same pseudo-labels. SCALE, DATA and SOURCE choose.
set -euo pipefail
. "$(dirname "$0")/_shared.sh"
out=runs/medfact_r1-table2/$data
label "$out/labels" "$@"
shared+=("conf.pseudo_label.path=$PWD/$out/labels/pseudo_label")
"$python" -m medical_rl.main "${shared[@]}" "conf.run_dir=$out/rows" conf/ablation=base,sft,grpo,accuracy_format,fact,full "$@" -m
collected "$out"
