#!/usr/bin/env bash
# What zygotes spare real workers (docs/benchmarks.md): the mixed workload with two seeds, starts with pandas, and installing
# numpy and pandas. Needs the index and a quiet machine. Fails if a promise is not kept.
set -euo pipefail
node_modules/.bin/tsc -b
directory=$(mktemp -d)
output=$(mktemp)
trap 'rm -rf "$directory" "$output"' EXIT
bench() { node packages/bench/bin/ol-bench.js "$@" | grep -v '^{' | tee -a "$output"; }
bench mixed --seed=1 --directory="$directory" "$@"
bench mixed --seed=2 --directory="$directory" "$@"
bench packages
bench install
! grep -q '^aim: .*MISSED' "$output"
