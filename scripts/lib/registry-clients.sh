#!/usr/bin/env bash
# Gets the S3 clients that the registry is tried with, by pip, into .cache/registry-clients, if they are not there as
# registry-clients.txt names them. They are other people's, so each version is pinned.
set -euo pipefail
cd "$(dirname "$0")/../.."

clients=.cache/registry-clients
list=scripts/lib/registry-clients.txt
if ! cmp -s "$list" "$clients/installed.txt"; then
  echo "getting S3 clients, by pip, into $clients"
  rm -rf "$clients"
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$clients" --requirement "$list"
  cp "$list" "$clients/installed.txt"
fi
