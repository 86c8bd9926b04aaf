#!/bin/bash
# cycles.sh ONCE CPU SET KERNEL ...: what one call of a kernel costs on a CPU that is not there.
#
# qemu-user runs kernelcheck-once (ONCE; see once.c for the words after CPU) and writes down each instruction that the call
# runs; llvm-mca, which knows how many instructions of which kind the CPU starts in a cycle and how long their results take,
# goes through them in that order. It takes every load as one from the first-level cache and every branch as foreseen: a lower
# bound of the cycles, not a measurement. Prints instructions, micro-operations, cycles, and the cycles in which the two units of
# vector arithmetic (the first multiplies, the second shifts) and the one that loads were busy.
set -euo pipefail

once=$1 cpu=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

QEMU_CPU=$cpu qemu-aarch64 -singlestep -d exec,nochain -D "$folder/trace" "$once" "$@"
aarch64-linux-gnu-objdump -d --no-show-raw-insn "$once" >"$folder/listing"

# The call as one straight run: where a branch or an address points to does not matter. llvm-mca would wait a hundred cycles
# for a call to come back; here it is a branch, and what it calls follows.
awk '
  NR == FNR {
    if (match($0, /^ +[0-9a-f]+:\t/)) {
      address = substr($0, 1, RLENGTH - 2)
      gsub(/ /, "", address)
      text = substr($0, RLENGTH + 1)
      sub(/ *(\/\/|<).*/, "", text)
      split(text, words, "\t")
      if (words[1] ~ /^(bl|blr|br|ret)$/) text = "b\t#0"
      else if (words[1] ~ /^(b|b\..*|cbn?z|tbn?z|adrp?)$/) sub(/[0-9a-f]+ *$/, "#0", text)
      instructions[address] = text
    }
    next
  }
  $NF == "gem_once" { inside = 1 }
  inside && $NF == "main" { exit }
  inside {
    split($4, parts, "/")
    sub(/^0+/, "", parts[2])
    print instructions[parts[2]]
  }' "$folder/listing" "$folder/trace" >"$folder/run.s"
[ -s "$folder/run.s" ] || { echo "cycles.sh: no instruction of gem_once was seen" >&2; exit 1; }

llvm-mca -mtriple=aarch64-linux-gnu -mcpu="$cpu" -iterations=1 "$folder/run.s" >"$folder/report"
awk '
  /^Instructions:/ { instructions = $NF }
  /^Total Cycles:/ { cycles = $NF }
  /^Total uOps:/ { operations = $NF }
  /^\[[0-9.]+\] +- / { unit[++units] = substr($3, length("A57Unit") + 1) }
  /^Resource pressure per iteration:/ { getline; getline; for (i = 1; i <= NF; i++) load[unit[i]] += $i }
  END { printf "%d %d %d %d %d %d\n", instructions, operations, cycles, load["W"], load["X"], load["L"] }' "$folder/report"
