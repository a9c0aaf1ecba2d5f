#!/usr/bin/env bash
# usage: unshare --mount --propagation private reachable.sh UID STAGING HIDDEN... -- PATH... -- COMMAND...
# Runs a command as an ordinary user who reaches PATHs that lie in directories which only root may enter (HIDDEN), at
# their usual place and with nothing beside them. The mounts are seen by this command alone and end with it.
set -euo pipefail

uid="$1" staging="$2"
shift 2
hidden=() paths=()
while [ "$1" != -- ]; do hidden+=("$1"); shift; done
shift
while [ "$1" != -- ]; do paths+=("$1"); shift; done
shift

for number in "${!paths[@]}"; do
  mkdir -p "$staging/$number"
  mount --bind "${paths[$number]}" "$staging/$number"
done
for directory in "${hidden[@]}"; do mount -t tmpfs -o mode=755 ol-reachable "$directory"; done
for number in "${!paths[@]}"; do
  mkdir -p "${paths[$number]}"
  mount --bind "$staging/$number" "${paths[$number]}"
done

# The directory that is there now, and not the one that it covers.
cd "$PWD"
exec setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$@"
