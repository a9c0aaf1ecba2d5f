#!/usr/bin/env bash
# Runs one long test, scripts/soaks/NAME.*, and records what came out in docs/soaks/NAME.md with the commit,
# the date and the machine. The exit code is the soak's.
set -euo pipefail
cd "$(dirname "$0")/.."

known() {
  local names
  names=$(for file in scripts/soaks/*; do if [ -f "$file" ]; then basename "${file%.*}"; fi; done | sort -u | paste -sd' ' -)
  echo "${names:-(none yet)}"
}
if [ $# -lt 1 ] || [[ "$1" == -* ]] || [[ ! "$1" =~ ^[a-z0-9-]+$ ]]; then
  echo "usage: scripts/soak.sh NAME [ARGUMENT...]    NAME is one of: $(known)" >&2
  exit 2
fi
name=$1
shift
soak=$(find scripts/soaks -maxdepth 1 -type f -name "$name.*" 2>/dev/null | sort | head -n 1 || true)
if [ -z "$soak" ]; then
  echo "soak.sh: there is no scripts/soaks/$name.*; there are: $(known)" >&2
  exit 2
fi
case "$soak" in
  *.mjs) run=(node "$soak") ;;
  *.sh) run=(bash "$soak") ;;
  *.py) run=(python3 "$soak") ;;
  *)
    echo "soak.sh: cannot run $soak: only .mjs, .sh and .py" >&2
    exit 2
    ;;
esac

commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo "unknown (no git)")
# Results of other soaks change nothing of what is run.
[ -z "$(git status --porcelain -- . ':!docs/soaks' 2>/dev/null)" ] || commit="$commit, with uncommitted changes"
distribution=$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}" || echo unknown)
memory_mb=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
output=$(mktemp)
trap 'rm -f "$output"' EXIT
began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
began_s=$(date +%s)

set +e
home=${HOME:-/}
[ "$home" != / ] || home=$PWD
# Where the repository and the user's home lie is nobody's business.
"${run[@]}" "$@" 2>&1 | sed -u -e "s#$PWD#.#g" -e "s#$home/#~/#g" | tee "$output"
status=${PIPESTATUS[0]}
set -e
took_s=$(($(date +%s) - began_s))
[ "$status" = 0 ] && verdict=passed || verdict="failed (exit code $status)"

mkdir -p docs/soaks
{
  echo "# Soak: $name"
  echo
  echo "Repeat it with \`scripts/soak.sh $name${*:+ $*}\`. This page is written by that command."
  echo
  echo "| | |"
  echo "|---|---|"
  echo "| result | $verdict |"
  echo "| commit | $commit |"
  echo "| began | $began |"
  echo "| took | $took_s s |"
  echo "| machine | kernel $(uname -r), $(uname -m), $(nproc) cores, $memory_mb MiB of memory, $distribution |"
  echo "| temporary files | $(stat -f -c %T "${TMPDIR:-/tmp}") |"
  echo "| user | $([ "$(id -u)" = 0 ] && echo root || echo "an ordinary user") |"
  echo "| versions | Node $(node -p process.versions.node), $(python3 --version 2>&1) |"
  echo
  echo '```'
  # The end is what counts; colours and progress bars do not belong on a page.
  sed -e 's/\x1b\[[0-9;]*[A-Za-z]//g' -e 's/.*\r//' "$output" | tail -n 200
  echo '```'
} >"docs/soaks/$name.md"
echo "soak.sh: $verdict; recorded in docs/soaks/$name.md"
exit "$status"
