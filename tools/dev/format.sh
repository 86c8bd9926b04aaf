# format [--check]: put the C sources into the house style
#
# --check changes nothing, names what is not in style, and fails when there is any.

. "$GEM_VERB_DIR/lib/sources.sh"
ensure_needs format
case ${1:-} in
  '') c_sources | xargs -0 -r clang-format -i --style=file ;;
  --check) c_sources | xargs -0 -r clang-format --dry-run -Werror --style=file ;;
  *) die_usage "format: no option '$1'" ;;
esac
