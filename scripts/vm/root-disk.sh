# Part of vm.sh: the guest's root file system, made once for each release and kept in a cache.

# What the guest needs besides Debian's least: systemd and a session bus for users' service managers, Python for
# sandboxes, and what the tests call.
root_packages=systemd-sysv,linux-image-cloud-amd64,udev,dbus,dbus-user-session,libpam-systemd,libstdc++6
root_packages+=,python3,python3-venv,ca-certificates,iproute2,procps,curl,nftables,kmod,git,bubblewrap

# root_disk SUITE PACKAGES: sets root_image, root_kernel and root_initrd.
root_disk() {
  local here recipe directory
  here=$(dirname "${BASH_SOURCE[0]}")
  recipe=$({ cat "$here/root-disk.sh" "$here/guest-setup.sh" && echo "$2"; } | sha256sum | cut -c1-12)
  directory=${OL_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/openlambda-vm}/$1-$recipe
  root_image=$directory/root.img root_kernel=$directory/vmlinuz root_initrd=$directory/initrd.img
  mkdir -p "$(dirname "$directory")"
  # Two at once would both take a minute; the second waits for the first instead.
  exec 9>"$directory.lock"
  flock -w 900 9 || complain "another vm.sh makes $directory for a quarter of an hour; is it stuck?"
  [ -e "$root_initrd" ] || make_root_disk "$1" "$directory" "$here/guest-setup.sh" "$2"
  exec 9>&-
}

make_root_disk() {
  local suite=$1 directory=$2 setup=$3 more=${4:+,$4} space log mirror source=()
  command -v mmdebstrap >/dev/null || complain "mmdebstrap is missing (Debian: apt-get install mmdebstrap)"
  echo "vm.sh: making Debian $suite in $directory; this happens once and takes a minute or two" >&2
  space=$(mktemp -d -p "$work")
  log=$work/root.log
  # The index of its security archive names packages that the archive has lost, so only the main one is used, from where this
  # machine gets its own. The guest has no network to be attacked by.
  if [ "$suite" = bullseye ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | head -n 1)
    [ -z "$mirror" ] || source=("deb $mirror bullseye main")
  fi
  # As a tar, which an ordinary user can make too.
  mmdebstrap --variant=minbase --include="$root_packages$more" --customize-hook="copy-in $setup /" \
    --customize-hook='chroot "$1" sh /guest-setup.sh' "$suite" "$space/root.tar" "${source[@]}" >"$log" 2>&1 9>&- ||
    { tail -n 15 "$log" >&2 && complain "mmdebstrap failed"; }
  mkdir "$space/root"
  # Root of a namespace may make files root's; /dev is the kernel's own in the guest.
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(unshare --map-root-user)
  truncate -s 6G "$space/root.img"
  # shellcheck disable=SC2016
  "${as_root[@]}" sh -c '
    set -e
    tar -xf "$1/root.tar" -C "$1/root" --exclude="./dev/*" $2
    cp "$1"/root/boot/vmlinuz-* "$1/vmlinuz"
    cp "$1"/root/boot/initrd.img-* "$1/initrd.img"
    mkfs.ext4 -q -F -L ol-root -d "$1/root" "$1/root.img"
  ' sh "$space" "${as_root[*]:+--no-same-owner}" >>"$log" 2>&1 || { tail -n 15 "$log" >&2 && complain "the root disk could not be made"; }
  mkdir -p "$directory"
  # The last one to come says that all are there.
  local file
  for file in root.img vmlinuz initrd.img; do mv "$space/$file" "$directory/$file"; done
  rm -rf "$space"
}
