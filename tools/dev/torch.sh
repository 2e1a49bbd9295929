# SPDX-License-Identifier: BSD-3-Clause
# LibTorch: what is there, PyTorch's CPU build, or Debian's.

readonly torch_version=2.13.0
readonly torch_index=https://download.pytorch.org/whl/cpu # PyTorch's own index of its CPU builds
libtorch=${THAW_LIBTORCH:-auto}
torch_dir='' # the folder of TorchConfig.cmake, once it is known

# torch_in <prefix>: sets torch_dir if LibTorch is there
torch_in() {
  local dir
  for dir in "$1"/{share,lib,lib/*}/cmake/Torch; do
    [[ -e $dir/TorchConfig.cmake ]] && torch_dir=$dir && return
  done
}

# Sets torch_dir to what is there already: the user's own, an unpacked wheel, or Debian's.
has_torch() {
  local prefixes prefix
  if [[ -n ${Torch_DIR:-} ]]; then
    [[ -e $Torch_DIR/TorchConfig.cmake ]] || die "Torch_DIR=$Torch_DIR holds no TorchConfig.cmake"
    torch_dir=$Torch_DIR
    return
  fi
  IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  for prefix in "${prefixes[@]}"; do
    torch_in "$prefix" && return
  done
  { [[ $libtorch != debian ]] && torch_in "$deps/libtorch/torch"; } ||
    { [[ $libtorch != wheel ]] && at_least "$(installed libtorch-dev)" 2.6 && torch_in /usr; }
}

# PyTorch's CPU build: from where pip is set to look, or else from PyTorch's own index.
download_torch() {
  local wanted=(torch "$tmp/torch" "torch==$torch_version+cpu"
    --python-version 3.11 --platform "manylinux_2_28_$(uname -m)" --timeout 20)
  say "fetching LibTorch: PyTorch's CPU build $torch_version (200 MB)"
  pip_download "${wanted[@]}" && return
  say "pip did not get it from where it is set to look; trying $torch_index"
  pip_download "${wanted[@]}" --index-url "$torch_index"
}

set_up_torch() {
  if ! has_torch; then
    local free
    free=$(df --output=avail -B 1M "$deps" | tail -n 1)
    ((free >= 3000)) || die "LibTorch and the build take 3000 MB, and only $((free)) MB are free in $deps"
    if [[ $libtorch != debian ]] && download_torch; then
      say "unpacking LibTorch into .deps/libtorch" # the C++ part and the licences; no Python, no test programs
      quietly torch unpack "$tmp"/torch/*.whl "$tmp/libtorch" \
        'torch/(lib/(?!libtorch_python)|include/|share/).*|torch-.*\.dist-info/licenses/.*' ||
        failed torch "the wheel of LibTorch could not be unpacked"
      rm -rf "$deps/libtorch"
      mv "$tmp/libtorch" "$deps/libtorch"
    elif [[ $libtorch != wheel ]] && at_least "$(candidate libtorch-dev)" 2.6; then
      apt_install libtorch-dev
    elif [[ $libtorch == debian ]]; then
      die "THAW_LIBTORCH=debian, yet this system has no package libtorch-dev of version 2.6 or newer"
    else
      failed torch "PyTorch's CPU build $torch_version could not be fetched; Torch_DIR may name a LibTorch of your own"
    fi
    has_torch || die "LibTorch was fetched, yet it holds no TorchConfig.cmake"
  fi
  torch_dir=$(readlink -f "$torch_dir")
  say "LibTorch $(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")$/\1/p' "$torch_dir/TorchConfigVersion.cmake") in $torch_dir"
}
