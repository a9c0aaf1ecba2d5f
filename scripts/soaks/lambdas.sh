#!/usr/bin/env bash
# Ten minutes of fifty functions (0.1 ms to 2 s, 5 % failures of each kind) with memory for a third of them, called by
# sixteen clients: every call is answered and run once, and the worker does not grow. The everyday test takes six seconds.
# OL_TEST_LAMBDAS_SEC makes it shorter, OL_TEST_SEED repeats a run.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b
exec node_modules/.bin/vitest run --project e2e --reporter=verbose test/e2e/load-soak.test.ts "$@"
