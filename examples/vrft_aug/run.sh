#!/usr/bin/env bash
# VRFT-Aug on one dataset. SCALE=tiny|paper, DATA, SOURCE and SHOTS choose; further overrides go to the command.
set -euo pipefail
cd "$(dirname "$0")/../.."
arguments=(conf=vrft_aug)
[ -z "${SCALE:-}" ] || arguments+=("conf/scale=$SCALE")
[ -z "${DATA:-}" ] || arguments+=("conf/data=$DATA" "conf.run_dir=runs/vrft_aug-$DATA${SHOTS:+-$SHOTS}")
[ -z "${SOURCE:-}" ] || arguments+=("conf.data.source=$SOURCE")
[ -z "${SHOTS:-}" ] || arguments+=("conf.data.shots=$SHOTS")
exec .venv/bin/python -m medical_rl.main "${arguments[@]}" "$@"
