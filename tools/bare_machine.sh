#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Tries ./dev where nothing is set up: a minimal Debian, made by debootstrap, that holds a fresh clone of this checkout.
#   tools/bare_machine.sh [bookworm|trixie]... [setup|test|demo]... [--libtorch=debian|wheel]     (as root)
# Without words: both systems, test and demo. What the machine needs to reach its registries is carried in: proxies,
# certificates, pip's configuration and the local files and folders that it names. Nothing of it is left behind.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

suites=() commands=() libtorch=auto
for word; do
  case $word in
    bookworm | trixie) suites+=("$word") ;;
    setup | test | demo) commands+=("$word") ;;
    --libtorch=*) libtorch=${word#*=} ;;
    *) grep -v SPDX "${BASH_SOURCE[0]}" | sed -n '2,5s/^# //p' >&2 && exit 2 ;;
  esac
done
((${#suites[@]})) || suites=(bookworm trixie)
((${#commands[@]})) || commands=(test demo)
((EUID == 0)) || { echo "bare_machine: run as root, debootstrap and chroot need it" >&2 && exit 2; }
command -v debootstrap >/dev/null || { echo "bare_machine: apt-get install debootstrap" >&2 && exit 2; }

# shellcheck disable=SC2016 # these are apt's placeholders
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
rooms=$(mktemp -d "${TMPDIR:-/var/tmp}/thaw-bare.XXXXXX")
trap 'rm -rf --one-file-system "$rooms"' EXIT # all mounts live in another mount namespace and end with it

# What is named by pip's files and by the environment: constraints, certificates, folders of wheels, indexes; and these
# files of pip's. `pip config list` prints key='value value', of the variables PIP_* too.
named() {
  {
    python3 -m pip config list | sed -E "s/^[^=]*=//; s/^'(.*)'$/\1/; s/\\\\n/ /g"
    env | sed -nE 's/^([A-Z_]*CA_BUNDLE|SSL_CERT_FILE)=//p'
    python3 -m pip config debug | sed -nE 's/^ *(\/.*), exists: True$/\1/p'
  } | tr ' ' '\n' | sed -E 's|^file://||; s|/simple/?$||' | grep '^/' | sort -u
}

# make <root> <suite>: a minimal system that can reach what this machine can reach
make() {
  local root=$1 each
  debootstrap --variant=minbase "$2" "$root" "$mirror" >"$rooms/debootstrap.log" 2>&1 || {
    tail -n 5 "$rooms/debootstrap.log" >&2
    return 1
  }
  cp /etc/resolv.conf "$root/etc/"
  { grep -ls '^Acquire::' /etc/apt/apt.conf.d/* || true; } | xargs -r cp -t "$root/etc/apt/apt.conf.d"
  mkdir -p "$root/etc/ssl/certs" "$root/usr/local/share/ca-certificates"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  cp -L /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  named | while read -r each; do
    [[ ! -f $each ]] || install -D -m 644 "$each" "$root$each"
  done
  git clone --quiet --no-local . "$root/root/thaw"
}

# inside <root> <command...>: runs it there, with mounts and processes that end with it
inside() {
  local keep
  mapfile -t keep < <(env | grep -iE '^(PIP_[A-Z_]*|[a-z]*_proxy|[A-Z_]*CA_BUNDLE|SSL_CERT_[A-Z]*)=')
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -euc '
    root=$1
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/dev/shm"
    while read -r folder; do
      [[ -d $folder ]] || continue
      mkdir -p "$root$folder"
      mount --bind -o ro "$folder" "$root$folder"
    done <<<"$2"
    exec chroot "$root" env -i "${@:3}"' - "$1" "$(named)" \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "THAW_LIBTORCH=$libtorch" "${keep[@]}" "${@:2}"
}

summary=() failures=0
for suite in "${suites[@]}"; do
  root=$rooms/$suite
  make "$root" "$suite"
  for command in "${commands[@]}"; do
    printf '== %s: ./dev %s\n' "$suite" "$command"
    SECONDS=0
    if inside "$root" "/root/thaw/dev" "$command"; then verdict=ok; else verdict=FAILED failures=$((failures + 1)); fi
    summary+=("$suite: ./dev $command: $verdict, $SECONDS s")
  done
  rm -rf --one-file-system "$root"
done
printf '%s\n' "${summary[@]}"
exit $((failures > 0))
