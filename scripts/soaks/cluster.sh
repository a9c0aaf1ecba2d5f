#!/usr/bin/env bash
# What the balancer's policies are worth on real workers (docs/benchmarks.md): the default workload with three seeds, and where
# locality helps less; then what the load report costs. Needs the index and a quiet machine. Fails if a promise is not kept.
set -euo pipefail
node_modules/.bin/tsc -b
directory=$(mktemp -d)
output=$(mktemp)
trap 'rm -rf "$directory" "$output"' EXIT
bench() { node packages/bench/bin/ol-bench.js "$@" | grep -v '^{' | tee -a "$output"; }
bench cluster --directory="$directory" "$@"
bench cluster --directory="$directory" --sweep --policy=RoundRobin --policy=LARD "$@"
bench report
! grep -q '^aim: .*MISSED' "$output"
