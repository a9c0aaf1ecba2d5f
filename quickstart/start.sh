#!/bin/sh
# From a fresh clone to a lambda's first reply: installs what the project uses, builds it, makes the cluster
# my-cluster, starts a worker, calls the lambda `hello`. The cluster runs on afterwards. What is there already is
# left as it is, so the script can be run again. As root or as an ordinary user.
set -eu

cd "$(dirname "$0")/.."
cluster=my-cluster

. quickstart/common.sh
prepare
make_cluster
start_worker

for handler in quickstart/handlers/*/; do
  name=$(basename "$handler")
  [ -e "$cluster/registry/$name" ] || cp -R "$handler" "$cluster/registry/$name"
done

say "Calling the lambda hello"
printf '%s\n' "npx ol-admin invoke hello --cluster=$cluster -d '{\"name\": \"Alice\"}'"
admin invoke hello --cluster="$cluster" -d '{"name": "Alice"}'

cat <<END

The cluster goes on running. Call it again:

  curl -X POST $url/run/hello -d '{"name": "Alice"}'

Other lambdas are in $cluster/registry; a directory with an f.py in it is one. See how it does, and stop it:

  npx ol-admin status --cluster=$cluster
  npx ol-admin kill --cluster=$cluster
END
