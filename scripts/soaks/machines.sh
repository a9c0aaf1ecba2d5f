#!/usr/bin/env bash
# Two guests as two machines (scripts/vm/machines/main.mjs): registry and load balancer here, workers there, under load of calls that
# count; one machine dies and comes back, and the other is cut off for a while. Needs root, and what scripts/vm.sh needs.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "machines: only root can make the network in which guests are machines" >&2 && exit 1; }
[ -c /dev/net/tun ] || { echo "machines: there is no /dev/net/tun for the guests' network cards (modprobe tun)" >&2 && exit 1; }
node_modules/.bin/tsc -b
# Makes what guests start from, which needs a mirror of Debian's; from within the network below none can be reached.
scripts/vm.sh true
# Whatever is started in there ends with it.
exec unshare --net --pid --fork --kill-child --mount-proc scripts/vm/network.sh 2 node scripts/vm/machines/main.mjs
