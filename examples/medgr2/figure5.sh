#!/usr/bin/env bash
# Figure 5: what became of the SFT model's right and wrong answers, by modality, from a finished run (RUN, default that of table1.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."
run=${RUN:-runs/medgr2-table1}
best=$(.venv/bin/python -c 'import json, sys; print(json.load(open(sys.argv[1] + "/loop.json"))["best_round"])' "$run")
exec .venv/bin/python -m medical_rl.evaluation transitions "$run" --from round_1/warm_start --to "round_$best/rl" --out "$run/figure5.png" "$@"
