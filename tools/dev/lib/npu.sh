# ONNX Runtime as onnxruntime-node carries it: one shared library for each architecture.

# What tests backends/npu-ort and needs the library for a part of it.
readonly gem_npu_tests=(npu-ort npu-forms npu-discovery npu-provider npu-blobs placement placement-guards placement-moves)

readonly gem_ort_version=1.30.0
readonly gem_ort_sum=b7086cd42d82fc1164cf5c9ce4e634288536194aba0d444eee10f86f1e50d90cb79c0309c115d6f31537355733136f5503d96894b3987a9a03f1f8d318e7c8ab

# fetch_onnxruntime DIR: makes DIR/x64 and DIR/arm64, once. Where it cannot be had the script ends with the status of a test that
# was left out.
fetch_onnxruntime() {
  local dir=$1 part=$1.part
  [ ! -d "$dir" ] || return 0
  say "Fetching ONNX Runtime of onnxruntime-node $gem_ort_version from the npm registry (114 MB) ..."
  rm -rf "$part"
  if ! fetch_npm_package onnxruntime-node "$gem_ort_version" "$gem_ort_sum" "$part"; then
    say "npu: skipped: $npm_reason"
    exit 77
  fi
  mkdir -p "$part/x64" "$part/arm64" &&
    mv "$part"/package/bin/napi-v*/linux/x64/libonnxruntime.so.1 "$part/x64/" &&
    mv "$part"/package/bin/napi-v*/linux/arm64/libonnxruntime.so.1 "$part/arm64/" &&
    rm -rf "$part/package" && chmod -R go-w "$part" && mv "$part" "$dir" || die "npu: ONNX Runtime $gem_ort_version cannot be unpacked"
}
