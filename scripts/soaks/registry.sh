#!/usr/bin/env bash
# The registry as its clients see it: 4,000 random requests signed by somebody else's code and 16,000 forged ones, whatever one may ask
# of it, 10,000 objects listed, every foreign client, and a cluster whose registry is killed 15 times under uploads and calls.
# `registry-store` has kills, faults and 1 GB in flat memory, `registry-power` the power cuts, `versitygw` somebody else's server.
# OL_TEST_SEED repeats a run.
set -euo pipefail
export OL_TEST_SOAK=1
scripts/lib/registry-clients.sh
node_modules/.bin/tsc -b
exec node_modules/.bin/vitest run --project unit --project integration --project e2e --reporter=verbose \
  packages/registry/test/unit/signatures.test.ts packages/registry/test/unit/chunked-bodies.test.ts \
  packages/registry/test/unit/listing.test.ts packages/registry/test/integration/anything.test.ts \
  packages/registry/test/integration/listing.test.ts packages/registry/test/integration/clients \
  test/e2e/registry-process.test.ts test/e2e/registry-cluster.test.ts "$@"
