#!/usr/bin/env bash
# Host kinds that this machine is not: each boots a guest (scripts/vm.sh), runs the commands of a user's first day in it
# (scripts/vm/sequence.sh), and the tests that depend on the kernel and on control groups.
#
#   scripts/soak.sh guest [KIND...]    default: all of them; the table is in docs/hosts.md
set -euo pipefail
node_modules/.bin/tsc -b
# An emulated machine is some ten times slower, and this one may be busy.
slowness=${OL_TEST_SLOWNESS:-15}
tests=packages/sandbox/test/integration
failed=()

# guest NAME OPTION... -- SHELL
guest() {
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  echo "=== $name: vm.sh ${options[*]}"
  if scripts/vm.sh --timeout=3000 --env="OL_TEST_SLOWNESS=$slowness" "${options[@]}" bash -c "$2"; then
    echo "=== $name: passed"
  else
    echo "=== $name: FAILED ($?)"
    failed+=("$name")
  fi
}

what='uname -sr; grep PRETTY /etc/os-release; systemctl --version | head -n 1; node --version; python3 --version; id -un; cat /proc/self/cgroup'
# Told one by one: a run that is ended early has said what it knows.
vitest='node_modules/.bin/vitest run --no-color --reporter=verbose --project integration'
engine="$tests/sock-conformance.test.ts $tests/sock-pause.test.ts"

# both SEQUENCE TESTS: the second also if the first failed.
both() { echo "$what; code=0; scripts/vm/sequence.sh $1 || code=1; $vitest $2 || code=1; exit \$code"; }

# The newest Node of a line, as the npm package `node` brings it; it is copied into the guest.
node_of() {
  node --input-type=module -e "
    import { findNode } from './scripts/lib/interpreters.mjs';
    const { path, why } = await findNode($1);
    if (path === undefined) throw new Error(why);
    console.log(path);
  "
}

kind() {
  local disk node options
  case "$1" in
    # As root too, the file without "root" in its name has a worker of an ordinary user; here that is the next kind.
    root) guest "$1" -- "$(both cgroup-v2 "$engine $tests/sock-security-effects.root.test.ts")" ;;
    delegate) guest "$1" --as=delegate -- "$(both cgroup-v2 "$engine $tests/sock-security-effects.test.ts")" ;;
    linger) guest "$1" --as=linger -- "$what; scripts/vm/sequence.sh cgroup-v2" ;;
    user) guest "$1" --as=user -- "$what; scripts/vm/sequence.sh rlimit" ;;
    v1) guest "$1" --cgroup=v1 -- "$(both cgroup-v1 $tests/sock-conformance.test.ts)" ;;
    node22 | node24)
      node=$(node_of "${1#node}")
      PATH="$(dirname "$node"):$PATH" guest "$1" -- "$what; $vitest $tests/sock-conformance.test.ts"
      ;;
    node22-delegate | node24-delegate)
      node=$(node_of "${1//[!0-9]/}")
      PATH="$(dirname "$node"):$PATH" guest "$1" --as=delegate -- "$what; $vitest $tests/sock-conformance.test.ts"
      ;;
    new) guest "$1" --suite=trixie -- "$(both cgroup-v2 $tests/sock-conformance.test.ts)" ;;
    new-user) guest "$1" --suite=trixie --as=linger -- "$what; scripts/vm/sequence.sh cgroup-v2" ;;
    # 5.10 lacks mount_setattr: one line says so.
    old) guest "$1" --suite=bullseye -- "$what; node packages/admin/bin/ol-admin.js doctor | grep -F 'FAIL  kernel   Linux 5.12 or newer is needed'" ;;
    docker | docker-crun)
      # crun wants control groups of one version, which the machine of the tests need not have.
      options=(--with=docker.io,apparmor,crun,openssl --memory=3072)
      [ "$1" = docker ] || options+=(--env=OL_TEST_DOCKER_RUNTIME=/usr/bin/crun)
      guest "$1" "${options[@]}" -- "$what; docker --version; $vitest $tests/docker-conformance.root.test.ts $tests/docker-share-conformance.root.test.ts $tests/docker-ways.root.test.ts"
      ;;
    docker-user)
      guest "$1" --as=user --with=docker.io,apparmor,crun,openssl --memory=3072 --setup='bash /project/scripts/vm/docker-setup.sh' -- \
        "$what; id; scripts/vm/docker-sequence.sh"
      ;;
    no-namespaces)
      guest "$1" --as=user --setup='sysctl -q user.max_user_namespaces=0' -- \
        "$what; node packages/admin/bin/ol-admin.js doctor | grep 'FAIL  sandbox.*max_user_namespaces'"
      ;;
    power)
      disk=$(mktemp -u)
      guest "$1, before" --disk="$disk" --cut="CUT NOW" -- 'scripts/vm/power-cut.sh before'
      guest "$1, after" --disk="$disk" -- 'scripts/vm/power-cut.sh after'
      rm -f "$disk"
      ;;
    power-user)
      disk=$(mktemp -u)
      guest "$1, before" --as=linger --disk="$disk" --cut="CUT NOW" -- 'scripts/vm/power-cut.sh before'
      guest "$1, after" --as=linger --disk="$disk" -- 'scripts/vm/power-cut.sh after'
      rm -f "$disk"
      ;;
    *)
      echo "guest.sh: there is no kind $1" >&2
      exit 2
      ;;
  esac
}

[ $# -gt 0 ] || set -- root delegate linger user v1 power power-user no-namespaces node22 node24 node22-delegate node24-delegate new new-user old docker docker-crun docker-user
for each in "$@"; do kind "$each"; done
echo "guest: $((${#failed[@]})) failed${failed[*]:+: ${failed[*]}}"
[ "${#failed[@]}" = 0 ]
