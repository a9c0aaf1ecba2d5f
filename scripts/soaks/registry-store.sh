#!/usr/bin/env bash
# 50 kills of a registry's store under three writers, 3,000 random histories against a map, every single system call of a
# history failing once, and 1 GB in flat memory. The everyday tests do a part of it. OL_TEST_SEED repeats a run.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b packages/registry
exec node_modules/.bin/vitest run --project unit --project integration --reporter=verbose \
  packages/registry/test/model/store.test.ts packages/registry/test/integration/kill.test.ts \
  packages/registry/test/integration/faults.test.ts packages/registry/test/integration/large.test.ts "$@"
