#!/usr/bin/env bash
# Builds the images of apps/*/Dockerfile and runs them as deploy/compose.yaml does: a registry, two workers behind one name, a load
# balancer; a lambda is uploaded and called. Needs root, dockerd, docker, iptables, mmdebstrap and packages within reach.
# Nothing is pulled: what the Dockerfiles begin with is made here, of a root file system and this machine's own Node.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "images: only root can start a container daemon of its own" >&2 && exit 1; }
node_modules/.bin/tsc -b
made=$(mktemp -d)
export DOCKER_HOST=unix://$made/d.sock

daemon() {
  # Where root lacks capabilities, a privileged container is one that has all there are.
  "$@" dockerd --add-runtime "bounded=$PWD/scripts/lib/runc-within-bounds.mjs" --default-runtime bounded \
    --data-root "$made/data" --exec-root "$made/exec" --pidfile "$made/pid" --host "$DOCKER_HOST" --group root \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent="/$(basename "$made")" ${network:-} >"$made/log" 2>&1 &
  daemon_pid=$!
  local tries
  for ((tries = 0; tries < 600; tries += 1)); do
    if docker version >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  tail -n 20 "$made/log" >&2
  return 1
}
end_daemon() {
  if [ -f "$made/pid" ]; then
    kill "$(cat "$made/pid")"
    wait "$daemon_pid" || true
  fi
}
remove() {
  docker ps --all --quiet 2>/dev/null | xargs -r docker rm --force >/dev/null 2>&1 || true
  end_daemon
  if [ -n "${network_holder:-}" ]; then kill "$network_holder" || true; fi
  awk -v made="$made/" 'index($5, made) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount --lazy
  find /sys/fs/cgroup -depth -type d -path "/sys/fs/cgroup/*$(basename "$made")*" -exec rmdir {} + 2>/dev/null || true
  rm -rf "$made"
}
trap remove EXIT

echo "== what the Dockerfiles begin with"
node packages/admin/bin/ol-admin.js new --cluster="$made/cluster" --base=debootstrap:bookworm
base=$made/cluster/base
node=$(node -p process.execPath)
install -D "$node" "$base/usr/local/bin/node"
mkdir -p "$base/usr/local/lib/node_modules"
cp -a "$(dirname "$node")/../lib/node_modules/npm" "$base/usr/local/lib/node_modules"
for program in npm npx; do ln -s "../lib/node_modules/npm/bin/$program-cli.js" "$base/usr/local/bin/$program"; done
# Whom this machine trusts, where it reaches packages through a proxy of its own.
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/ca-certificates.crt"
fi
chmod 1777 "$base/tmp"
chroot "$base" useradd --create-home node
network="--iptables=false --ip6tables=false --bridge=none" daemon env
tar --create --one-file-system --directory "$base" . |
  docker import --change "ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt" - node:20-bookworm-slim
docker run --rm --network none node:20-bookworm-slim node --version

for app in registry worker balancer; do
  echo "== building apps/$app/Dockerfile"
  docker build --quiet --network host --file "apps/$app/Dockerfile" --tag "ol-$app" .
done
docker image ls
end_daemon

echo "== running them"
unshare --net sh -c "ip link set lo up && exec sleep infinity" &
network_holder=$!
in_network() { nsenter --net="/proc/$network_holder/ns/net" "$@"; }
network="" daemon in_network
docker network create cluster
admin_secret=secret-of-the-admin reader_secret=secret-of-the-reader token=token-of-this-cluster-only
docker run --detach --name registry --network cluster --publish 127.0.0.1:9000:9000 --volume code:/data \
  --env OL_REGISTRY_KEYS="[{\"access_key\": \"admin\", \"secret_key\": \"$admin_secret\", \"role\": \"admin\"}, {\"access_key\": \"reader\", \"secret_key\": \"$reader_secret\", \"role\": \"read\"}]" \
  ol-registry
for worker in worker-1 worker-2; do
  docker run --detach --name "$worker" --network cluster --network-alias worker --privileged --cgroupns private \
    --env OL_REGISTRY=http://registry:9000/registry --env OL_REGISTRY_ACCESS_KEY=reader --env OL_REGISTRY_SECRET_KEY="$reader_secret" \
    --env OL_TOKEN="$token" ol-worker
done
docker run --detach --name balancer --network cluster --publish 127.0.0.1:7079:7079 \
  --env OL_WORKERS_DNS=http://worker:8080 --env OL_TOKEN="$token" ol-balancer

at=http://127.0.0.1:7079
healthy() { in_network curl -sS "$at/stats" | node -e 'process.stdin.toArray().then((all) => console.log(JSON.parse(Buffer.concat(all)).dispatcher.workers.filter(({ health }) => health === "up").length))'; }
for ((tries = 0; tries < 60; tries += 1)); do
  if [ "$(healthy 2>/dev/null)" = 2 ]; then break; fi
  sleep 1
done
if [ "$(healthy)" != 2 ]; then
  for each in registry worker-1 worker-2 balancer; do docker logs "$each" 2>&1 | tail -n 20; done
  exit 1
fi
in_network node packages/admin/bin/ol-admin.js upload --address=http://localhost:9000 --access-key=admin --secret-key="$admin_secret" \
  --handler=hello --file=quickstart/handlers/hello
for ((call = 0; call < 20; call += 1)); do
  in_network curl -sS --fail-with-body -X POST "$at/run/hello" -d '{"name": "images"}'
  echo
done | sort | uniq -c

echo "== stopping them"
for each in balancer worker-1 worker-2 registry; do
  docker stop --time 45 "$each" >/dev/null
  code=$(docker inspect --format '{{.State.ExitCode}}' "$each")
  echo "$each ended with $code"
  if [ "$code" != 0 ]; then
    docker logs "$each" 2>&1 | tail -n 20
    exit 1
  fi
done
