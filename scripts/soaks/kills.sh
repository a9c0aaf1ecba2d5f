#!/usr/bin/env bash
# SIGKILL of worker, broker and zygote, 100 times each at random moments under load, over 5,000 nested directories, mode-0
# directories and 100,000 files; as root and as an ordinary user (an ordinary user alone where root is not at hand).
# The everyday tests do a tenth of it. OL_TEST_SEED repeats a run.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b packages/sandbox
exec node_modules/.bin/vitest run --project integration --reporter=verbose \
  packages/sandbox/test/integration/sock-chaos-kill.test.ts "$@"
