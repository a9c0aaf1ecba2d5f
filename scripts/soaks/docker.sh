#!/usr/bin/env bash
# The engine docker at full size: every case of the conformance suite on Docker and on Podman, what a worker answers over HTTP by
# every client, and the acceptance tests, in images of a root file system that mmdebstrap makes. Needs root, dockerd, podman, mmdebstrap and
# Debian's packages within reach. The everyday tests take a third of the cases, and this machine's own files.
set -euo pipefail
export OL_TEST_SOAK=1
# The images have nothing to install packages with.
# shellcheck source=scripts/lib/uv.sh
. scripts/lib/uv.sh
node_modules/.bin/tsc -b
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
node packages/admin/bin/ol-admin.js new --cluster="$made/cluster" --base=debootstrap:bookworm
export OL_TEST_DOCKER_BASE=$made/cluster/base
node_modules/.bin/vitest run --project integration --reporter=verbose packages/sandbox/test/integration/docker-*.root.test.ts "$@"
export OL_TEST_COMBINATION="docker off local"
node_modules/.bin/vitest run --project e2e --reporter=verbose test/e2e/{docker-*,combination}.root.test.ts "$@"
# The same where sandboxes of a lambda share a container.
export OL_TEST_DOCKER_SHARE=lambda
node_modules/.bin/vitest run --project e2e --reporter=verbose test/e2e/{docker-*,combination}.root.test.ts "$@"
