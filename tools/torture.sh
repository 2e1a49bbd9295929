#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Kills training runs at random moments, breaks their files, takes away disk and file handles, and starts them again.
#   tools/torture.sh [--seconds N] [--program FILE] [--seed N]        ten minutes by default
# Each run must end as one that was left alone: same weights, optimizer, history, CSV. The last line is
# "tried N, lost 0", and the exit status 0, only if all did.
set -uo pipefail
seconds=600 program=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../build/dev/tests/run_to_kill seed=$RANDOM
while (($#)); do
  case $1 in
    --seconds | --program | --seed) declare "${1#--}=${2:?}" && shift 2 ;;
    *) grep -v SPDX "${BASH_SOURCE[0]}" | sed -n '2,5s/^# //p' >&2 && exit 2 ;;
  esac
done
[[ -x $program ]] || { echo "there is no $program: run ./dev test, or name it by --program" >&2 && exit 2; }
program=$(readlink -f "$program")
export OMP_NUM_THREADS=1
RANDOM=$seed
work=$(mktemp -d)
clean_up() {
  local each
  for each in disk run; do mountpoint -q "$work/$each" && umount "$work/$each"; done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
echo "seed $seed"

tried=0 lost=0
# lose <what happened>: the folder of the run is shown, for whoever looks into it
lose() {
  lost=$((lost + 1))
  echo "LOST: $*"
  tail -n 5 "$work/out" | sed 's/^/  | /'
}

scenarios=(stages ema unfreeze cached workers fits)
declare -A ending length
for scenario in "${scenarios[@]}"; do
  mkdir "$work/alone"
  begin=${EPOCHREALTIME/./}
  "$program" $scenario "$work/alone" >"$work/out" || { cat "$work/out" && echo "$scenario does not run" && exit 1; }
  length[$scenario]=$(((${EPOCHREALTIME/./} - begin) / 1000))
  ending[$scenario]=$(tail -n 1 "$work/out")
  rm -rf "$work/alone"
  echo "$scenario: ${length[$scenario]} ms, ${ending[$scenario]}"
done

mkdir "$work/disk"
may_mount=0
mount -t tmpfs -o size=4m none "$work/disk" 2>/dev/null && umount "$work/disk" && may_mount=1
((may_mount)) || echo "SKIPPED: a full disk and a read-only one; mounting takes root"

start() { "$program" "$scenario" "$folder" $how >"$work/out" 2>&1 & }
# running <milliseconds>: waits so long, or for the run's end
running() { timeout $(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))) tail --pid=$! -f /dev/null; }
# a moment of a run, also before its first step
moment() { running $((RANDOM % (length[$scenario] + 100))); }
newest() { ls "$folder"/checkpoints/checkpoint-*.safetensors 2>/dev/null | tail -n 1; }

# Faults. Each leaves a run that was stopped somehow.
kill_now() { start && moment && kill -KILL $! 2>/dev/null; wait $! 2>/dev/null; }
ask_to_end() {
  start && moment && kill -$1 $! 2>/dev/null
  wait $! 2>/dev/null
  local status=$?
  [[ $status == 0 || $status == $((128 + $(kill -l $1))) ]] || lose "$scenario ended with $status after SIG$1"
}
# may_damage: sets file to the newest checkpoint, if an older one is there and whole
may_damage() {
  ((!damaged)) && [[ $(ls "$folder"/checkpoints/checkpoint-* 2>/dev/null | wc -l) -gt 1 ]] && damaged=1 &&
    file=$(newest)
}
turn_a_bit() { # in the newest, which must be passed over
  local file at
  kill_now
  may_damage || return
  at=$((RANDOM * 32768 % $(stat -c %s "$file") + RANDOM % 64))
  python3 - "$file" $at $((RANDOM % 8)) <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(0, 2)
    at = int(sys.argv[2]) % file.tell()
    file.seek(at)
    byte = file.read(1)[0]
    file.seek(at)
    file.write(bytes([byte ^ 1 << int(sys.argv[3])]))
END
}
cut_short() {
  local file
  kill_now
  may_damage && truncate -s $((RANDOM % $(stat -c %s "$file"))) "$file"
}
remove() {
  local file
  kill_now
  may_damage && rm "$file"
}
no_handles() {
  start && moment && prlimit --pid $! --nofile=3:3 2>/dev/null
  wait $!
  local status=$?
  [[ $status == 0 ]] || grep -q 'Too many open files' "$work/out" || lose "$scenario ended with $status without file handles"
}
small_files() { # as a full disk, where one cannot be had
  (trap '' XFSZ && ulimit -f 20 && exec "$program" "$scenario" "$folder" $how) >"$work/out" 2>&1
  grep -q 'File too large' "$work/out" || [[ $(tail -n 1 "$work/out") == "${ending[$scenario]}" ]] ||
    lose "$scenario on a disk of 20 KB"
}
disk() { # disk <options of a remount> <error>
  start && moment && mount -o "remount,$1" "$folder" 2>/dev/null
  wait $!
  local status=$?
  [[ $status == 0 ]] || grep -Eq "$2" "$work/out" || lose "$scenario ended with $status on a disk of $1"
  mount -o remount,rw,size=16m "$folder"
}

faults=(kill_now kill_now kill_now kill_now "ask_to_end TERM" "ask_to_end INT" cut_short remove no_handles small_files)
if command -v python3 >/dev/null; then faults+=(turn_a_bit); else echo "SKIPPED: turned bits; there is no python3"; fi
((!may_mount)) || faults+=("disk size=200k No.space" "disk ro Read-only")
SECONDS=0
for ((run = 0; SECONDS < seconds; ++run)); do
  scenario=${scenarios[run % ${#scenarios[@]}]} how=''
  ((RANDOM % 2)) || how=asynchronous
  folder=$work/run mounted=0 damaged=0
  mkdir "$folder"
  ((!may_mount)) || { mount -t tmpfs -o size=16m none "$folder" && mounted=1; }
  for ((i = RANDOM % 5 + 1; i > 0; --i)); do
    fault=${faults[RANDOM % ${#faults[@]}]}
    [[ $fault != disk* || $mounted == 1 ]] || continue
    $fault
    tried=$((tried + 1))
    last=$fault
  done
  "$program" "$scenario" "$folder" $how >"$work/out" 2>&1
  [[ $(tail -n 1 "$work/out") == "${ending[$scenario]}" ]] || lose "$scenario $how after $last, run $run of seed $seed"
  ((!mounted)) || umount "$folder"
  rm -rf "$folder"
done
echo "tried $tried, lost $lost"
((lost == 0))
