# npu [--bench]: the tests of backends/npu-ort on ONNX Runtime: its CPU provider, and one made for tests
#
# ONNX Runtime comes prebuilt from the npm registry (package onnxruntime-node, 114 MB) into ./build/onnxruntime; where that is
# not possible, one line says why and the status is 77. There is no NPU in this: see docs/npu.md.
#   --bench   measures pathways on backend npu-ort beside backend cpu instead

. "$GEM_VERB_DIR/lib/npm.sh"
. "$GEM_VERB_DIR/lib/npu.sh"
bench=no
while [ $# -gt 0 ]; do
  case $1 in
    --bench) bench=yes ;;
    *) die_usage "npu: unknown option '$1'" ;;
  esac
  shift
done

ensure_needs build
build=$(build_dir)
fetch_onnxruntime "$build/onnxruntime"
export GEM_ORT_LIBRARY=$build/onnxruntime/x64/libonnxruntime.so.1
[ "$(uname -m)" = aarch64 ] && GEM_ORT_LIBRARY=$build/onnxruntime/arm64/libonnxruntime.so.1
build_tree "$build"
if [ "$bench" = no ]; then
  exec meson test -C "$build" --no-rebuild "${gem_npu_tests[@]}"
fi
choose_model
GEM_NPU_ORT_DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$GEM_NPU_ORT_DIR"' EXIT
printf 'Library=%s\nAllowCpu=yes\n' "$GEM_ORT_LIBRARY" >"$GEM_NPU_ORT_DIR/cpu.conf"
export GEM_NPU_ORT_DIR GEMD_PLUGIN_DIR=$build/plugins
for backend in cpu npu-ort; do
  "$build/bench/gem-bench" speed "$gem_model" -t 1 --backend "$backend" || exit 1
done
