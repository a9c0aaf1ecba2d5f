#!/usr/bin/env bash
# 100,000 sandboxes made, called and destroyed, and 1,000 alive at once that are paused and woken, both by sixteen
# clients: nothing may be used up. The everyday tests do a tenth of it, or less. OL_TEST_SEED repeats a run.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b packages/sandbox
exec node_modules/.bin/vitest run --project integration --reporter=verbose \
  packages/sandbox/test/integration/sock-chaos-flat.test.ts "$@"
