# build [MESON-OPTION...]: build in ./build
#
# Example: ./dev build --buildtype=release -Dtraining=disabled

ensure_needs build
build_tree "$(build_dir)" "$@"
say "Built in $(build_dir)"
