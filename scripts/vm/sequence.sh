#!/usr/bin/env bash
# The commands that users of OpenLambda know, one after the other, on a machine as it is: a cluster, a call, its limits,
# its end. Then nothing of it may be left. Needs the built project; runs as anybody.
#
#   sequence.sh [EXPECTED]    EXPECTED: what must enforce the memory limit, such as cgroup-v2
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
expected=${1:-}
# shellcheck source=scripts/vm/sequence-kit.sh
. "$project/scripts/vm/sequence-kit.sh"

# What a cluster may leave nowhere: groups, processes, mounts.
leftovers() {
  find /sys/fs/cgroup -type d -name "ol-$1*" ! -name '*.scope' ! -name '*-host' 2>/dev/null
  pgrep -af "$work" | grep -v "$0" || true
  grep -F "$work" /proc/mounts || true
}

# spin NAME PERCENT: a lambda that wants a whole CPU and may have so much of it; how much it got, in per cent.
spin() {
  local directory=my-cluster/registry/$1
  mkdir "$directory"
  printf 'limits:\n  cpu_percent: %s\n' "$2" >"$directory/ol.yaml"
  cat >"$directory/f.py" <<'PYTHON'
import time


def f(event):
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < 3:
        pass
    return round(100 * (time.process_time() - used) / (time.monotonic() - began))
PYTHON
  curl -sS --max-time 120 -X POST "localhost:8080/runLambda/$1" -d '{}' || fail "curl $1"
}

# What the kernel says to have stopped: the cluster's frozen groups, or sandboxes' processes.
stopped() {
  case "$(enforced pause)" in
    cgroup-v2) find /sys/fs/cgroup -path "*/ol-$id*" -name cgroup.events -exec grep -l 'frozen 1' {} + 2>/dev/null ;;
    *) ps -eo stat=,args= | grep '^T.*ol_guest' ;;
  esac || true
}

say doctor
report=$(ol-admin doctor --json 2>/dev/null) || { echo "$report" && fail "doctor found something"; }
enforced() { node -p 'JSON.parse(process.argv[1]).enforcement[process.argv[2]]' "$report" "$1"; }
memory=$(enforced memory)
node -e 'console.log(JSON.stringify(JSON.parse(process.argv[1]).enforcement, null, 1))' "$report"
[ -z "$expected" ] || [ "$memory" = "$expected" ] || fail "memory is limited by $memory, and not by $expected"

say "new, workers, status"
ol-admin new -cluster my-cluster
ol-admin workers -cluster=my-cluster
ol-admin status -cluster=my-cluster
id=$(node -p 'JSON.parse(fs.readFileSync("my-cluster/config/cluster.json")).id')
worker=$(head -n 1 my-cluster/logs/worker-0.pid)
echo "the worker runs as $(stat -c %U "/proc/$worker") in $(cat "/proc/$worker/cgroup")"

say "a call"
cp -r "$project/quickstart/handlers/hello" ./my-cluster/registry/hello
call hello '{"name": "Alice"}' 200 '"Hello, Alice!"'

say "limits"
cp -r "$project/quickstart/handlers/limits" ./my-cluster/registry/limits
# Two seconds are not enough for an emulated machine to load the code.
[ -z "${OL_TEST_SLOWNESS:-}" ] || sed -i 's/runtime_sec: .*/runtime_sec: 30/' my-cluster/registry/limits/ol.yaml
call limits '{"use": "processes"}' 200 '"then":"[Errno 11]'
call limits '{"use": "network"}' 200 'unreachable'
call limits '{"use": "time"}' 504 ''
case "$memory" in
  cgroup-*) call limits '{"use": "memory"}' 502 'more than its 40 MB of memory' ;;
  # Of each process: Python gets no more memory, and says so.
  *) call limits '{"use": "memory"}' 500 'MemoryError' ;;
esac
call hello '{"name": "Bob"}' 200 '"Hello, Bob!"'
ol-admin logs limits -cluster=my-cluster >/dev/null
got=$(spin thrifty 10) && free=$(spin greedy 100)
echo "CPU limited by $(enforced cpu): a lambda that may have 10 % got $got %, one that may have 100 % got $free %"
[ "$free" -gt 50 ] || fail "too little CPU without a limit to say anything about one"
case "$(enforced cpu)" in
  none) [ "$got" -gt 50 ] || fail "something limits CPU time that doctor does not know of" ;;
  *) [ "$got" -lt 30 ] || fail "the limit on CPU time does not hold" ;;
esac

say "paused when idle, and called again"
for _ in $(seq 30); do
  [ -z "$(stopped)" ] || break
  sleep 1
done
[ -n "$(stopped)" ] || fail "the kernel has stopped nothing"
echo "stopped by $(enforced pause): $(stopped | wc -l)"
call hello '{"name": "Carol"}' 200 '"Hello, Carol!"'

say kill
ol-admin kill -cluster=my-cluster
ol-admin kill -cluster=my-cluster
rest=$(leftovers "$id")
[ -z "$rest" ] || fail "left over: $rest"
rm -r my-cluster
# There is no cluster left to end.
trap - EXIT
cd / && rm -rf "$work"
echo "ok"
