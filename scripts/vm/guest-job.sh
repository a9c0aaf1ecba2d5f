# What the guest of vm.sh does: runs the command, and sends its output and exit code to the host.
# shellcheck disable=SC2154 # as, setup, address, environment and command come from /job/settings
set -u
. /job/settings
ln -sf /job/node /usr/local/bin/node
exec >/dev/virtio-ports/ol.out 2>&1 </dev/null

if [ -e /dev/disk/by-label/ol-data ]; then mount /data; fi

# The one card that there is.
join_network() {
  local card
  card=$(basename "$(dirname "$(find /sys/class/net/*/ -maxdepth 1 -name device | head -n 1)")")
  ip link set "$card" up && ip address add "$address" dev "$card"
}

run() {
  local uid=1000 bus=()
  cd /project || return 125
  if [ "$as" = root ]; then
    env HOME=/root "${environment[@]}" "${command[@]}"
    return
  fi
  if [ "$as" != user ]; then
    loginctl enable-linger olive || return 125
    # Started by enable-linger; starting it again waits until it is up.
    systemctl start "user@$uid.service" || return 125
    bus=(XDG_RUNTIME_DIR=/run/user/$uid DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus)
  fi
  local start=()
  [ "$as" != delegate ] || start=(systemd-run --user --scope --quiet -p Delegate=yes --)
  setpriv --reuid=$uid --regid=$uid --init-groups -- env HOME=/home/olive USER=olive LOGNAME=olive \
    "${bus[@]}" "${environment[@]}" "${start[@]}" "${command[@]}"
}

if [ -n "$address" ] && ! join_network; then
  code=125
elif [ -n "$setup" ] && ! bash -c "$setup"; then
  code=125
else
  run
  code=$?
fi
sync
printf '%s\n' "$code" >/dev/virtio-ports/ol.code
exec >/dev/null 2>&1
systemctl poweroff --force --force
