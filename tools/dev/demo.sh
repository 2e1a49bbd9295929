# SPDX-License-Identifier: BSD-3-Clause
# The demo, and the examples.

# in_processes <number> <program> <argument...>: the program in so many processes, as torchrun --no-python starts them,
# which share the processors; where one fails, all end
in_processes() {
  [[ ${1:-} =~ ^[1-9][0-9]?$ ]] || die "--processes takes a number of processes, not '${1:-}'"
  local rank processors started=() failed=0
  processors=$(nproc)
  export WORLD_SIZE=$1 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + RANDOM % 10000))
  export OMP_NUM_THREADS=$((processors > $1 ? processors / $1 : 1))
  for ((rank = 0; rank < $1; ++rank)); do
    RANK=$rank LOCAL_RANK=$rank "${@:2}" &
    started+=($!)
  done
  for ((rank = 0; rank < $1; ++rank)); do
    wait -n || { failed=1; kill "${started[@]}" 2>/dev/null || true; }
  done
  return $failed
}

# Threads that spin while they wait take the processors from whoever else runs: docs/performance.md
wait_passively() { export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}; }

# dev_demo [--processes N] [option of the demo...]
dev_demo() {
  local program=build/dev/examples/fine_tune_fashion
  prepare
  wait_passively
  configure dev
  build dev --target fine_tune_fashion
  if [[ ${1:-} == --processes ]]; then
    in_processes "${2:-}" $program --data "$data" --out out/ "${@:3}"
  else
    $program --data "$data" --out out/ "$@"
  fi
}

# dev_example <name> [option of the example...]
dev_example() {
  [[ -e examples/${1:-}.cpp ]] || die "name one of $(cd examples && echo ./*.cpp | sed 's,\./,,g; s/\.cpp//g')"
  prepare
  wait_passively
  configure dev
  build dev --target "$1"
  cd "$from" && "$OLDPWD/build/dev/examples/$1" "${@:2}"
}
