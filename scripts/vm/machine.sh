#!/usr/bin/env bash
# One of several machines, as docs/deploy.md has it: a worker of a cluster on the guest's own disk, which registers with a balancer
# elsewhere and has its code from there. Runs until the guest is cut.
#
#   machine.sh CONFIGURATION    CONFIGURATION: of the worker, in JSON
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
cd /data

ol-admin() { node "$project/packages/admin/bin/ol-admin.js" "$@"; }

if [ ! -d cluster ]; then
  ol-admin new --cluster=cluster
  printf '%s\n' "$1" >cluster/config/worker-0.json
  sync
fi
# In the foreground: an emulated machine may take longer than ol-admin waits for one in the background.
ol-admin worker-exec --config=cluster/config/worker-0.json
