#!/usr/bin/env bash
# Every engine with every import cache and every kind of registry: see scripts/test-all.sh.
exec scripts/test-all.sh "$@"
