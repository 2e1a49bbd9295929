# SPDX-License-Identifier: BSD-3-Clause
# Hostile weight files.

# fuzz_reader <seconds> <reader>
fuzz_reader() {
  local out=build/fuzz log_file=build/fuzz/$2.log longest=16384
  case $2 in index | safetensors) longest=1000000 ;; esac # deep JSON takes many bytes
  mkdir -p $out/corpus/"$2" $out/found
  OMP_NUM_THREADS=1 $out/fuzz_weights --reader="$2" "-max_total_time=$1" -max_len=$longest -timeout=10 \
    -rss_limit_mb=1024 -malloc_limit_mb=256 "-artifact_prefix=$out/found/$2-" $out/corpus/"$2" \
    tests/fixtures/weights tests/fuzz/seeds >"$log_file" 2>&1 || {
    tail -n 40 "$log_file" >&2
    say "the reader of $2 failed: see above, and $log_file; the file is in $out/found" >&2
    return 1
  }
  say "$2: $(sed -n 's/^#\([0-9]*\).*DONE *cov: \([0-9]*\).*/\1 files, nothing found/p' "$log_file")"
}

# fuzz_seed <mutations> <seed>
fuzz_seed() {
  local out=build/fuzz reader=any name log_file
  name=$(basename "$2")
  log_file=$out/seed-$name.log
  case $name in *.pkl) reader=pickle ;; *.json) reader=index ;; esac
  rm -rf "$out/seed/$name"
  mkdir -p "$out/seed/$name" $out/found
  cp "$2" "$out/seed/$name"
  OMP_NUM_THREADS=1 $out/fuzz_weights --reader=$reader "-runs=$1" -print_final_stats=1 -timeout=1 -max_len=16384 \
    -rss_limit_mb=1024 -malloc_limit_mb=256 "-artifact_prefix=$out/found/$name-" "$out/seed/$name" \
    >"$log_file" 2>&1 || {
    tail -n 40 "$log_file" >&2
    say "a mutation of $2 failed: see above, and $log_file; the file is in $out/found" >&2
    return 1
  }
  rm -rf "$out/seed/$name"
  say "$name: $(sed -n 's/^stat::number_of_executed_units: *\([0-9]*\)/\1 mutations, nothing found/p' "$log_file")"
}

# dev_fuzz [seconds], or dev_fuzz <mutations> each: what was found stays in build/fuzz/found, what made the readers do
# something new in build/fuzz/corpus
dev_fuzz() {
  [[ "$*" =~ ^([1-9][0-9]*( each)?)?$ ]] ||
    die "./dev fuzz takes a number of seconds, or a number of mutations and the word each, not '$*'"
  prepare
  set_up_clang
  say "configuring build/fuzz"
  quietly configure cmake -G Ninja -S tests/fuzz -B build/fuzz -DCMAKE_CXX_COMPILER=clang++ "-DTorch_DIR=$torch_dir" ||
    failed configure "CMake could not configure"
  cmake --build build/fuzz --target fuzz_weights || die "the build failed: see above"
  if [[ ${2:-} == each ]]; then
    in_parallel "$(find tests/fuzz/seeds tests/fixtures/weights -type f ! -name expected.json | LC_ALL=C sort)" \
      fuzz_seed "$1" || die "mutations failed: see above"
  else
    in_parallel "any pickle zip legacy safetensors index" fuzz_reader "${1:-60}" || die "readers failed: see above"
  fi
}
