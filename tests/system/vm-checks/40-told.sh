# systemd 254 and later tell a unit that its memory is pressed, by a trigger that the service sets in its own group's memory.pressure
# file. Earlier ones say nothing: there is nothing to see then.

. "$here/vm-lib.sh"
mkdir -p "$dropin"
version=$(systemctl --version | awk 'NR == 1 { print $2 }')
told() { journalctl --sync; contains "$(journalctl -u gemd.service -o cat _PID="$(unit MainPID)")" "the service manager says"; }
handed() { tr '\0' '\n' <"/proc/$(unit MainPID)/environ" | sed -n 's/^MEMORY_PRESSURE_WATCH=//p'; }
if [ "$version" -ge 254 ]; then
  printf '[gemd]\nModel=gem-wide\n' >/etc/gemd/gemd.conf
  # As a rule its own look at what it holds comes first, and then nothing stalls: here it cannot look.
  set_unit "MemoryPressureThresholdSec=5ms
InaccessiblePaths=$group/memory.current $group/memory.high"
  systemctl restart gemd.service
  report "systemd $version: it answers" wait_for 120 answers
  report "it is handed its group's file" is "$(handed)" "$group/memory.pressure"
  journalctl --sync
  report "and can set a trigger in it" fails_silently grep "memory pressure.*$group/memory.pressure" \
    <(journalctl -u gemd.service -o cat _PID="$(unit MainPID)")
  [ -n "${expected:-}" ] || expected=$(fingerprints)
  for domain in $domains; do
    gem-client pathways page-in "$domain" >/dev/null
  done
  systemctl set-property --runtime gemd.service "MemoryHigh=$high"
  report "when its memory is pressed, the service manager's word arrives" wait_for 120 told
  journalctl -u gemd.service -o cat "MESSAGE_ID=$short_id" _PID="$(unit MainPID)" | sed 's/^/# /' | tail -n 6
  report "it was not restarted" is "$(unit NRestarts)" 0
  report "and answers the same" is "$(fingerprints)" "$expected"
  systemctl set-property --runtime gemd.service MemoryHigh=infinity
  : >/etc/gemd/gemd.conf
  set_unit ""
  systemctl restart gemd.service
  report "it starts as it was" wait_for 120 answers
else
  echo "# systemd $version tells nobody"
fi
