#!/usr/bin/env bash
# The packet filter of network outbound is the same after 1,000 sandboxes. Needs root. The everyday test makes 20.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b packages/sandbox
exec node_modules/.bin/vitest run --project integration --reporter=verbose \
  packages/sandbox/test/integration/sock-outbound-life.root.test.ts -t "is the same after" "$@"
