#!/bin/bash
# boot-nspawn.sh ROOT PAYLOAD OUT SECONDS: boots ROOT under systemd-nspawn, its changes kept in memory, and runs PAYLOAD/run.sh in
# it as root. What that writes stands in OUT/result.log, the console in OUT/console.log. Ends with run.sh's status; 124: it took
# too long. PAYLOAD "-": boots a plain ROOT, with nothing of ours in it, and ends with 0 when it did. Needs root.
set -u
root=$(realpath "$1") payload=$2 out=$(realpath "$3") seconds=$4
groups=()

# Where the control groups are of the old kind, nspawn leaves its own behind: keep them below one of ours.
enter_groups() {
  local hierarchy group
  for hierarchy in unified systemd; do
    group=/sys/fs/cgroup/$hierarchy/gemd-bed-$$
    mkdir "$group" 2>/dev/null && echo $$ >"$group/cgroup.procs" && groups+=("$group")
  done
}

leave_groups() {
  local group
  for group in "${groups[@]}"; do
    echo $$ >"${group%/*}/cgroup.procs"
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
  done
}

write_unit() {
  cat >"$out/bed.service" <<UNIT
[Unit]
After=multi-user.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash /payload/run.sh
StandardOutput=append:/out/result.log
StandardError=inherit
Environment=TERM=dumb SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0 COLUMNS=200
UNIT
}

enter_groups
trap leave_groups EXIT
if [ "$payload" = - ]; then
  ours=(systemd.run=/bin/true)
else
  payload=$(realpath "$payload")
  write_unit
  ours=(--bind="$out:/out" --bind-ro="$payload:/payload" --bind-ro="$out/bed.service:/usr/lib/systemd/system/bed.service"
    systemd.wants=bed.service)
fi
timeout -k 10 "$seconds" systemd-nspawn -q --register=no --keep-unit --private-network --boot -D "$root" --volatile=overlay \
  --console=read-only "${ours[@]}" </dev/null >"$out/console.log" 2>&1
