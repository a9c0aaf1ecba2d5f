#!/usr/bin/env bash
# SIGKILL of worker, broker and zygote of a real cluster, 100 times each at random moments under load over HTTP; `ol-admin
# kill` and `ol-admin workers` clear up. As root and rootless. The everyday tests do a few rounds.
# OL_TEST_SEED repeats a run.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b
exec node_modules/.bin/vitest run --project e2e --reporter=verbose test/e2e/chaos.test.ts "$@"
