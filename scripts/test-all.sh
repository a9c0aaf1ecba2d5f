#!/usr/bin/env bash
# What a worker answers over HTTP, and OpenLambda's own acceptance tests, for each engine, import cache and kind of registry: twelve
# combinations, some minutes each. Needs root and dockerd (Debian: docker.io). Arguments: words that a combination must have, as in
# "test-all.sh docker remote". Ends with a line for each; the exit code is 1 if one failed.
set -euo pipefail
cd "$(dirname "$0")/.."

export OL_TEST_SOAK=1
node_modules/.bin/tsc -b
results=()
failed=0
for engine in sock docker; do
  for cache in off tree auto; do
    for registry in local remote; do
      combination="$engine $cache $registry"
      for word in "$@"; do
        case " $combination " in *" $word "*) ;; *) continue 2 ;; esac
      done
      if OL_TEST_COMBINATION="$combination" node_modules/.bin/vitest run --project e2e test/e2e/combination.root.test.ts; then
        results+=("passed  $combination")
      else
        results+=("FAILED  $combination")
        failed=1
      fi
    done
  done
done
if [ "${#results[@]}" -eq 0 ]; then
  echo "test-all.sh: no combination has all of: $*" >&2
  exit 2
fi
printf '%s\n' "${results[@]}"
exit "$failed"
