# Part of sequence.sh and docker-sequence.sh: a directory that goes with the script, and what both say and call.
# shellcheck shell=bash disable=SC2154 # project comes from the script

work=$(mktemp -d)
cd "$work"

ol-admin() { node "$project/packages/admin/bin/ol-admin.js" "$@"; }
say() { printf '== %s\n' "$1"; }
fail() {
  printf 'FAILED: %s\n' "$1"
  tail -n 20 my-cluster/logs/worker-0.out 2>/dev/null || true
  exit 1
}
# shellcheck disable=SC2317 # called by the trap
leave() {
  ol-admin kill -cluster=my-cluster >/dev/null 2>&1 || true
  cd / && rm -rf "$work"
}
trap leave EXIT

# call NAME EVENT STATUS TEXT: the reply must have the status and hold the text.
call() {
  local reply
  reply=$(curl -sS --max-time "${call_sec:-120}" -w '\n%{http_code}' -X POST "localhost:8080/runLambda/$1" -d "$2") || fail "curl $1"
  echo "$1 $2 -> ${reply//$'\n'/ }" | cut -c1-300
  [ "${reply##*$'\n'}" = "$3" ] || fail "expected status $3"
  [[ "$reply" == *"$4"* ]] || fail "expected: $4"
}
