# kernels [--arm64] [OPTION...]: check or measure the kernels of every instruction set (kernelcheck)
#
# Builds the kernels alone, which takes seconds, in ./build-kernels. Options are kernelcheck's: --set NAME, --kernel NAME,
# --require NAME,..., --seed N, --bench (--help lists them after --).
# With --arm64 it builds them for aarch64 in ./build-kernels-arm64 and runs them under qemu-user: without options neon and
# neon-dot each on an emulated processor that has no more than the set needs, neon-i8mm on QEMU's max, which has everything,
# and fails if one is missing there; with options once, on the processor that QEMU_CPU names, or on one that must have all
# sets.

readonly arm64_sets=reference,neon,neon-dot,neon-i8mm

# run_arm64 PROCESSOR OPTION...
run_arm64() {
  local processor=$1
  shift
  QEMU_CPU=$processor qemu-aarch64 -L /usr/aarch64-linux-gnu "$dir/tests/kernelcheck/kernelcheck" "$@"
}

# An instruction that a set must not have is an illegal one there, but on the last. The first checks the reference as well.
check_arm64() {
  local status=0
  echo "# cortex-a72"
  run_arm64 cortex-a72 --require reference,neon || status=1
  echo "# cortex-a76"
  run_arm64 cortex-a76 --require reference,neon,neon-dot --set neon-dot || status=1
  echo "# max"
  run_arm64 max --require "$arm64_sets" --set neon-i8mm || status=1
  return "$status"
}

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
  if [ $# -eq 0 ]; then
    check_arm64
  elif [ -n "${QEMU_CPU:-}" ]; then
    run_arm64 "$QEMU_CPU" "$@"
  else
    run_arm64 max --require "$arm64_sets" "$@"
  fi
  exit
fi
dir=$(build_dir)-kernels
build_tree "$dir" -Dkernels_only=true
exec "$dir/tests/kernelcheck/kernelcheck" "$@"
