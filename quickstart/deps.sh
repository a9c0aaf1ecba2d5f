#!/bin/sh
# Installs what OpenLambda needs from Debian's or Ubuntu's packages: only what is missing, and says what it does.
# Needs root only if something is missing.
set -eu

missing=""

# Runs a command that tells whether something is there.
have() { "$@" >/dev/null 2>&1; }
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

python_ok() { have python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; }
node_ok() { have node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; }

python_ok || missing="$missing python3"
have node -e 0 || missing="$missing nodejs"
have npx --version || missing="$missing npm"
have curl --version || missing="$missing curl"

# A field of the Node that apt would install; empty if it has none.
apt_node() { apt-cache show --no-all-versions nodejs 2>/dev/null | sed -n "s/^$1: //p"; }
without() { printf '%s\n' "$missing" | sed "s/ $1\b//"; }

if [ -z "$missing" ]; then
  echo "Nothing to install: python3, node, npx and curl are there."
else
  echo "Missing:$missing"
  have apt-get --version || fail "This is no Debian or Ubuntu: install these with your system's package manager."
  if [ "$(id -u)" = 0 ]; then
    as_root=""
  elif have sudo --version; then
    as_root="sudo"
    echo "Installing needs root: sudo may ask for your password."
  else
    fail "Installing needs root, and there is no sudo: run this script as root."
  fi
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
  case "$missing" in *nodejs* | *npm*)
    if ! dpkg --compare-versions "$(apt_node Version)" ge 20.19; then
      # Hundreds of packages, to be told afterwards that they are too old.
      echo "Not installing the distribution's Node and npm, which are too old: $(apt_node Version | grep . || echo none)"
      missing=$(without nodejs)
      missing=$(without npm)
    elif apt_node Provides | grep -qw npm; then
      missing=$(without npm)
    fi
    ;;
  esac
  if [ -n "$missing" ]; then
    echo "Running: apt-get install --no-install-recommends$missing"
    # shellcheck disable=SC2086 # each word is a package
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
  fi
fi

if ! have nft --version && ! have /usr/sbin/nft --version; then
  echo "Optional: nftables, for lambdas with \"network: outbound\" on a worker run as root (apt-get install nftables)."
fi

status=0
if ! python_ok; then
  echo "Python 3.9 or newer is needed, and this is $(python3 --version 2>&1); install a newer one." >&2
  status=1
fi
if ! node_ok; then
  found=$(node --version 2>/dev/null || echo "none")
  echo "Node 20.19 or newer is needed (here: $found); install it with npm from https://nodejs.org" >&2
  status=1
fi
if ! have npx --version; then
  echo "npx is missing; it comes with npm, which comes with Node from https://nodejs.org" >&2
  status=1
fi
exit "$status"
