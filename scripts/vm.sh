#!/usr/bin/env bash
# Runs a command in a Debian guest under qemu's own emulation: another kernel, systemd, and control groups of either
# version. See docs/virtual-machine.md.
#
# The guest gets three disks: a root file system (made once, kept in a cache), a copy of this project as it is now
# at /project, and a small one with Node and what it is to do. What it writes to them is forgotten; only a disk
# named by --disk stays. It has no network unless --nic gives it a card.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/vm.sh [OPTION...] COMMAND [ARGUMENT...]

Runs the command in /project of a guest; its output and exit code are the command's.

  --suite=NAME      Debian release: bullseye (kernel 5.10), bookworm (6.1, the default), trixie (6.12)
  --cgroup=VERSION  v2 (the default) or v1
  --as=WHO          root (the default): in a service of the system's
                    user: an ordinary user without a session
                    linger: an ordinary user with a service manager of his own
                    delegate: the same, in a scope with Delegate=yes
  --with=PACKAGES   Debian packages, separated by commas, that it has besides; their services do not start by themselves
  --setup=SHELL     what root does before the command, such as a sysctl
  --disk=FILE       a disk that stays, at /data; made if it is not there
  --nic=TAP,ADDRESS/BITS
                    a network card on this tap device of yours, with this IPv4 address; see scripts/vm/network.sh
  --cut=TEXT        power cut: the guest is killed as soon as a line of output holds TEXT, which is success.
                    SIGTERM is one too, whenever it comes; then the exit code is 143
  --env=NAME=VALUE  set for the command; may be repeated
  --append=WORDS    more words for the kernel's command line
  --memory=MB       default 2048
  --cpus=N          default 2
  --timeout=SEC     default 1800; then exit code 124
  --console=FILE    keep what the guest's kernel and systemd said

Exit code 125: the guest could not be made or started, or ended without a result.
The cache is $OL_VM_CACHE, else openlambda-vm in $XDG_CACHE_HOME or ~/.cache.
TEXT
}

complain() {
  echo "vm.sh: $1" >&2
  exit "${2:-125}"
}

suite=bookworm cgroup=v2 as=root with= setup= disk= nic= cut= append= memory=2048 cpus=2 timeout=1800 console=
environment=()
while [ $# -gt 0 ]; do
  case "$1" in
    --suite=*) suite=${1#*=} ;;
    --cgroup=*) cgroup=${1#*=} ;;
    --as=*) as=${1#*=} ;;
    --with=*) with=${1#*=} ;;
    --setup=*) setup=${1#*=} ;;
    --disk=*) disk=${1#*=} ;;
    --nic=*) nic=${1#*=} ;;
    --cut=*) cut=${1#*=} ;;
    --env=*) environment+=("${1#*=}") ;;
    --append=*) append=${1#*=} ;;
    --memory=*) memory=${1#*=} ;;
    --cpus=*) cpus=${1#*=} ;;
    --timeout=*) timeout=${1#*=} ;;
    --console=*) console=${1#*=} ;;
    -h | --help) usage && exit 0 ;;
    --) shift && break ;;
    -*) usage >&2 && complain "unknown option: $1" 2 ;;
    *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || { usage >&2 && exit 2; }
[[ "$suite" =~ ^[a-z]+$ ]] || complain "--suite is a name such as bookworm" 2
[[ "$with" =~ ^([a-z0-9.+-]+(,[a-z0-9.+-]+)*)?$ ]] || complain "--with is names of packages, such as docker.io,crun" 2
[[ "$as" =~ ^(root|user|linger|delegate)$ ]] || complain "--as is root, user, linger or delegate" 2
network=(-nic none) tap=${nic%%,*} address=${nic#*,}
if [ -n "$nic" ]; then
  [[ "$nic" =~ ^[a-zA-Z0-9._-]{1,15},[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+/[0-9]+$ ]] ||
    complain "--nic is a tap device and an address, such as tap0,10.77.0.11/24" 2
  # Of two cards on one network no two may have the same.
  IFS=./ read -r _ two three four _ <<<"$address"
  network=(-nic "tap,ifname=$tap,script=no,downscript=no,model=virtio-net-pci,mac=$(printf '52:54:00:%02x:%02x:%02x' "$two" "$three" "$four")")
fi
case "$cgroup" in
  v2) ;;
  v1) append="systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 $append" ;;
  *) complain "--cgroup is v1 or v2" 2 ;;
esac

