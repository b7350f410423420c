# What the three scripts share: sourced, not run. SCALE=tiny|paper, DATA=iu_xray|fairvlmed|mimic_cxr and SOURCE (the data's folder) choose.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=.venv/bin/python
data=${DATA:-iu_xray}
shared=(conf=medfact_r1)
if [ "${SCALE:-paper}" = tiny ]; then
  shared+=(conf/scale=tiny conf/engine=cpu)
  data=phantoms
else
  shared+=(conf/scale=paper "conf/data=$data")
fi
[ -z "${SOURCE:-}" ] || shared+=("conf.data.source=$SOURCE")
# label OUT: the pseudo-labels, once for all rows of a table.
label() {
  "$python" -m medical_rl.main "${shared[@]}" "conf.run_dir=$1" "conf.stages=[prepare,retrieve,calibrate,align,pseudo_label]" "${@:2}"
}
# collected OUT: the table of the rows in OUT; nothing after a dry run, which leaves none.
collected() {
  [ -z "$(find "$1/rows" -name manifest.json -print -quit)" ] || "$python" -m medical_rl.evaluation collect "$1/rows" --out "$1"
}
