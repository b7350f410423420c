#!/usr/bin/env bash
# One run on the GPUs of several nodes: sbatch --partition=gpu examples/slurm/multi_node.sh conf=vrft_aug conf/scale=paper ...
# Ray's head is started on the first node, a worker on each other one; the run attaches to them and ends them.
#SBATCH --job-name=medical_rl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@180
#SBATCH --open-mode=append
#SBATCH --output=medical_rl-%j.out
set -euo pipefail
[ $# -gt 0 ] || { echo "Give the recipe: sbatch examples/slurm/multi_node.sh conf=RECIPE conf/scale=paper [KEY=VALUE]" >&2; exit 2; }
cd "${SLURM_SUBMIT_DIR:?this script is for sbatch}"
bin=${VENV:-$PWD/.venv}/bin
cores=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}
gpus=${GPUS:-${SLURM_GPUS_ON_NODE:?ask for GPUs: --gpus-per-node=8}}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# A port and a folder of the job's own: other jobs, and other people's Ray, may be on these nodes.
port=$((20000 + SLURM_JOB_ID % 10000))
folder=/tmp/medical_rl-ray-$SLURM_JOB_ID
on=(srun --nodes=1 --ntasks=1 --overlap --cpus-per-task="$cores" --nodelist)
head=$("${on[@]}" "${nodes[0]}" hostname --ip-address | tr ' ' '\n' | grep -v '^127\.' | head -n 1 || true)
head=${head:-127.0.0.1}
export RAY_ADDRESS=$head:$port
# Who can reach the head may run code there, so it takes the job's own token only.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

# verl's actors hold three logical cores a GPU, and some more.
logical=$((gpus * 3 + 12 > cores ? gpus * 3 + 12 : cores))
ray=("$bin/ray" start --block --disable-usage-stats --num-cpus="$logical" --num-gpus="$gpus")
"${on[@]}" "${nodes[0]}" "${ray[@]}" --head --node-ip-address="$head" --port="$port" --temp-dir="$folder" --include-dashboard=false &
rays=($!)
for node in "${nodes[@]:1}"; do
  "${on[@]}" "$node" "${ray[@]}" --address="$RAY_ADDRESS" &
  rays+=($!)
done
end() {
  kill "${rays[@]}" 2>/dev/null || true
  wait "${rays[@]}" 2>/dev/null || true
  srun --overlap --nodes=${#nodes[@]} --ntasks-per-node=1 rm -rf "$folder" 2>/dev/null || true
}
trap end EXIT
joined() { "$bin/ray" status --address="$RAY_ADDRESS" 2>/dev/null | grep -c '^ 1 node_' || true; }
for _ in {1..60}; do [ "$(joined)" -ge ${#nodes[@]} ] && break; sleep 5; done
[ "$(joined)" -ge ${#nodes[@]} ] || { echo "Ray has $(joined) of ${#nodes[@]} nodes after five minutes." >&2; exit 1; }

"$bin/python" -m medical_rl.main "conf/engine=${ENGINE:-multi_node}" "trainer.nnodes=${#nodes[@]}" "conf.engine.ranks=$gpus" "$@" &
run=$!
# Three minutes before the time limit: the run ends in order, and the job queues itself again. The same run folder goes on.
trap 'kill -TERM $run; wait $run || true; end; scontrol requeue "$SLURM_JOB_ID"' USR1
wait $run
