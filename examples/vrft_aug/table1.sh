#!/usr/bin/env bash
# Table 1: eight MedMNIST sets at 10, 20 and 256 shots: V-SFT, V-RFT (class names), V-RFT + PA_P (visual attributes), and zero-shot 3B and 7B.
# SCALE=paper|tiny, MEDMNIST (folder of the .npz files), DATA and SHOTS (fewer of them); further overrides, such as conf.dry_run=true.
. "$(dirname "$0")/shared.sh"
out=runs/vrft_aug/table1
shots=conf.data.shots=${SHOTS:-10,20,256}
on_medmnist $out/sft conf=vrft_aug conf.arm=sft conf/prompt=class_names "$shots"
on_medmnist $out/rft conf=vrft_aug conf.arm=rl conf/prompt=class_names "$shots"
on_medmnist $out/rft_pa_p conf=vrft_aug conf.arm=rl conf/prompt=visual_attributes "$shots"
[ "$scale" = tiny ] || on_medmnist $out/zero_shot conf=vrft_aug conf/model=qwen2_5_vl_3b,qwen2_5_vl_7b conf/prompt=class_names \
  "conf.stages=[prepare,evaluate]"
collected table1 $out
