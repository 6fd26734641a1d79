#!/usr/bin/env bash
# Tests on CuPy, then the benchmarks, each job in a process of its own that is stopped when it takes too long.
# Usage: bash benchmarks/gpu/run.sh [folder for the results]
# Afterwards: python -m benchmarks.gpu.page, which writes the results into docs/gpu.md.
#
# Needs an environment with CuPy, NumPy, SciPy, threadpoolctl, pytest and pytest-xdist. PyTorch is needed for the job
# "peers" and the traces of "launches", JAX with CUDA for "jax_peer".
#
#   DATA=FOLDER          real images for "gaussian" and "mnist": the four files of MNIST, as benchmarks/mnist.py has them
#   IMAGES=FILE.npz      CIFAR-10 for "images", as benchmarks/cifar.py has it
#   KEEP=FOLDER          rows of kernels for "images", from which it goes on
#   JOBS="planes tanh"   these jobs only; SKIP_TESTS=1 leaves out the tests
#   JOB_SECONDS, TESTS_SECONDS, ALL_SECONDS   after which a job, the tests and all together are stopped; "planes", which
#                        comes first, has twice as long as the others
#
# A job that is stopped has written the rows that it had finished.
set -uo pipefail
cd "$(dirname "$0")/../.."
results=${1:-benchmarks/results/gpu}
mkdir -p "$results"
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1 MPLBACKEND=Agg
python=${PYTHON:-python3}
options=(--keep "${KEEP:-build/cifar}")
[ -n "${DATA:-}" ] && options+=(--data "$DATA")
[ -n "${IMAGES:-}" ] && options+=(--images "$IMAGES")

# Seconds that one part may take: its own limit, or what is left of all.
limit() {
    local left=$((${ALL_SECONDS:-480} - SECONDS))
    echo $((left < $1 ? left : $1))
}

timeout 60 "$python" -m benchmarks.gpu.jobs machine --out "$results/machine.json"
if [ "${SKIP_TESTS:-0}" = 0 ]; then
    timeout "$(limit "${TESTS_SECONDS:-170}")" "$python" -m pytest -q -p no:benchmark -p no:cacheprovider --backend cupy \
        -n "${WORKERS:-8}" >"$results/tests.txt" 2>&1
    grep -E "^(FAILED|ERROR) |passed|failed" "$results/tests.txt" | tail -n 60
fi
jobs="planes gaussian no_bias biases tanh empirical products launches precision peers mnist jax_peer images"
for job in ${JOBS:-$jobs}; do
    longest=${JOB_SECONDS:-30}
    [ "$job" = planes ] && longest=$((2 * longest))
    seconds=$(limit "$longest")
    if [ "$seconds" -lt 5 ]; then
        echo "== $job: no time left"
        continue
    fi
    echo "== $job"
    timeout "$seconds" "$python" -m benchmarks.gpu.jobs "$job" --out "$results/$job.json" "${options[@]}" ||
        echo "$job ended with $?"
done
