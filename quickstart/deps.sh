#!/bin/sh
# Installs what OpenLambda needs from Debian's or Ubuntu's packages: only what is missing, and says what it does.
# Needs root only if something is missing.
set -eu

missing=""

# Runs a command that tells whether something is there.
have() { "$@" >/dev/null 2>&1; }

python_ok() { have python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; }
node_ok() { have node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; }

python_ok || missing="$missing python3"
have node -e 0 || missing="$missing nodejs"
have npx --version || missing="$missing npm"
have curl --version || missing="$missing curl"

if [ -z "$missing" ]; then
  echo "Nothing to install: python3, node, npx and curl are there."
else
  echo "Missing:$missing"
  if ! have apt-get --version; then
    echo "This is no Debian or Ubuntu: install these with your system's package manager." >&2
    exit 1
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=""
  elif have sudo --version; then
    as_root="sudo"
    echo "Installing needs root: sudo may ask for your password."
  else
    echo "Installing needs root: run this script as root." >&2
    exit 1
  fi
  echo "Running: apt-get install --no-install-recommends$missing"
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
  # shellcheck disable=SC2086 # each word is a package
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi

status=0
if ! python_ok; then
  echo "Python 3.9 or newer is needed, and this is $(python3 --version 2>&1); install a newer one." >&2
  status=1
fi
if ! node_ok; then
  echo "Node 20.19 or newer is needed, and this is $(node --version 2>&1); install a newer one from https://nodejs.org" >&2
  status=1
fi
exit "$status"
