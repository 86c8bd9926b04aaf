#!/bin/bash
# boot-vm.sh MACHINE PAYLOAD OUT SECONDS: boots the machine that make-vm.sh has put into the folder MACHINE, its changes not kept,
# under software emulation, and runs PAYLOAD/run.sh in it as root. What that writes stands in OUT/result.log, the console in
# OUT/console.log. Ends with run.sh's status; 124: it took too long; 125: it did not say how it ended.
#
# It is emulated even where there is KVM: /dev/kvm may be there and not work, and the machine's own clock tells the same everywhere.
# Unlike in a container, limits of memory hold, and the kernel tells of pressure.
set -u
machine=$(realpath "$1") payload=$(realpath "$2") out=$(realpath "$3") seconds=$4
memory=768 # MiB

tar -C "$payload" -cf "$out/payload.tar" . || exit 125
truncate -s %512 "$out/payload.tar"
timeout -k 5 "$seconds" qemu-system-x86_64 -accel tcg,thread=multi,tb-size=512 -cpu max -smp 2 -m "$memory" -machine q35 \
  -kernel "$machine/vmlinuz" -initrd "$machine/initrd.img" \
  -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off systemd.wants=bed.service \
systemd.mask=serial-getty@ttyS0.service systemd.mask=getty@tty1.service" \
  -drive "file=$machine/disk.img,format=raw,if=virtio,snapshot=on,cache=unsafe" \
  -drive "file=$out/payload.tar,format=raw,if=virtio,readonly=on" \
  -display none -nodefaults -serial "file:$out/console.log" -serial "file:$out/result.raw" -no-reboot </dev/null
status=$?
rm -f "$out/payload.tar"
# The last line is the payload's status; a serial line ends its lines as terminals do.
sed 's/\r$//; /^PAYLOAD-STATUS=/d' "$out/result.raw" >"$out/result.log"
[ "$status" = 0 ] || exit "$status"
status=$(sed -n 's/^PAYLOAD-STATUS=\([0-9]*\)\r*$/\1/p' "$out/result.raw")
exit "${status:-125}"
