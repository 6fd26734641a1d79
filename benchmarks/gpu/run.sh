#!/usr/bin/env bash
# Tests on CuPy, then the benchmarks, each job in a process of its own that is stopped when it takes too long.
# Usage: bash benchmarks/gpu/run.sh [folder for the results]
# Needs an environment with CuPy, NumPy, SciPy, pytest and pytest-xdist; PyTorch for the job "peers".
set -uo pipefail
cd "$(dirname "$0")/../.."
results=${1:-benchmarks/results/gpu}
mkdir -p "$results"
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1 MPLBACKEND=Agg
python=${PYTHON:-python3}

timeout 60 "$python" -m benchmarks.gpu.jobs machine --out "$results/machine.json"
if [ "${SKIP_TESTS:-0}" = 0 ]; then
    timeout "${TESTS_SECONDS:-240}" "$python" -m pytest -q -p no:benchmark -p no:cacheprovider --backend cupy -n "${WORKERS:-8}" \
        >"$results/tests.txt" 2>&1
    grep -E "^(FAILED|ERROR) |passed|failed" "$results/tests.txt" | tail -n 60
fi
for job in ${JOBS:-no_bias biases tanh empirical peers regression precision planes}; do
    echo "== $job"
    timeout "${JOB_SECONDS:-60}" "$python" -m benchmarks.gpu.jobs "$job" --out "$results/$job.json" || echo "$job ended with $?"
done
