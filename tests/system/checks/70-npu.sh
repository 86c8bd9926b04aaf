# The drop-ins for NPUs: systemd takes them, the service serves under them, and only then sees the device. Its /sys and its node
# are made here.

drop_ins=/etc/systemd/system/gemd.service.d
dev_of_service() { nsenter -t "$(unit MainPID)" -m ls /dev/accel; }
npu_line() { gem-client status | grep -A 1 npu-ort; }

mount -t tmpfs tmpfs /sys/class
mkdir -p /sys/class/accel/accel0/device /sys/class/drivers/intel_vpu /dev/accel "$drop_ins" /etc/gemd/npu-ort.d
echo 0x8086 >/sys/class/accel/accel0/device/vendor
ln -s /sys/class/drivers/intel_vpu /sys/class/accel/accel0/device/driver
touch /dev/accel/accel0
mount --bind /dev/null /dev/accel/accel0

systemctl restart gemd.service
report "it serves beside an NPU" answers
report "which has no provider" contains "$(npu_line)" \
  "NPU /dev/accel/accel0 (driver intel_vpu) has no provider: no file of the settings names one"
report "and whose node the service does not see" fails_with "No such file" dev_of_service
printf 'Provider=A\nPath=/nowhere/a.so\n' >/etc/gemd/npu-ort.d/50-npu.conf
systemctl restart gemd.service
report "it serves with a provider that is not there" answers
report "with a provider named, it says that the node is closed to it" contains "$(npu_line)" \
  "NPU /dev/accel/accel0 (driver intel_vpu) is closed to the service: No such file or directory; see drop-in npu.conf"

for name in npu npu-amd npu-qualcomm npu-verisilicon npu-compiles; do
  install -m 0644 "/usr/share/gemd/drop-ins/$name.conf" "$drop_ins/"
  systemctl daemon-reload
  report "the unit has no mistakes with $name.conf" systemd-analyze verify --man=no gemd.service
  report "which is part of it" contains "$(unit DropInPaths)" "$drop_ins/$name.conf"
  systemctl restart gemd.service
  report "it serves with it" answers
  report "it is active" is "$(unit ActiveState)" active
  report "and sees the node" is "$(dev_of_service)" accel0
  report "other devices stay closed" is "$(unit DevicePolicy)" closed
  report "it is in the group that may open it" contains "$(ps -o supgrp= -p "$(unit MainPID)")" render
  report "the provider is missing now" contains "$(npu_line)" "NPU /dev/accel/accel0: "
  npu_line | sed "s/^/# /"
  systemd-analyze security gemd.service | sed -n 's/^→/#/p'
done
report "memory may be locked with npu-amd.conf" is "$(unit LimitMEMLOCK)" infinity
report "Qualcomm's nodes are open with npu-qualcomm.conf" contains "$(unit DeviceAllow)" "/dev/fastrpc-cdsp"
report "memory may be written and run then" is "$(unit MemoryDenyWriteExecute)" no

rm -r "$drop_ins" /etc/gemd/npu-ort.d
umount /dev/accel/accel0 /sys/class
rm -r /dev/accel
systemctl daemon-reload
systemctl restart gemd.service
report "without them it is as it was" is "$(unit MemoryDenyWriteExecute)" yes
report "and serves" answers
