#!/bin/bash
# The inner loops of gem-bench limits, and those of kernelcheck --bench, are what the compiler has made of them: each
# still has one instruction for each of its chains. A loop in which chains were found to be the same, or products with 1 to be none, counts right and measures
# nothing. Speaks TAP.
set -u

program=${GEM_BUILD_DIR:?}/bench/gem-bench
objdump=$(${GEM_TEST_CC:?} -print-prog-name=objdump)
number=0

# expect FUNCTION COUNT PATTERN: at least so many instructions of the function match.
expect() {
  local code found
  code=$("$objdump" -d --no-show-raw-insn --disassemble="$1" "$program" | grep $'^ *[0-9a-f]*:\t')
  number=$((number + 1))
  if [ -z "$code" ]; then
    echo "ok $number $1 # SKIP the compiler does not know these instructions"
    return
  fi
  found=$(grep -cE "$3" <<<"$code")
  if [ "$found" -ge "$2" ]; then
    echo "ok $number $1 has $2 of $3"
  else
    echo "not ok $number $1 has $2 of $3"
    echo "# found $found"
  fi
}

if ! "$objdump" -f "$program" >/dev/null 2>&1; then
  echo "1..0 # SKIP no objdump that reads $program"
  exit 0
fi
case $("$objdump" -f "$program") in
  *x86-64*)
    expect gem_limits_avx2_int8 8 vpmaddubsw
    expect gem_limits_avx2_int8 8 vpmaddwd
    expect gem_limits_avx2_fp32 12 'vfmadd[0-9]*ps.*%ymm'
    expect gem_limits_avx_vnni_int8 12 'vpdpbusd.*%ymm'
    expect gem_limits_avx512_vnni_int8_256 12 'vpdpbusd.*%ymm'
    expect gem_limits_avx512_vnni_int8 16 'vpdpbusd.*%zmm'
    expect gem_limits_amx_int8 6 tdpbssd
    expect gem_limits_avx512_bf16 16 'vdpbf16ps.*%zmm'
    expect gem_limits_avx512_fp32 16 'vfmadd[0-9]*ps.*%zmm'
    expect gem_limits_read_portable 8 paddq
    expect gem_limits_read_avx2 8 '(vpadd|vmov).*\(%r.*\),.*%ymm'
    expect gem_limits_read_avx512 8 '(vpadd|vmov).*\(%r.*\),.*%zmm'
    program=${GEM_BUILD_DIR:?}/tests/kernelcheck/kernelcheck
    expect kernelcheck_int8_avx2 12 'vpmaddubsw.*%ymm'
    expect kernelcheck_floats_avx2 12 'vfmadd[0-9]*ps.*%ymm'
    expect kernelcheck_int8_avx2_vnni 12 'vpdpbusd.*%ymm'
    expect kernelcheck_int8_avx512 12 'vpdpbusd.*%zmm'
    expect kernelcheck_int8_avx512_amx 6 tdpbssd
    expect kernelcheck_floats_avx512 12 'vfmadd[0-9]*ps.*%zmm'
    ;;
  *aarch64*)
    expect gem_limits_neon_int8 8 smull
    expect gem_limits_neon_int8 8 smlal2
    expect gem_limits_neon_int8 8 sadalp
    expect gem_limits_neon_fp32 16 fmla
    expect gem_limits_neon_dot 16 sdot
    expect gem_limits_neon_i8mm 16 smmla
    expect gem_limits_read_neon 16 'add.*\.2d'
    program=${GEM_BUILD_DIR:?}/tests/kernelcheck/kernelcheck
    expect kernelcheck_int8_neon 12 smlal
    expect kernelcheck_floats_neon 12 fmla
    expect kernelcheck_int8_neon_dot 12 sdot
    expect kernelcheck_int8_neon_i8mm 12 smmla
    ;;
esac
echo "1..$number"
