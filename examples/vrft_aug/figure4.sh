#!/usr/bin/env bash
# Figure 4: BloodMNIST by training step without a recitation reward, with recitation rewarded (+0.2) and with it punished (-2).
# SCALE, MEDMNIST; further overrides.
. "$(dirname "$0")/shared.sh"
out=runs/vrft_aug/figure4
rewards=conf/rewards=vrft_aug,vrft_recite,vrft_unrecite
if [ "$scale" = tiny ]; then
  train conf=vrft_aug conf/prompt=visual_attributes $rewards conf.run_dir=$out -m
else
  train conf=vrft_aug conf/prompt=visual_attributes $rewards conf/data=bloodmnist conf.data.shots=256 conf.data.test_per_class=64 \
    "conf.data.source='$medmnist/bloodmnist.npz'" conf.run_dir=$out -m
fi
! ran $out || "$python" -m medical_rl.evaluation curve $out --out $out/figure4.png
