# Run once inside the guest's root file system while it is made (root-disk.sh).
set -e
rm /guest-setup.sh
useradd --create-home --shell /bin/bash olive
# On a busy machine a guest finds its disks, and starts its services, in minutes: without this it ends in its emergency mode.
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\nDefaultTimeoutStartSec=30min\nDefaultDeviceTimeoutSec=30min\n' >/etc/systemd/system.conf.d/patience.conf
# Disks by their labels. The job mounts /data, where there is one: systemd would wait for it in vain.
mkdir -p /job /project /data
cat >/etc/fstab <<'TEXT'
LABEL=ol-root / ext4 defaults 0 1
LABEL=ol-job /job ext4 ro,x-systemd.device-timeout=30min 0 0
LABEL=ol-project /project ext4 defaults,x-systemd.device-timeout=30min 0 0
LABEL=ol-data /data ext4 noauto 0 0
TEXT
echo guest >/etc/hostname
printf '127.0.0.1 localhost guest\n::1 localhost\n' >/etc/hosts
cat >/etc/systemd/system/ol-job.service <<'TEXT'
[Unit]
Description=The command of vm.sh
After=multi-user.target systemd-user-sessions.service dbus.service
RequiresMountsFor=/job /project
[Service]
Type=oneshot
ExecStart=/bin/bash /job/main
ExecStopPost=-/bin/systemctl poweroff --force --force
TimeoutStartSec=infinity
KillMode=control-group
TEXT
mkdir -p /etc/systemd/system/graphical.target.wants
ln -s ../ol-job.service /etc/systemd/system/graphical.target.wants/ol-job.service
# Who asked for them starts them: on an emulated machine each takes its seconds.
for unit in docker.service docker.socket containerd.service podman.service podman.socket; do
  rm -f "/etc/systemd/system/multi-user.target.wants/$unit" "/etc/systemd/system/sockets.target.wants/$unit"
done
# Nobody logs in, and nothing is to be looked after by the clock.
for unit in serial-getty@ttyS0.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-timesyncd.service systemd-networkd.service; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
