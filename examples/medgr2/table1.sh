#!/usr/bin/env bash
# Table 1: the whole loop on OmniMedVQA, tested by modality, beside zero-shot models. SCALE=tiny|paper, SOURCE (OmniMedVQA's folder).
set -euo pipefail
cd "$(dirname "$0")/../.."
arguments=(conf=medgr2 conf.run_dir=runs/medgr2-table1)
[ -z "${SCALE:-}" ] || arguments+=("conf/scale=$SCALE")
[ -z "${SOURCE:-}" ] || arguments+=("conf.data.source=$SOURCE")
[ "${SCALE:-paper}" = tiny ] || arguments+=("conf.evaluation.models=[Qwen/Qwen2.5-VL-7B-Instruct,Qwen/Qwen2-VL-7B-Instruct]")
exec .venv/bin/python -m medical_rl.main "${arguments[@]}" "$@"
