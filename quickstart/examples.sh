#!/bin/sh
# Runs the examples in quickstart/examples, those that are named or all: from a fresh clone to two replies of each, with the
# time each took. In the first is the installation of the packages that the example names, and their import.
#
#   quickstart/examples.sh [--cluster=DIR] [NAME ...]
#
# The cluster is made in a temporary directory, and everything is stopped and removed in the end. With --cluster=DIR it is
# made there, or found there, and stays, stopped: packages that are installed already are not installed again. As root or
# as an ordinary user.
set -eu

called_in=$(pwd)
cd "$(dirname "$0")/.."
. quickstart/common.sh

usage() { fail "usage: quickstart/examples.sh [--cluster=DIR] [NAME ...]    NAME is one of: $(known)"; }
known() { (cd quickstart/examples && for directory in */; do printf '%s ' "${directory%/}"; done); }

cluster=
names=
for argument in "$@"; do
  case "$argument" in
    --cluster=?*)
      cluster=${argument#--cluster=}
      case "$cluster" in /*) ;; *) cluster=$called_in/$cluster ;; esac
      ;;
    -* | */* | "") usage ;;
    *)
      [ -d "quickstart/examples/$argument" ] || usage
      names="$names $argument"
      ;;
  esac
done
[ -n "$names" ] || names=$(known)
# Before anything takes time.
command -v curl >/dev/null || fail "curl is missing; sh quickstart/deps.sh installs it."

scratch=$(mktemp -d)
if [ -z "$cluster" ]; then
  cluster=$scratch/cluster
fi

finish() {
  status=$?
  trap - EXIT
  trap '' INT TERM HUP
  if [ -f "$cluster/config/template.json" ]; then
    say "Stopping everything"
    admin kill --cluster="$cluster" || status=1
  fi
  rm -rf "$scratch"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

prepare
made=$([ -d "$cluster" ] || echo yes)
make_cluster
# Somebody watches: a call waits until everything is installed.
[ -z "$made" ] || admin setconf --cluster="$cluster" '{"install_wait_ms": 600000}'
start_worker

# Calls the example $name and prints the beginning of its reply. How long it took is in $took_ms then.
call() {
  began_ms=$(date +%s%3N)
  (cd "quickstart/examples/$name" && OL_URL=$url OL_CLUSTER=$cluster sh -eu call.sh) >"$scratch/reply" ||
    fail "$name did not answer; what stands above says why. npx ol-admin logs has what it printed."
  took_ms=$(($(date +%s%3N) - began_ms))
  node -e '
    const reply = require("node:fs").readFileSync(0);
    const text = reply.toString("utf8").trimEnd();
    const [first] = text.split("\n", 1);
    const shown = /[^\t\n\r\u0020-\u{10ffff}]|\ufffd/u.test(text) ? reply.subarray(0, 8).toString("latin1").replace(/[^ -~]/g, ".") : first;
    console.log(`    ${shown.slice(0, 100)}${shown.length < text.length ? " ..." : ""} (${reply.length} bytes)`);
  ' <"$scratch/reply"
}

table=
for name in $names; do
  say "$name"
  if [ -d "quickstart/examples/$name/handlers" ]; then
    admin app "quickstart/examples/$name" --cluster="$cluster"
  else
    [ -e "$cluster/registry/$name" ] || cp -R "quickstart/examples/$name" "$cluster/registry/$name"
  fi
  call
  first_ms=$took_ms
  call
  printf '    first call %s ms, second %s ms\n' "$first_ms" "$took_ms"
  table="$table$(printf '%-14s %10s ms %10s ms' "$name" "$first_ms" "$took_ms")
"
done

printf '\n%-14s %13s %13s\n%s' example "first call" "second" "$table"
