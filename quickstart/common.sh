# Read by the scripts beside it, with the repository as the current directory and the cluster's in $cluster.

say() { printf '\n==> %s\n' "$*"; }
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

admin() { node packages/admin/bin/ol-admin.js "$@"; }

# Checks what the machine has, installs the project's packages and builds it.
prepare() {
  # What the machine must have. quickstart/deps.sh installs it on Debian and Ubuntu.
  command -v node >/dev/null || fail "Node is missing: Node 20.19 or newer is needed; sh quickstart/deps.sh installs it."
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    fail "Node 20.19 or newer is needed, and this is $(node --version); install a newer one from https://nodejs.org"
  command -v npx >/dev/null || fail "npx is missing: it comes with npm; sh quickstart/deps.sh installs it."
  command -v python3 >/dev/null || fail "Python is missing: Python 3.9 or newer is needed; sh quickstart/deps.sh installs it."
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
    fail "Python 3.9 or newer is needed, and this is $(python3 --version)."
  [ -w . ] || fail "$(pwd) belongs to another user: clone the repository into a directory of your own."
  # After a run as root. The compiler does not say it: it prints its own stack.
  for made in node_modules packages/*/dist apps/*/dist "$cluster"; do
    [ ! -e "$made" ] || [ -w "$made" ] ||
      fail "$made belongs to another user (was this run as root before?); as root: chown -R $(id -un) '$(pwd)'"
  done

  # pnpm keeps the lock file of what it installed last.
  if cmp -s pnpm-lock.yaml node_modules/.pnpm/lock.yaml; then
    say "Packages are installed already"
  else
    say "Installing packages (a minute at most)"
    # What npm has in its cache it need not ask for: without a network that takes a minute.
    npm_config_update_notifier=false npx --prefer-offline -y pnpm@10.34.8 install --frozen-lockfile ||
      fail "The packages could not be installed; what stands above says why. Needed: a way to npm's registry (behind a proxy
'npm config set https-proxy' and 'cafile' make one), and a home directory that can be written (now: ${HOME:-not set})."
  fi

  say "Building"
  node_modules/.bin/tsc -b
}

# Makes the cluster, if it is not there.
make_cluster() {
  if [ -f "$cluster/config/template.json" ]; then
    say "The cluster $cluster is there already"
  else
    say "Making the cluster $cluster"
    admin new --cluster="$cluster"
  fi
}

# The URL of the first worker that answers; nothing if none does.
worker_url() {
  { admin status --cluster="$cluster" --json 2>/dev/null || true; } | node -e '
    const { workers = [] } = JSON.parse(require("node:fs").readFileSync(0, "utf8") || "{}");
    const url = workers.find((worker) => worker.ok)?.url.replace(/\/status$/, "");
    if (url) console.log(url);'
}

# 8080, or the next port on which nobody listens.
free_port() {
  node -e '
    const { createServer } = require("node:net");
    const attempt = (port, hosts) => {
      if (port > 8180) return process.exit(1);
      if (hosts.length === 0) return console.log(port);
      const server = createServer();
      server.on("error", (error) =>
        error.code === "EADDRINUSE" ? attempt(port + 1, ["127.0.0.1", "::1"]) : attempt(port, hosts.slice(1)));
      server.listen(port, hosts[0], () => server.close(() => attempt(port, hosts.slice(1))));
    };
    attempt(8080, ["127.0.0.1", "::1"]);' || fail "No port from 8080 to 8180 is free; end something that listens there."
}

# Starts a worker, if none runs. Its URL is in $url then.
start_worker() {
  url=$(worker_url)
  if [ -n "$url" ]; then
    say "A worker runs already at $url"
  else
    say "Starting a worker"
    # Whatever a crash or a reboot left goes first; then there is no dead worker with an old port.
    admin gc --cluster="$cluster"
    port=$(free_port)
    # Somebody else may take it before the worker does; then another one is looked for.
    until admin workers --cluster="$cluster" --port="$port"; do
      taken=$port
      port=$(free_port)
      [ "$port" != "$taken" ] || exit 1
      say "Starting it on port $port instead"
      admin gc --cluster="$cluster"
    done
    url=$(worker_url)
    [ -n "$url" ] || fail "The worker does not answer; npx ol-admin doctor says what this machine lacks."
  fi
}
