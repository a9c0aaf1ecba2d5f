#!/usr/bin/env bash
# Builds versitygw, an S3 server that others wrote, for tests against a store that is not ours, and prints the program's
# path. It is kept outside of the repository: ~/.cache/openlambda, or $OL_CACHE. Needs Go >= 1.24, and takes some minutes once.
set -euo pipefail

version=1.8.0
place="${OL_CACHE:-$HOME/.cache/openlambda}/versitygw-$version"
program="$place/versitygw"
if [ ! -x "$program" ]; then
  if ! command -v go >/dev/null; then
    echo "versitygw.sh: there is no go; install Go, or put a versitygw $version at $program" >&2
    exit 1
  fi
  mkdir -p "$place"
  fresh=$(mktemp -d "$place/.new.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  # The module's own checksums are checked against the checksum database.
  GOBIN="$fresh" GOFLAGS=-trimpath CGO_ENABLED=0 go install "github.com/versity/versitygw/cmd/versitygw@v$version" >&2
  mv "$fresh/versitygw" "$program"
fi
echo "$program"
