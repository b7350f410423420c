#!/usr/bin/env bash
# Figure 4: two transfer matrices. Each row is a model trained on ONE modality (or question type) and tested on all of them.
# SCALE=tiny|paper, SOURCE (OmniMedVQA's folder), BY=modality|question_type choose; VALUES are the rows, MODEL=rl|warm_start what is tested.
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${SCALE:-paper}
by=${BY:-modality}
if [ "$scale" = tiny ]; then
  [ "$by" = modality ] && VALUES=${VALUES:-bright,dark,speckled} || VALUES=${VALUES:-grading,side}
else
  [ "$by" = modality ] && default="CT(Computed Tomography),MR (Magnetic Resonance Imaging),X-Ray,ultrasound,Dermoscopy,Fundus Photography,OCT (Optical Coherence Tomography,Microscopy Images" \
    || default="Disease Diagnosis,Modality Recognition,Anatomy Identification,Lesion Grading,Other Biological Attributes"
  VALUES=${VALUES:-$default}
fi
out=runs/medgr2-figure4/$by
shared=(conf=medgr2 "conf/scale=$scale" "$@")
# The tiny scale draws one modality and asks one question by itself: here it has all of them.
[ "$scale" = tiny ] && shared+=(conf/engine=cpu conf.data.params.modalities=null conf.data.params.question_types=null)
[ -z "${SOURCE:-}" ] || shared+=("conf.data.source=$SOURCE")
IFS=, read -r -a values <<< "$VALUES"
for value in "${values[@]}"; do
  name=$(printf %s "$value" | tr -c 'A-Za-z0-9-' _)
  row=("conf.run_dir=$out/$name" "conf.data.train_where={$by: ['$value']}")
  # The template generator asks about what the row's model may learn.
  [ "$scale$by" = tinyquestion_type ] && row+=("conf.generator.question_types=['$value']")
  .venv/bin/python -m medical_rl.main "${shared[@]}" "${row[@]}"
done
[ -z "$(find "$out" -name manifest.json -print -quit 2>/dev/null)" ] || # a dry run leaves none
  .venv/bin/python -m medical_rl.evaluation transfer $out/*/ --by "$by" --model "${MODEL:-rl}" --out "$out.png"
