#!/usr/bin/env bash
# Figure 3: zero-shot, V-SFT, V-RFT, V-SFT + PA_pi and V-RFT + PA_pi on HAM10000 and Heel, and (c) V-RFT + PA_pi by the number M of boxes.
# SCALE, HAM10000, HEEL, HEEL_BOXES (folders); M (of part c, not from the paper); DATA="ham10000 heel"; GPUS; further overrides.
. "$(dirname "$0")/shared.sh"
out=runs/vrft_aug/figure3
if [ "$scale" = tiny ]; then sets=phantom; M=${M:-200,2000}; else sets=${DATA:-ham10000 heel}; M=${M:-128,256,512,1024,2048}; fi
# by_boxes SET ARGUMENTS: the recipe that learns boxes, on a set's.
by_boxes() {
  local set=$1; shift
  # The paper's two GPUs: its four prompts an update cannot be divided among more than four.
  [ "$scale" = tiny ] || set -- "conf.engine.ranks=${GPUS:-2}" "$@"
  case $set in
    phantom) train conf=vrft_aug_localize "$@" ;;
    heel) train conf=vrft_aug_localize conf/data=heel "conf.data.source='$heel'" "conf.data.params.boxes='$heel_boxes'" "$@" ;;
    *) train conf=vrft_aug_localize "conf/data=$set" "conf.data.source='$ham10000'" "$@" ;;
  esac
}
by_classes() {
  local set=$1; shift
  case $set in
    phantom) train conf=vrft_aug "$@" ;;
    heel) train conf=vrft_aug conf/data=heel "conf.data.source='$heel'" "$@" ;;
    *) train conf=vrft_aug "conf/data=$set" "conf.data.source='$ham10000'" "$@" ;;
  esac
}
prompt=(conf/prompt=class_names)
[ "$scale" = tiny ] && prompt=()
for set in $sets; do
  by_classes "$set" ${prompt[@]+"${prompt[@]}"} conf.arm=sft,rl "conf.run_dir=$out/$set" -m
  by_boxes "$set" conf.localize.by=sft,rl "conf.run_dir=$out/$set" -m
  by_boxes "$set" conf.localize.by=rl "conf.data.limit=$M" "conf.run_dir=$out/$set-c" -m
done
collected figure3 $out
