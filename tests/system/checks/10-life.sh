# The unit and the service's life: start, stop, reload, and what happens when it dies or hangs.

report "the unit has no mistakes" systemd-analyze verify --man=no gemd.service
report "exposure is 1.5 at most" systemd-analyze security --threshold=15 gemd.service
report "so is that of the process that learns" systemd-analyze security --threshold=15 gemd-adapt@0.service
exposure=$(systemd-analyze security gemd.service | sed -n 's/^→ Overall exposure level for gemd.service: \([0-9.]*\).*/\1/p')
echo "# exposure $exposure"

report "nothing runs before the first call" is "$(unit ActiveState)" inactive
started=$(now)
report "the first call starts it" answers
echo "# first answer, with the start: $(since "$started") s"
echo "# READY $((($(unit ActiveEnterTimestampMonotonic) - $(unit ExecMainStartTimestampMonotonic)) / 1000)) ms after its process"
report "it is active" is "$(unit ActiveState)" active
report "the status tells the model" contains "$(unit StatusText)" "Model gem-mini is ready"
report "the model is ready" is "$(model_state)" 's "ready"'

pid=$(unit MainPID)
report "it runs as its own user" is "$(ps -o user= -p "$pid")" gemd
report "it is not dumpable" is "$(stat -c %U "/proc/$pid/environ")" root
report "core dumps are off" contains "$(grep 'Max core file size' "/proc/$pid/limits")" "0                    0"
report "it has no capabilities" is "$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")" 0000000000000000
report "it filters system calls" is "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" 2
# The container itself has no other interface, so names alone would say nothing.
report "it has a network of its own" differs "$(readlink "/proc/$pid/ns/net")" "$(readlink /proc/1/ns/net)"
report "with nothing in it" is "$(nsenter -t "$pid" -n ip -o link | cut -d : -f 2)" " lo"
report "its own user cannot read its memory" fails_with denied as gemd cat "/proc/$pid/environ"
report "not even the superuser could write its configuration there" fails_with "Read-only file system" \
  nsenter -t "$pid" -m touch /etc/gemd/gemd.conf

restarts=$(unit NRestarts)
killed=$(now)
kill -KILL "$pid"
report "it serves again after SIGKILL" wait_for 5 answers
gap=$(since "$killed")
echo "# served again $gap s after SIGKILL"
report "within a second" at_most "$gap" 1.0
report "systemd started it again" at_most "$restarts" "$(($(unit NRestarts) - 1))"

mkdir -p /run/systemd/system/gemd.service.d
printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/gemd.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart gemd.service
report "it starts again" wait_for 5 answers
sleep 5
report "the watchdog is fed" is "$(unit NRestarts)" 0
kill -STOP "$(unit MainPID)"
report "one that hangs is replaced" wait_for 10 is_replaced
report "and serves" wait_for 5 answers
rm -r /run/systemd/system/gemd.service.d
systemctl daemon-reload

printf '[gemd]\nMaxSessionsPerUser=3\n' >/etc/gemd/gemd.conf
report "reload" systemctl reload gemd.service
report "the journal tells what changed" contains "$(journalctl -u gemd -o cat -n 5)" "changed: MaxSessionsPerUser"
printf '[gemd]\nMaxSessionsPerUser=none\n' >/etc/gemd/gemd.conf
systemctl reload gemd.service
report "a wrong file changes nothing" contains "$(journalctl -u gemd -o cat -n 5)" "the configuration stays as it was"
report "and the service serves" answers
systemctl stop gemd.service
report "with it the service does not start" fails_with failed systemctl start gemd.service
report "and is not tried again and again" is "$(unit NRestarts) $(unit ActiveState)" "0 failed"
: >/etc/gemd/gemd.conf
systemctl reset-failed gemd.service
report "mended, it starts" systemctl start gemd.service

# What READY waits for that is not the service: the same unit around a process that says READY and nothing else.
ready_ms() {
  local ms least=1000000
  for _ in 1 2 3 4 5 6 7; do
    systemctl restart "$1"
    ms=$((($(systemctl show -P ActiveEnterTimestampMonotonic "$1") - $(systemctl show -P ExecMainStartTimestampMonotonic "$1")) / 1000))
    least=$((ms < least ? ms : least))
  done
  echo "$least"
}
sed -e '/^BusName=/d; /^ExecReload=/d; /^WatchdogSec=/d; /^Restart=/d' \
  -e 's|^ExecStart=.*|ExecStart=/usr/bin/systemd-notify --ready\nRemainAfterExit=yes|' \
  "$(unit FragmentPath)" >/run/systemd/system/gemd-empty.service
systemctl daemon-reload
echo "# READY $(ready_ms gemd.service) ms after its process at least, of seven starts; $(ready_ms gemd-empty.service) of a process that says READY and nothing else"
systemctl stop gemd-empty.service
rm /run/systemd/system/gemd-empty.service
systemctl daemon-reload
report "the service serves after seven starts" wait_for 5 answers

stopped=$(now)
report "stop" systemctl stop gemd.service
report "within two seconds" at_most "$(since "$stopped")" 2
report "with success" is "$(unit Result)" success
