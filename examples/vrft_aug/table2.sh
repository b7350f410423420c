#!/usr/bin/env bash
# Table 2: recitation rewarded (delta +0.2) and punished (-2), beside V-SFT + PA_P and V-RFT + PA_P, 256 shots, visual attributes throughout.
# SCALE, MEDMNIST, DATA as in table1.sh. V-RFT + PA_P is also in Table 1: METHODS="sft recite unrecite" ALSO=runs/vrft_aug/table1 takes it there.
. "$(dirname "$0")/shared.sh"
out=runs/vrft_aug/table2
common=(conf=vrft_aug conf/prompt=visual_attributes conf.data.shots=256)
for method in ${METHODS:-sft rft recite unrecite}; do
  case $method in
    sft) chosen=(conf.arm=sft) ;;
    rft) chosen=(conf.arm=rl conf/rewards=vrft_aug) ;;
    recite) chosen=(conf.arm=rl conf/rewards=vrft_recite) ;;
    unrecite) chosen=(conf.arm=rl conf/rewards=vrft_unrecite) ;;
    *) echo "METHODS has $method; known: sft rft recite unrecite" >&2; exit 2 ;;
  esac
  on_medmnist "$out/$method" "${common[@]}" "${chosen[@]}"
done
collected table2 $out
