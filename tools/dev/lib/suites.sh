# The runs of the test programs.

# try_build DIR TITLE [MESON-OPTION...]: a build that fails is a failed step, not the end of the script.
try_build() {
  local dir=$1 title=$2
  shift 2
  say "== $title"
  if (build_tree "$dir" "$@"); then
    return 0
  fi
  gem_failed=$((gem_failed + 1))
  return 1
}

# test_suite_quick [--werror] [NAME...]
test_suite_quick() {
  local dir options=()
  dir=$(build_dir)
  if [ "${1:-}" = --werror ]; then
    options=(-Dwerror=true)
    shift
  fi
  try_build "$dir" "Build" ${options[@]+"${options[@]}"} || return 0
  run_meson_tests "$dir" "Tests" "$@"
}

test_suite_sanitize() {
  local dir
  dir=$(build_dir)-sanitize
  try_build "$dir" "Build with address and undefined-behaviour sanitizers" \
    -Db_sanitize=address,undefined -Db_lundef=false || return 0
  # Without the real texts: ten times slower, they would say nothing new.
  local data=${GEM_DATA:-}
  unset GEM_DATA
  run_meson_tests "$dir" "Tests with sanitizers" --setup sanitize
  [ -z "$data" ] || export GEM_DATA=$data
}
