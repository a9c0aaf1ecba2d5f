#!/usr/bin/env bash
# Before and after a power cut, in two lives of a guest with one disk:
#   power-cut.sh before    a cluster under load; says CUT NOW, and goes on until it is cut
#   power-cut.sh after     finds what is left, has it swept, and calls again
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
cd /data

ol-admin() { node "$project/packages/admin/bin/ol-admin.js" "$@"; }
fail() {
  printf 'FAILED: %s\n' "$1"
  exit 1
}
greet() { curl -sS --max-time 120 -X POST localhost:8080/runLambda/hello -d '{"name": "Alice"}'; }

before() {
  ol-admin new -cluster my-cluster
  cp -r "$project/quickstart/handlers/hello" "$project/quickstart/handlers/scratch" my-cluster/registry/
  # What is written after this may be lost or not; before it, it is there.
  sync
  ol-admin workers -cluster=my-cluster
  for _ in 1 2; do
    (while :; do greet >/dev/null && curl -sS --max-time 120 -X POST localhost:8080/runLambda/scratch -d '{}' >/dev/null; done) &
  done
  # Long enough for the journal to have some of it on the disk, and not all.
  sleep 12
  find my-cluster/workers -mindepth 2 | head -n 40
  [ "$(greet)" = '"Hello, Alice!"' ] || fail "no reply before the cut"
  echo "CUT NOW"
  wait
}

# Not everybody calls kill first: a worker removes what the one before left. Tried on a copy.
swept_by_the_next_worker() {
  local old each
  cp -a my-cluster copy
  old=$(find copy/workers -mindepth 4 -maxdepth 4 -path '*/handlers/*')
  [ -n "$old" ] || fail "the cut has left no sandbox's directory"
  ol-admin workers -cluster=copy
  # The rest is removed beside the calls.
  for _ in $(seq 60); do
    each=$(find copy/workers -mindepth 3 -path '*/trash/*' -o -mindepth 4 -maxdepth 4 -path '*/handlers/*')
    each=$(grep -Fx "$old" <<<"$each" || true)
    [ -n "$each" ] || break
    sleep 1
  done
  [ -z "$each" ] || fail "the next worker has left: $each"
  [ "$(greet)" = '"Hello, Alice!"' ] || fail "no reply from the worker that swept"
  ol-admin kill -cluster=copy
  rm -r copy
}

after() {
  [ -d my-cluster ] || fail "the disk has no cluster"
  echo "left by the cut: $(find my-cluster/workers | wc -l) files and directories"
  find my-cluster/workers -mindepth 2 | head -n 40
  if ol-admin status -cluster=my-cluster; then fail "status says that all is well"; fi
  swept_by_the_next_worker
  ol-admin kill -cluster=my-cluster
  rest=$(find my-cluster/workers -path '*/handlers/*' -o -path '*/trash/*' -o -name '*.sock')
  [ -z "$rest" ] || fail "left over: $rest"
  ol-admin workers -cluster=my-cluster
  [ "$(greet)" = '"Hello, Alice!"' ] || fail "no reply after the cut"
  ol-admin kill -cluster=my-cluster
  rm -r my-cluster
  echo ok
}

case "${1:-}" in
  before | after) "$1" ;;
  *) echo "usage: power-cut.sh before|after" >&2 && exit 2 ;;
esac
