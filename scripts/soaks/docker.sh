#!/usr/bin/env bash
# The engine docker at full size: every case of the conformance suite on Docker and on Podman, what a worker answers over HTTP by
# every client, and the acceptance tests. Needs root, dockerd and podman. The everyday tests take a third of the cases.
set -euo pipefail
export OL_TEST_SOAK=1
node_modules/.bin/tsc -b
node_modules/.bin/vitest run --project integration --reporter=verbose packages/sandbox/test/integration/docker-*.root.test.ts "$@"
export OL_TEST_COMBINATION="docker off local"
exec node_modules/.bin/vitest run --project e2e --reporter=verbose test/e2e/{docker-*,combination}.root.test.ts "$@"
