#!/usr/bin/env bash
# 1 GiB to a web app and 1 GiB from one, WSGI and ASGI, over HTTP: every byte comes through, and neither the app nor the
# worker grows. The everyday tests move 64 MiB.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b
exec node_modules/.bin/vitest run --project e2e --reporter=verbose test/e2e/apps-large.test.ts "$@"
