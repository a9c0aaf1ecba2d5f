#!/usr/bin/env bash
# What sequence.sh does for sandboxes of the machine, for containers: an ordinary user of the group docker makes a cluster, calls,
# and ends it. Then no container of his is left. Needs the built project, and an image `guest-image` with Python.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
call_sec=600
# shellcheck source=scripts/vm/sequence-kit.sh
. "$project/scripts/vm/sequence-kit.sh"

say "new, doctor, workers"
ol-admin new -cluster=my-cluster
ol-admin setconf -cluster=my-cluster '{"sandbox": "docker", "docker": {"base_image": "guest-image"}, "queue_timeout_ms": 300000}'
# lambda NAME SOURCE
lambda() { mkdir "my-cluster/registry/$1" && printf '%b' "$2" >"my-cluster/registry/$1/f.py"; }
lambda hello 'def f(event):\n    return "Hello, " + event["name"]\n'
lambda who 'import os\ndef f(event):\n    return os.getuid() != 0\n'
lambda fill 'def f(event):\n    return len(bytearray(event * 1048576))\n'
ol-admin doctor -cluster=my-cluster || fail "doctor"
ol-admin workers -cluster=my-cluster || fail "workers"

say "calls"
call hello '{"name": "container"}' 200 "Hello, container"
call who '{}' 200 "true"
call fill 5 200 5242880
call fill 500 502 ""
call hello '{"name": "again"}' 200 "Hello, again"
docker ps --format '{{.Names}} {{.Status}}'
[ -n "$(docker ps -q --filter label=openlambda.cluster)" ] || fail "there is no container"

say "kill"
ol-admin kill -cluster=my-cluster || fail "kill"
[ -z "$(docker ps -aq --filter label=openlambda.cluster)" ] || fail "a container is left"
say "nothing is left"
