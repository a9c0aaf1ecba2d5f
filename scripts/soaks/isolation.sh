#!/usr/bin/env bash
# 1,000 leaves of one zygote draw different random values, and scratch directories with 100,000 files go; with the
# other tests of what a lambda may effect. The everyday tests do a tenth of it.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b packages/sandbox
exec node_modules/.bin/vitest run --project integration --reporter=verbose \
  packages/sandbox/test/integration/sock-security-effects "$@"
