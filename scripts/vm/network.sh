#!/usr/bin/env bash
# Runs a command in a network of its own, in which guests are machines (vm.sh --nic=tap0,10.77.0.11/24 and so on): a bridge that
# is this machine's side of it, at 10.77.0.1/24, and a tap device for each. It ends with the last process in it; only root can make it.
#
#   unshare --net scripts/vm/network.sh TAPS COMMAND [ARGUMENT...]
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
taps=$1
shift
# In a new one nothing is up, not even the loopback interface. The machine's own is not to be touched by mistake.
[ -z "$(ip -o link show up)" ] || { echo "network.sh: this is not a network of its own; run it by unshare --net" >&2 && exit 2; }
ip link set lo up
ip link add ol-bridge type bridge
ip address add 10.77.0.1/24 dev ol-bridge
for ((tap = 0; tap < taps; tap += 1)); do
  ip tuntap add "tap$tap" mode tap
  ip link set "tap$tap" master ol-bridge up
done
ip link set ol-bridge up
exec "$@"
