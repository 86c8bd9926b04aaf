# The fuzzers' runs, of ./dev fuzz and ./dev test.

# fuzz_one DIR SECONDS NAME: ends with 0 when nothing broke, and says how much was tried.
fuzz_one() {
  local dir=$1 seconds=$2 name=$3 log=$1/fuzz-$3.log status=0
  mkdir -p "$dir/corpus/$name" "$dir/crashes"
  G_DEBUG=fatal-warnings ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    "$dir/tests/fuzz/fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$dir/crashes/$name-" "$dir/corpus/$name" "$dir/tests/fuzz/seeds/$name" </dev/null >"$log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    tail -n 60 "$log" >&2
    return "$status"
  fi
  awk -v name="$name" '
    /^#.* cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") edges = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
    /number_of_executed_units/ { tried = $2 }
    END { printf "%-14s %9d inputs tried, %6d edges seen, %s inputs kept\n", name, tried, edges, corpus }' "$log" |
    tee -a "$dir/executions.log" >&2
}

# report_executions DIR: what each fuzzer has tried in this run, and all of them.
report_executions() {
  [ -s "$1/executions.log" ] || return 0
  say "== Executions"
  awk '{ print; sum += $2 } END { printf "%-14s %9d inputs tried\n", "all", sum }' "$1/executions.log" >&2
}

# test_suite_fuzz SECONDS [NAME...]
test_suite_fuzz() {
  local dir seconds=$1 name names=()
  shift
  dir=$(build_dir)-fuzz
  names=("$@")
  [ $# -gt 0 ] || mapfile -t names < <(sed -n "s/^  '\([a-z]*\)': {'deps'.*/\1/p" tests/fuzz/meson.build)
  say "== Build of the fuzzers"
  if ! (CC=clang configure_build "$dir" -Dfuzzers=true -Dtraining=disabled -Db_sanitize=address,undefined -Db_lundef=false &&
    run_ninja "$dir" fuzzers); then
    gem_failed=$((gem_failed + 1))
    return
  fi
  rm -f "$dir/executions.log"
  for name in "${names[@]}"; do
    run_step "Fuzzer $name, $seconds s" fuzz_one "$dir" "$seconds" "$name"
  done
  report_executions "$dir"
}
