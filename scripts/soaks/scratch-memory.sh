#!/usr/bin/env bash
# The whole conformance suite of engines with scratch in memory; the everyday tests run it with directories.
set -euo pipefail
export OL_TEST_SCRATCH=memory
node_modules/.bin/tsc -b packages/sandbox
exec node_modules/.bin/vitest run --project integration --reporter=verbose \
  packages/sandbox/test/integration/sock-conformance.test.ts "$@"
