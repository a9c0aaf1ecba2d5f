#!/usr/bin/env bash
# Sets up what the tests need and runs them all: install, build, checks, tests. The last line is always
#   N passed, N failed, N skipped
# and the exit code is 0 only if nothing failed and nothing was skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

finish_early() {
  echo "test.sh: $1" >&2
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
}

for argument in "$@"; do
  case "$argument" in
    -h | --help)
      echo "usage: scripts/test.sh [--all]    sets up what the tests need and runs them; with --all some of them also on"
      echo "       Node 20, 22 and 24 and on every Python of this machine, as root (if you are) and as an ordinary user"
      exit 0
      ;;
    --all) ;;
    *) finish_early "unknown argument: $argument (see --help)" ;;
  esac
done

# Node is the one thing that is not installed here: distributions carry versions that are too old.
node_is_new_enough() {
  command -v node >/dev/null &&
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}
node_is_new_enough || finish_early "Node 20.19 or newer is needed; get it from https://nodejs.org"
command -v npx >/dev/null || finish_early "npx is missing; it comes with npm, which comes with Node"
[ -w . ] || finish_early "$(pwd) belongs to another user; run this in a clone of your own"
# After a run as root. The compiler does not say it: it prints its own stack.
for made in node_modules packages/*/dist apps/*/dist examples/dist; do
  [ ! -e "$made" ] || [ -w "$made" ] ||
    finish_early "$made belongs to another user (was this run as root before?); as root: chown -R $(id -un) '$(pwd)'"
done
[ "$(uname -s)" = Linux ] || finish_early "sandboxes are made from Linux namespaces; this is $(uname -s)"

python_is_complete() {
  python3 -c 'import sys, ctypes, ssl, json, socket, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null
}

# Where administration commands are; after su, root may not have it in PATH.
export PATH="$PATH:/usr/sbin:/sbin"

# Command on the left, the Debian package that has it on the right.
missing=()
need() {
  command -v "$1" >/dev/null || missing+=("$2")
}
need git git
need curl curl
need tar tar
need ps procps
need setpriv util-linux
# Shows in which order the registry's store calls the kernel, and has the kernel fail it.
need strace strace
# Root's tests also make ordinary users.
if [ "$(id -u)" = 0 ]; then
  need useradd passwd
  # For machines of their own in network namespaces.
  need ip iproute2
  need nft nftables
  # Container daemons, which tests start for themselves.
  need dockerd docker.io
  need podman podman
fi
# The examples' tests: a store for pychat, and somebody to look at its page.
need redis-server redis-server
need chromium chromium
# The registry's: an S3 client, and certificates.
need rclone rclone
# What the balancer is held against, byte by byte; and a certificate for it.
need nginx nginx
need haproxy haproxy
need openssl openssl
python_is_complete || missing+=(python3)
# What installs packages where there is no uv; the tests install by both.
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)

if [ "${#missing[@]}" -gt 0 ]; then
  echo "test.sh: not installed yet: ${missing[*]}"
  command -v apt-get >/dev/null || finish_early "install these with this distribution's package manager"
  if [ "$(id -u)" = 0 ]; then as_root=()
  elif command -v sudo >/dev/null; then as_root=(sudo)
  else finish_early "run as root: apt-get install ${missing[*]}"; fi
  echo "test.sh: ${as_root[*]:+${as_root[*]} }apt-get install ${missing[*]}"
  "${as_root[@]}" apt-get update -qq || finish_early "apt-get update failed"
  # What is installed for tests does not become a service of this machine, neither now nor after a reboot.
  policy=/usr/sbin/policy-rc.d
  if [ -e "$policy" ]; then policy=
  else
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-upgrade --no-install-recommends "${missing[@]}" ||
    finish_early "apt-get install failed"
  # A package's own service has its name, but for Docker's.
  for service in redis-server nginx haproxy docker; do
    case " ${missing[*]} " in *" $service "* | *" $service.io "*)
      "${as_root[@]}" update-rc.d "$service" disable || finish_early "the service $service cannot be disabled"
      ;;
    esac
  done
  # After exec nobody would.
  [ -z "$policy" ] || "${as_root[@]}" rm -f "$policy"
  python_is_complete || finish_early "python3 is older than 3.9, or parts of its standard library are missing"
fi

# The first that says what it would install.
pip_is_new_enough() {
  python3 -c 'import importlib.metadata as m, sys; sys.exit(tuple(map(int, m.version("pip").split(".")[:2])) < (22, 2))'
}
pip_is_new_enough || finish_early "pip 22.2 or newer is needed for $(command -v python3): python3 -m pip install --upgrade pip"

# shellcheck source=scripts/lib/uv.sh
. scripts/lib/uv.sh || finish_early "uv cannot be had: is the package index reachable?"

scripts/lib/registry-clients.sh || finish_early "the S3 clients cannot be had: is the package index reachable?"

exec node scripts/run-tests.mjs "$@"
