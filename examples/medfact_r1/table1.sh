#!/usr/bin/env bash
# Table 1: the base model, retrieve-then-answer, the cold start and MEDFACT-R1 on one benchmark. SCALE, DATA and SOURCE choose.
set -euo pipefail
. "$(dirname "$0")/_shared.sh"
exec "$python" -m medical_rl.main "${shared[@]}" "conf.run_dir=runs/medfact_r1-table1/$data" "$@"
