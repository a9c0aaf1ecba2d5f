#!/usr/bin/env bash
# The registry's client and what workers do with it against versitygw, an S3 server that others wrote. Builds it once, which takes
# some minutes, needs Go and the Go module proxy.
set -euo pipefail
OL_TEST_VERSITYGW=$(scripts/versitygw.sh)
export OL_TEST_VERSITYGW
node_modules/.bin/tsc -b
exec node_modules/.bin/vitest run --project integration --reporter=verbose \
  packages/registry-client/test/integration packages/worker/test/integration/stores.test.ts "$@"
