# tidy [FILE...]: clang-tidy over the C sources (or the files given)
#
# Uses the build's compile commands; takes some minutes for the whole tree.

. "$GEM_VERB_DIR/lib/sources.sh"
for file in "$@"; do
  [ -f "$file" ] || die_usage "tidy: no file '$file'"
done
ensure_needs build tidy
build_tree "$(build_dir)"
list_files() {
  if [ $# -gt 0 ]; then
    printf '%s\0' "$@"
  else
    c_sources '*.c'
  fi
}
# Files that the build leaves out have no compile command.
known_to_build() {
  local file
  while IFS= read -r -d '' file; do
    grep -qF "${file#./}\"" "$(build_dir)/compile_commands.json" && printf '%s\0' "$file"
  done
}
list_files "$@" | known_to_build |
  xargs -0 -r -n 1 -P "$(job_count)" clang-tidy --quiet -p "$(build_dir)" \
    --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument
