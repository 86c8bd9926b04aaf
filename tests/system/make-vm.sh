#!/bin/bash
# make-vm.sh MACHINE RELEASE PACKAGES: that release of Debian, small, with these packages (separated by commas) and a kernel, for
# boot-vm.sh: the folder MACHINE with disk.img, vmlinuz and initrd.img. Needs root, mmdebstrap and mke2fs.
set -eu
machine=$1 release=$2 packages=$3,udev,kmod,initramfs-tools,linux-image-cloud-amd64

write_unit() {
  cat >"$machine/bed.service" <<'UNIT'
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'mkdir -p /payload && tar -C /payload -xf /dev/vdb && /bin/bash /payload/run.sh; echo PAYLOAD-STATUS=$?'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
TimeoutStartSec=1800
Environment=TERM=dumb SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0 SYSTEMD_PAGER=cat COLUMNS=200
UNIT
}

# What only the console and the disk need goes into the initial file system: it is unpacked by an emulated processor.
write_hook() {
  cat >"$machine/hook.sh" <<'HOOK'
#!/bin/sh
set -eu
printf 'virtio_pci\nvirtio_blk\n' >"$1/etc/initramfs-tools/modules"
sed -i 's/^MODULES=.*/MODULES=list/' "$1/etc/initramfs-tools/initramfs.conf"
chroot "$1" update-initramfs -u
: >"$1/etc/machine-id"
echo bed >"$1/etc/hostname"
HOOK
  chmod +x "$machine/hook.sh"
}

mkdir -p "$machine"
machine=$(realpath "$machine")
write_unit
write_hook
mmdebstrap --quiet --variant=minbase --include="$packages" --customize-hook="$machine/hook.sh" \
  --customize-hook="copy-in $machine/bed.service /usr/lib/systemd/system" \
  --customize-hook="cp \"\$1\"/boot/vmlinuz-* $machine/vmlinuz; cp \"\$1\"/boot/initrd.img-* $machine/initrd.img" \
  "$release" "$machine/root.tar"
mkdir "$machine/root"
tar -C "$machine/root" -xpf "$machine/root.tar"
truncate -s 2G "$machine/disk.img"
mke2fs -q -t ext4 -d "$machine/root" "$machine/disk.img"
rm -rf "$machine/root" "$machine/root.tar" "$machine/hook.sh" "$machine/bed.service"
