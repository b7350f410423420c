#!/usr/bin/env bash
# Table 3: MFRS against plain accuracy as the reward, RetinaMNIST and COVID-19 severity.
# SCALE, MEDMNIST, COVID (the dataset's folder); further overrides, such as conf.seed=1,2,3.
. "$(dirname "$0")/shared.sh"
out=runs/vrft_aug/table3
# on FOLDER ARGUMENTS...: a multirun for each of the two sets, whose name is part of the folder.
on() {
  local folder="conf.run_dir=$1/\${conf.data.name}"; shift
  if [ "$scale" = tiny ]; then
    train conf=vrft_aug "$@" "$folder" conf/data=phantom_grading -m
  else
    train conf=vrft_aug "$@" "$folder" conf.data.shots=256 conf/data=retinamnist "conf.data.source='$medmnist/\${conf.data.name}.npz'" -m
    train conf=vrft_aug "$@" "$folder" conf.data.shots=256 conf/data=covid_severity "conf.data.source='$covid'" -m
  fi
}
on $out/sft conf.arm=sft conf/prompt=class_names
on $out/rft conf.arm=rl conf/prompt=class_names
on $out/rft_pa_p conf.arm=rl conf/prompt=visual_attributes conf.data.outcome=accuracy,mfrs
[ "$scale" = tiny ] || on $out/zero_shot conf/model=qwen2_5_vl_3b,qwen2_5_vl_7b conf/prompt=class_names "conf.stages=[prepare,evaluate]"
collected table3 $out
