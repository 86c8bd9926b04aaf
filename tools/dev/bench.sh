# bench [NAME...]: run the benchmarks and print what they measured
#
# In ./build-release, built with optimisation. What the machine can do at most comes first: "bench limits" for that alone.

. "$GEM_VERB_DIR/lib/results.sh"
ensure_needs build bus
dir=$(build_dir)-release
build_tree "$dir" --buildtype=release
[ $# = 0 ] || require_tests "$dir" --benchmark "$@"
meson test -C "$dir" --no-rebuild --benchmark --verbose --num-processes 1 "$@"
