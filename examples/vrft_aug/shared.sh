# Sourced by the scripts of this folder. SCALE=paper|tiny; PYTHON is the interpreter; what a script is given goes on to every command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scale=${SCALE:-paper}
python=${PYTHON:-.venv/bin/python}
arguments=("$@")
# Folders of the data: MedMNIST's .npz files, HAM10000, Heel (and its boxes, which do not come with it), COVID-19 severity.
medmnist=${MEDMNIST:-$HOME/.medmnist}
ham10000=${HAM10000:-/data/HAM10000}
heel=${HEEL:-/data/heel}
heel_boxes=${HEEL_BOXES:-/data/heel/boxes}
covid=${COVID:-/data/covid_severity}

train() { "$python" -m medical_rl.main "conf/scale=$scale" "$@" ${arguments[@]+"${arguments[@]}"}; }

# on_medmnist FOLDER ARGUMENTS...: a multirun for each group of the eight MedMNIST sets; what a set is tested on is the group's setting.
# The set's name is part of the folder: a multirun of one job has nothing else to tell it by. Tested whole: Breast 156, Pneumonia 624, Retina 400. 64 a class: OCT 256, Blood 512, Tissue 512, OrganA 704. 61 a class: Derma's 357.
on_medmnist() {
  local folder="conf.run_dir=$1/\${conf.data.name}"; shift
  if [ "$scale" = tiny ]; then
    train "$@" "$folder" "conf/data=${DATA:-phantom_grading,phantom_classification}" -m
    return
  fi
  local -a groups=("breastmnist,pneumoniamnist,retinamnist null" "octmnist,bloodmnist,tissuemnist,organamnist 64" "dermamnist 61")
  [ -z "${DATA:-}" ] || groups=("$DATA ${TEST_PER_CLASS:-null}")
  local group
  for group in "${groups[@]}"; do
    train "$@" "$folder" "conf/data=${group% *}" "conf.data.source='$medmnist/\${conf.data.name}.npz'" "conf.data.test_per_class=${group#* }" -m
  done
}

# True if a folder holds a run; a dry run leaves none.
ran() { [ -n "$(find "$1" -name manifest.json -print -quit 2>/dev/null)" ]; }

# The runs below a folder in the form of the paper's table; nothing after a dry run.
collected() {
  local table=$1 out=$2
  ! ran "$out" || "$python" -m medical_rl.evaluation collect "$out" ${ALSO:-} --paper "$table" --out "$out"
}
