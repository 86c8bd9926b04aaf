# arm64 [--npu]: cross-build for aarch64 and run the unit tests under qemu-user (needs root)
#
# Makes a build root of Debian's arm64 packages in ./build-arm64-root once (minutes, about 1.5 GB), then builds and
# tests in it. The last line is "N passed, N failed".
#   --npu   only the tests of backends/npu-ort, on ONNX Runtime for aarch64, fetched as by ./dev npu

. "$GEM_VERB_DIR/lib/results.sh"
. "$GEM_VERB_DIR/lib/npm.sh"
. "$GEM_VERB_DIR/lib/npu.sh"
tests=()
while [ $# -gt 0 ]; do
  case $1 in
    --npu) tests=("${gem_npu_tests[@]}") ;;
    *) die_usage "arm64: unknown option '$1'" ;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || die "arm64 needs root, to make a build root and to enter it"
ensure_needs arm64
root=$GEM_SOURCE_DIR/build-arm64-root

make_root() {
  # ONNX Runtime ends with a bad access when qemu-user 7.2 opens it, and runs under 10.0.
  local mirror=http://deb.debian.org/debian
  local packages=crossbuild-essential-arm64,meson,ninja-build,pkg-config,qemu-user/bookworm-backports,dbus-daemon,libglib2.0-bin
  packages+=,libglib2.0-dev:arm64,libglib2.0-dev-bin,libsystemd-dev:arm64,libgcrypt20-dev:arm64,libjson-glib-dev:arm64,libopenblas-dev:arm64,libstdc++6:arm64
  say "Making an arm64 build root in $root ..."
  rm -rf "$root.part"
  mmdebstrap --variant=minbase --architectures=amd64,arm64 --include="$packages" bookworm "$root.part" \
    "deb $mirror bookworm main" "deb $mirror bookworm-backports main" >&2 ||
    die "mmdebstrap failed"
  mkdir -p "$root.part/source" "$root.part/build"
  mv "$root.part" "$root"
}

# Kernels from 6.7 on know binary formats by user namespace: there, programs that tests start run as well, and nothing
# outside of it changes. Elsewhere meson hands each test to the emulator, and tests that start others skip themselves.
readonly enter_transparently='
  mount -t binfmt_misc none "$2/mnt" &&
  printf %s ":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$2/usr/bin/qemu-aarch64:F" >"$2/mnt/register" &&'

# A user namespace with all users of a system in it, since some tests act as another one.
open_namespace() {
  local i
  setsid setpriv --pdeathsig KILL unshare --user sleep infinity &
  namespace_pid=$!
  at_exit 'kill -KILL "$namespace_pid" 2>/dev/null'
  for ((i = 0; i < 100; i++)); do
    [ "$(readlink "/proc/$namespace_pid/ns/user")" = "$(readlink /proc/self/ns/user)" ] || break
    sleep 0.05
  done
  { echo 0 0 65536 >"/proc/$namespace_pid/uid_map" && echo 0 0 65536 >"/proc/$namespace_pid/gid_map"; } 2>/dev/null
}

transparent_works() {
  open_namespace && nsenter --user --target "$namespace_pid" unshare --mount --pid --fork \
    bash -c "$enter_transparently true" - - "$root" 2>/dev/null
}

write_cross_file() {
  cat >"$root/arm64.ini" <<CROSS
[binaries]
c = 'aarch64-linux-gnu-gcc'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'aarch64-linux-gnu-pkg-config'
$([ "$transparent" = yes ] || echo "exe_wrapper = 'qemu-aarch64'")
[properties]
needs_exe_wrapper = $([ "$transparent" = yes ] && echo false || echo true)
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
CROSS
}

# run_inside COMMAND: in the root, with the sources bound read-only at /source.
run_inside() {
  local namespace=() enter=
  [ "$transparent" = no ] || namespace=(nsenter --user --target "$namespace_pid") enter=$enter_transparently
  ${namespace[@]+"${namespace[@]}"} unshare --mount --pid --fork --kill-child bash -c "$enter"'
    mount --bind "$1" "$2/source" && mount -o remount,bind,ro "$2/source" &&
      exec chroot "$2" bash -c "mount -t proc proc /proc && cd /source && $3"' - \
    "$GEM_SOURCE_DIR" "$root" "$1"
}

[ -d "$root" ] || make_root
transparent=no
! transparent_works || transparent=yes
write_cross_file
run_inside 'meson setup /build --cross-file /arm64.ini $([ ! -f /build/build.ninja ] || echo --reconfigure) && ninja -C /build' >&2 ||
  die "the cross-build failed"
library=
if [ ${#tests[@]} -gt 0 ]; then
  fetch_onnxruntime "$(build_dir)/onnxruntime"
  install -D "$(build_dir)/onnxruntime/arm64/libonnxruntime.so.1" "$root/onnxruntime/libonnxruntime.so.1"
  library=/onnxruntime/libonnxruntime.so.1
fi
say "== Tests under qemu-user"
rm -f "$root"/build/meson-logs/testlog*.json
status=0
run_inside "GEM_ORT_LIBRARY=$library GEM_TEST_PATIENCE=30 meson test -C /build --no-rebuild --print-errorlogs --timeout-multiplier 30 ${tests[*]}" >&2 ||
  status=$?
log=$(compgen -G "$root/build/meson-logs/testlog*.json") || die "meson test left no log"
add_counts "$log" "$status"
report_results
