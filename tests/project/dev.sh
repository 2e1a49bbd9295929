#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# ./dev on a machine that lacks packages, where apt-get, dpkg-query and sudo are dummies: what it says and what it runs.
set -euo pipefail
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset THAW_LIBTORCH Torch_DIR CMAKE_PREFIX_PATH
wrong() { echo "WRONG: $*" && exit 1; }

torch=.deps/libtorch/torch/share/cmake/Torch
mkdir -p "$work"/{bin,tools,.deps/{catch2,data/fashion-mnist},$torch}
cp "$root/dev" "$work" && cp -r "$root/tools/dev" "$work/tools"
touch "$work"/{ran,$torch/TorchConfig{,Version}.cmake,.deps/data/efficientnet-lite0-57934424.pth}
dummy() { echo "$2" >"$work/bin/$1" && sed -i '1i #!/bin/sh' "$work/bin/$1"; }
dummy dpkg-query 'exit 1'
dummy apt-cache 'echo "  Candidate: 1"'
dummy apt-get "echo \"\$DEBIAN_FRONTEND apt-get \$*\" >>$work/ran"
dummy sudo "[ \$1 = -n ] || echo 'sudo that may ask' >>$work/ran; shift; [ \$MAY_SUDO ] && exec \"\$@\""
chmod -R a+rwX "$work" && chmod a+x "$work"/bin/*

# dev <word>...: sets what it says, and how it ends
dev() {
  local user=()
  ((EUID)) || user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  status=0
  said=$(PATH=$work/bin:$PATH "${user[@]}" "$work/dev" "$@" </dev/null 2>&1) || status=$?
}
says() { grep -qF -- "$1" <<<"$said" || wrong "it does not say: $1; it says: $said"; }

dev nonsense
says "there is no command 'nonsense'; ./dev help lists them"
((status == 1)) || wrong "an unknown command ends with $status"

dev help
listed=$(sed -n 's,^\./dev \([a-z]*\) .*,\1,p' <<<"$said" | sort -u)
made=$(sed -n 's/^dev_\([a-z]*\)().*/\1/p' "$root"/tools/dev/*.sh | sort -u)
[[ $listed == "$made" ]] || wrong "help lists other commands than there are: $(diff <(echo "$listed") <(echo "$made"))"

dev setup # by a user who may not install
says "  libopencv-imgcodecs-dev: images (thaw::vision)"
says "Have root run: apt-get update && apt-get install -y --no-install-recommends libfmt-dev"
((status == 1)) && [[ ! -s $work/ran ]] || wrong "it ends with $status, and ran $(<"$work/ran")"

MAY_SUDO=1 dev setup
says "weights and images in $work/.deps/data"
! grep -E '^thaw:   .*: *$' <<<"$said" || wrong "a package without a purpose"
grep -q '^noninteractive apt-get install -y .*libfmt-dev .*libopencv-imgcodecs-dev' "$work/ran" ||
  wrong "it ran $(<"$work/ran")"
! grep 'may ask' "$work/ran" || wrong "sudo may ask for a password"
((status == 0)) || wrong "it ends with $status: $said"
echo "all as it should be"
