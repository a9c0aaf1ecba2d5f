#!/usr/bin/env bash
# How far the simulator is from a real worker (docs/simulator.md). Needs the index and a quiet machine. Fails if they differ by more
# than 15 % in a figure.
set -euo pipefail
node_modules/.bin/tsc -b
node packages/bench/bin/ol-bench.js validate "$@" | grep -v '^{'
