#!/usr/bin/env bash
# Every example of the quickstart with real packages from the index, by the quickstart's command and then driven over HTTP, on
# each Python that is named (directories that have a python3; default: the one in PATH). The everyday tests leave out the lambdas
# with pandas beside two versions of numpy.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b
[ $# -gt 0 ] || set -- ""
for directory in "$@"; do
  PATH=${directory:+$directory:}$PATH
  echo "== $(python3 --version)"
  node_modules/.bin/vitest run --project e2e --reporter=verbose test/e2e/examples.test.ts test/e2e/pychat.test.ts
done
