#!/usr/bin/env bash
# Makes .deps/peers, a Python venv with PyTorch's CPU build, fastai and Lightning, in versions that are fixed here.
#   benchmarks/peers/setup.sh        costs nothing when it is there already
# PyTorch comes first and alone, and nothing after it may bring another. No torchvision: fastai does without it where
# nothing of fastai.vision is used, and the network is in job.py.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
root=$(readlink -f ../..)
readonly root venv=$root/.deps/peers log=$root/.deps/log/peers.log
readonly script=$PWD/setup.sh
setting() { sed -n "s/^readonly $1=\([^ ]*\).*/\1/p" "$root/dev"; } # what ./dev builds with
install() { "$venv/bin/pip" install --disable-pip-version-check --no-deps --only-binary :all: "$@" >>"$log" 2>&1; }
failed() {
  tail -n 6 "$log" | sed 's/^/  | /' >&2
  echo "thaw: the Python peers could not be installed (the whole story: .deps/log/peers.log)" >&2
  exit 1
}

cmp -s "$script" "$venv/setup.sh" && exit 0 # made by this very script
echo "thaw: installing PyTorch, fastai and Lightning into .deps/peers (250 MB)"
rm -rf "$venv"
mkdir -p "${log%/*}"
: >"$log"
python3 -m venv "$venv" || failed
torch="torch==$(setting torch_version)+cpu"
install "$torch" || install "$torch" --index-url "$(setting torch_index)" || failed
install --requirement requirements.txt || failed
"$venv/bin/python" -c '
import torch, fastai.basics, lightning
print("thaw: PyTorch", torch.__version__, "fastai", fastai.__version__, "Lightning", lightning.__version__)' || failed
cp "$script" "$venv/setup.sh" # last: it says that all is there
