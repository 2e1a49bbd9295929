# SPDX-License-Identifier: BSD-3-Clause
# Packages of the system, by apt-get.

installed() { dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'; }
candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p'; }
is_bookworm() { grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; }

has_catch2() {
  [[ -d $deps/catch2 ]] || at_least "$(installed catch2)" 3 || at_least "$(installed libcatch2-dev)" 3
}

# Neither asks for a password.
as_root() { if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi; }
may_be_root() { ((EUID == 0)) || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }

# purpose <package>: what it is installed for
purpose() {
  case $1 in
    g++) echo "a C++20 compiler" ;;
    cmake | ninja-build) echo "the build" ;;
    libfmt-dev) echo "text (thaw::thaw)" ;;
    libtorch-dev) echo "LibTorch (thaw::thaw)" ;;
    nlohmann-json3-dev) echo "weight files (thaw::io)" ;;
    libxxhash-dev) echo "checksums of checkpoints (thaw::io)" ;;
    libopencv-*) echo "images (thaw::vision)" ;;
    libicu-dev) echo "tokenizers (thaw::text)" ;;
    libgloo-dev) echo "several processes (thaw::distributed)" ;;
    catch2) echo "tests" ;;
    libcli11-dev) echo "command lines of the examples" ;;
    python3-pip) echo "downloads LibTorch, weights and Python tools" ;;
    clang | libclang-rt-*) echo "./dev headers, sanitize, fuzz" ;;
    gcovr) echo "./dev coverage" ;;
  esac
}

readonly install=(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)

# apt_install <package...>: says what they are for
apt_install() {
  local each
  say "to be installed by apt-get:"
  for each in "$@"; do say "  $each: $(purpose "$each")"; done
  may_be_root || die "this takes root, or a sudo that asks for no password. Have root run:" \
    "apt-get update && apt-get install -y --no-install-recommends $*"
  say "apt-get update"
  quietly apt as_root apt-get update </dev/null || true # older lists may do
  say "apt-get install"
  quietly apt "${install[@]}" "$@" </dev/null || failed apt "apt-get could not install $*"
}

# Debian 12 has Catch2 v3 only in its backports: unpacked into .deps, the system's apt sources left alone.
fetch_catch2_backport() {
  local work=$tmp/catch2 apt
  say "unpacking Catch2 v3 from bookworm-backports into .deps/catch2"
  mkdir -p "$work"/{sources,lists/partial,cache/archives/partial,root}
  # shellcheck disable=SC2016 # apt's placeholder: the address that this machine has its bookworm from
  apt-get indextargets --no-release-info --format 'deb $(REPO_URI) bookworm-backports main' \
    'Created-By: Packages' 'Release: bookworm' | sort -u >"$work/sources/backports.list"
  apt=(apt-get -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources"
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
  (cd "$work" && quietly catch2 "${apt[@]}" update && quietly catch2 "${apt[@]}" download libcatch2-dev &&
    quietly catch2 dpkg -x libcatch2-dev_*.deb root) ||
    failed catch2 "Catch2 v3 could not be had from bookworm-backports"
  mv "$work/root" "$deps/catch2"
}

# set_up_packages [python]
set_up_packages() {
  local missing=() each
  for each in c++:g++ cmake:cmake ninja:ninja-build; do
    command -v "${each%:*}" >/dev/null || missing+=("${each#*:}")
  done
  if ! command -v apt-get >/dev/null; then
    [[ ${#missing[@]} == 0 && -n $(python) ]] || die "neither Debian nor Ubuntu, so install these yourself:" \
      "a C++20 compiler, CMake 3.25, Ninja, fmt, Catch2 v3, nlohmann-json, xxHash, OpenCV, ICU, CLI11," \
      "Python 3.8 with pip"
    return 0 # CMake names the libraries that are missing
  fi
  for each in libfmt-dev nlohmann-json3-dev libxxhash-dev libicu-dev libcli11-dev libopencv-imgcodecs-dev \
    libopencv-imgproc-dev; do
    [[ -n $(installed $each) ]] || missing+=("$each")
  done
  if [[ ${1:-} == python ]] || ! has_torch || ! has_data; then
    [[ -n $(python) ]] || missing+=(python3-pip)
  fi
  has_catch2 || is_bookworm || missing+=(catch2)
  ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
  if [[ -z $(installed libgloo-dev) && -n $(candidate libgloo-dev) ]]; then # thaw::distributed alone needs it
    say "apt-get install libgloo-dev: $(purpose libgloo-dev)"
    if ! may_be_root || ! quietly apt "${install[@]}" libgloo-dev </dev/null; then
      say "libgloo-dev could not be installed, so there will be no thaw::distributed"
    fi
  fi
  if ! has_catch2; then
    is_bookworm || die "this system's Catch2 is older than 3; use Debian 12 or 13, Ubuntu 24.04 or newer"
    fetch_catch2_backport
  fi
  at_least "$(cmake --version | sed -n 's/^cmake version //p')" 3.25 ||
    die "$(command -v cmake) is older than CMake 3.25: put a newer one first in PATH," \
      "or remove it so that apt-get's is used"
}

set_up_gcovr() {
  command -v gcovr >/dev/null && return
  command -v apt-get >/dev/null || die "install gcovr"
  apt_install gcovr
}

# Whether Clang is there with libFuzzer and the sanitizers' runtime.
has_clang() {
  local binary result=0
  binary=$(mktemp)
  echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long) { return 0; }' |
    clang++ -fsanitize=fuzzer,address,undefined -x c++ - -o "$binary" 2>>"$log/clang.log" || result=1
  rm -f "$binary"
  return $result
}

set_up_clang() {
  local version
  has_clang && return
  command -v apt-get >/dev/null || die "install Clang with libFuzzer and the sanitizers' runtime"
  apt_install clang
  version=$(clang++ -dumpversion)
  has_clang || apt_install "libclang-rt-${version%%.*}-dev"
  has_clang || failed clang "Clang is there, but cannot build a fuzzer"
}