project=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/vm/root-disk.sh
. "$project/scripts/vm/root-disk.sh"
export PATH="$PATH:/usr/sbin:/sbin"
for tool in qemu-system-x86_64 mkfs.ext4 node setpriv unshare; do
  command -v "$tool" >/dev/null || complain "$tool is missing (Debian: apt-get install qemu-system-x86 e2fsprogs util-linux)"
done
[ -d "$project/node_modules" ] || complain "the project is not installed yet: npx -y pnpm@10.34.8 install"

work=$(mktemp -d)
machine=
stop_machine() {
  [ -n "$machine" ] || return 0
  kill -KILL "$machine" 2>/dev/null || true
  # Bash tells on standard error that it was killed.
  { wait "$machine" || true; } 2>/dev/null
  machine=
}
leave() {
  stop_machine
  if [ -n "$console" ] && [ -f "$work/console" ]; then cp "$work/console" "$console"; fi
  rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

root_disk "$suite" "$with"

# mkfs.ext4 -d copies owners, so that in a namespace where we are the guest's user, what is ours is his.
owner=0
[ "$as" = root ] || owner=1000
disk_from() { # DIRECTORY IMAGE LABEL SIZE
  truncate -s "$4" "$2"
  unshare --user --map-user="$owner" --map-group="$owner" mkfs.ext4 -q -F -L "$3" -E "root_owner=$owner:$owner" -O ^has_journal -d "$1" "$2" ||
    complain "the disk $3 could not be made"
}

mkdir "$work/job"
cp "$(node -p process.execPath)" "$work/job/node"
cp "$project/scripts/vm/guest-job.sh" "$work/job/main"
{
  printf 'as=%q\nsetup=%q\naddress=%q\n' "$as" "$setup" "$address"
  printf 'environment=('
  [ "${#environment[@]}" = 0 ] || printf '%q ' "${environment[@]}"
  printf ')\ncommand=('
  printf '%q ' "$@"
  printf ')\n'
} >"$work/job/settings"
disk_from "$work/job" "$work/job.img" ol-job 400M
disk_from "$project" "$work/project.img" ol-project 2G
disks=("$root_image,snapshot=on" "$work/job.img" "$work/project.img")
if [ -n "$disk" ]; then
  if [ ! -e "$disk" ]; then
    mkdir "$work/empty"
    # With a journal: this one is there to survive power cuts.
    truncate -s 1G "$disk"
    unshare --user --map-user="$owner" --map-group="$owner" \
      mkfs.ext4 -q -F -L ol-data -E "root_owner=$owner:$owner" -d "$work/empty" "$disk" || complain "$disk could not be made"
  fi
  disks+=("$disk")
fi
drives=()
for one in "${disks[@]}"; do drives+=(-drive "file=$one,format=raw,if=virtio"); done

# no_timer_check: the kernel panics when ticks that it waits for at its start are late, which on a busy machine they are.
# Output and exit code travel over channels of their own, so that no kernel message mixes with them.
mkfifo "$work/out"
: >"$work/code"
setpriv --pdeathsig KILL -- qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m "$memory" -smp "$cpus" \
  -display none -monitor none -no-reboot "${network[@]}" -kernel "$root_kernel" -initrd "$root_initrd" \
  -append "root=/dev/vda rw console=ttyS0 panic=-1 no_timer_check systemd.show_status=0 $append" "${drives[@]}" -serial "file:$work/console" \
  -device virtio-serial -chardev "file,id=out,path=$work/out" -device virtserialport,chardev=out,name=ol.out \
  -chardev "file,id=code,path=$work/code" -device virtserialport,chardev=code,name=ol.code \
  </dev/null >"$work/qemu" 2>&1 &
machine=$!

deadline=$((SECONDS + timeout))
exec 3<"$work/out"
while :; do
  left=$((deadline - SECONDS))
  [ "$left" -gt 0 ] || complain "no end after $timeout s" 124
  if IFS= read -r -t "$left" line <&3; then
    printf '%s\n' "$line"
    if [ -n "$cut" ] && [[ "$line" == *"$cut"* ]]; then
      stop_machine
      exit 0
    fi
  elif [ $? -gt 128 ]; then
    complain "no end after $timeout s" 124
  else
    printf '%s' "$line"
    break
  fi
done
wait "$machine" || { cat "$work/qemu" >&2 && complain "qemu ended with an error"; }
machine=
[ -z "$cut" ] || complain "the command ended, and no line held: $cut"
code=$(head -n 1 "$work/code")
if [[ ! "$code" =~ ^[0-9]+$ ]]; then
  tail -n 20 "$work/console" >&2
  complain "the guest ended without a result; above are the last lines of its console"
fi
exit "$code"
