#!/usr/bin/env bash
# 1,000,000 random steps of the lambda core against its model: calls, deployments, crashes, shortages, all in virtual time over
# the fake engine. The everyday test does a hundredth of it. OL_TEST_SEED repeats a run, or a round of one.
set -euo pipefail
export OL_TEST_SOAK=1
exec node_modules/.bin/vitest run --project unit --reporter=verbose packages/lambda/test/model "$@"
