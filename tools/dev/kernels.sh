# kernels [--arm64] [OPTION...]: check or measure the kernels of every instruction set (kernelcheck)
#
# Builds the kernels alone, which takes seconds, in ./build-kernels; with --arm64 for aarch64 in ./build-kernels-arm64, run
# under qemu-user. Options are kernelcheck's: --set NAME, --kernel NAME, --seed N, --bench (--help lists them after --).

ensure_needs build
target=native
if [ "${1:-}" = --arm64 ]; then
  target=arm64
  shift
fi
[ "${1:-}" != -- ] || shift
if [ "$target" = arm64 ]; then
  ensure_needs kernels_arm64
  dir=$(build_dir)-kernels-arm64
  [ -f "$dir/build.ninja" ] ||
    meson setup "$dir" "$GEM_SOURCE_DIR" -Dkernels_only=true --cross-file tests/kernelcheck/arm64.ini >&2 ||
    die "meson could not set up $dir"
  run_ninja "$dir" || die "the build failed"
  exec qemu-aarch64 -L /usr/aarch64-linux-gnu "$dir/tests/kernelcheck/kernelcheck" "$@"
fi
dir=$(build_dir)-kernels
build_tree "$dir" -Dkernels_only=true
exec "$dir/tests/kernelcheck/kernelcheck" "$@"
