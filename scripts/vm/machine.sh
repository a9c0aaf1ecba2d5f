#!/usr/bin/env bash
# One of several machines, as docs/deploy.md has it: a worker of a cluster on the guest's own disk, which registers with a balancer
# elsewhere and has its code from there. Runs until the guest is cut.
#
#   machine.sh TEMPLATE    TEMPLATE: what the workers' configuration has besides its defaults, in JSON
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
cd /data

ol-admin() { node "$project/packages/admin/bin/ol-admin.js" "$@"; }

if [ ! -d cluster ]; then
  ol-admin new --cluster=cluster
  ol-admin setconf --cluster=cluster "$1"
fi
# An emulated machine may be slower than ol-admin waits. The second time it has read everything once.
tries=1
until ol-admin workers --cluster=cluster; do
  tries=$((tries + 1))
  [ "$tries" -le 5 ]
done
sync
echo "WORKER READY"
exec tail -n 0 -F cluster/logs/worker-0.out
