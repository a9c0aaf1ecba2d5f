#!/bin/sh
# Starts a Redis server for the chat and tells the handlers where it is. `ol-admin app` runs this with
#
#   OL_STATE     a directory of the application's own, which stays from one run to the next
#   OL_HANDLERS  the copies of the handlers that are about to be uploaded; what is changed in them is changed for the lambdas
#
# and ends what it leaves running with `ol-admin app --down` and `ol-admin kill`.
set -eu
umask 077

command -v redis-server >/dev/null ||
  { echo "redis-server is missing (Debian: apt-get install redis-server)" && exit 1; }

# Port 0 would be no port at all, and a socket in a directory of the host is nothing that a sandbox sees.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

answers() { [ "$(REDISCLI_AUTH=$password redis-cli -h 127.0.0.1 -p "$port" ping 2>&1)" = PONG ]; }

# With a port and a password that are in redis.env; fails if somebody else has the port.
start_redis() {
  cat >"$OL_STATE/redis.conf" <<END
bind 127.0.0.1
port $port
dir $OL_STATE
save ""
appendonly no
maxmemory 64mb
user default on >$password ~* &* +@all -@dangerous
END
  redis-server "$OL_STATE/redis.conf" &
  redis=$!
  tries=0
  until answers; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$redis" 2>/dev/null; then
      echo "redis-server did not start on port $port"
      return 1
    fi
    sleep 0.1
  done
}

start_new_redis() {
  port=$(free_port)
  # Whoever is on this machine reaches the port; only who has the password gets in.
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  printf 'port=%s\npassword=%s\n' "$port" "$password" >"$OL_STATE/redis.env"
  start_redis
}

if [ ! -e "$OL_STATE/redis.env" ]; then
  start_new_redis
else
  # The chat goes on when the application is set up again. If Redis is gone, another one in its place is what the lambdas
  # that run know already.
  . "$OL_STATE/redis.env"
  answers || start_redis || start_new_redis
fi

for handler in "$OL_HANDLERS"/*/; do
  [ ! -e "$handler/packages.txt" ] || cat >>"$handler/ol.yaml" <<END
environment:
  REDIS_URL: "redis://:$password@127.0.0.1:$port/0"
END
done
