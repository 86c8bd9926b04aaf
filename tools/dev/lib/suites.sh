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
  [ $# = 0 ] || require_tests "$dir" "$@"
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

test_suite_sanitize_thread() {
  local dir
  dir=$(build_dir)-sanitize-thread
  try_build "$dir" "Build with the thread sanitizer" -Db_sanitize=thread -Db_lundef=false -Dtraining=disabled || return 0
  run_meson_tests "$dir" "Tests with the thread sanitizer" --setup thread --suite daemon --suite engine --suite plugins
}

# What valgrind looks at, with plain C kernels, since it does not know all instructions of newer ones: files and tokenizer; and
# steps, calls and turns of a whole engine. tests/valgrind/meson.build has the two setups.
gem_valgrind_files=(gguf gguf-writer manifest model-files model-shape tokenizer file-reader)
gem_valgrind_engine=(step one-shot engine)

test_suite_valgrind() {
  local dir
  dir=$(build_dir)
  # A folder that was set up without valgrind does not have its test setups.
  if [ -f "$dir/build.ninja" ]; then
    meson setup --reconfigure "$dir" >/dev/null || die "meson could not set up $dir"
  fi
  try_build "$dir" "Build" || return 0
  run_meson_tests "$dir" "Files and tokenizer under valgrind" --setup valgrind "${gem_valgrind_files[@]}"
  run_meson_tests "$dir" "The engine under valgrind" --setup valgrindlanes "${gem_valgrind_engine[@]}"
}
