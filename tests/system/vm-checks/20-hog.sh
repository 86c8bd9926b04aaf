# Somebody else fills the machine's memory, beside a unit without a limit and beside one with. Follows 10-high.sh.

. "$here/vm-lib.sh"
total=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
available() { awk '/^MemAvailable/ { print $2 }' /proc/meminfo; }
# Fills memory, outside of the service, until so many percent of it are available.
# Half of the memory is what it may take without this.
mount -o remount,size=97% /dev/shm
fill_to() {
  local left=$(($(available) - total * $1 / 100))
  [ "$left" -le 0 ] || dd if=/dev/zero bs=64k count=$((left / 64)) status=none >>/dev/shm/hog
}
# gave_back BYTES: ms from when memory was short to when held was BYTES less. It is short when less than a tenth of it is available, or
# programs have waited a twentieth of a second for it.
gave_back() {
  awk -v total="$total" -v bytes="$1" '
    NR == 1 { waited = $4 }
    !crossed && ($3 < 0.1 * total || $4 - waited > 50000) { crossed = $1; held = $2 }
    crossed && $2 <= held - bytes { printf "%.0f", ($1 - crossed) * 1000; exit }' "$samples"
}
# Three pathways are in memory, so that there is something to give.
warm_up() {
  local domain
  for domain in legal stem finance; do
    fingerprint "$domain" >/dev/null
  done
}
memory_step() { busctl get-property org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager MemoryStep; }
is_alone() { is "$(count_resident)" 1; }
is_calm() { is "$(memory_step)" "u 0"; }

systemctl set-property --runtime gemd.service MemoryHigh=infinity
printf '[gemd]\nModel=gem-wide\n' >/etc/gemd/gemd.conf
systemctl restart gemd.service
report "without a limit, it answers" wait_for 120 answers
[ -n "${expected:-}" ] || expected=$(fingerprints)
warm_up
report "memory is not short" wait_for 60 is_calm
start_samples
fill_to 5
report "beside a hog, it gives pathways back" wait_for 30 is_alone
stop_samples
time=$(gave_back $((12 << 20)))
echo "# 12 MiB were given back $time ms after memory was short; now $(available) of $total kB are available"
journalctl --sync
journalctl -u gemd.service -o cat "MESSAGE_ID=$short_id" _PID="$(unit MainPID)" | sed 's/^/# /'
report "within two seconds" at_most "${time:-never}" 2000
report "beside a hog, all domains answer the same" is "$(fingerprints)" "$expected"
rm /dev/shm/hog
report "when the hog is gone, memory is no longer short" wait_for 60 is_calm

systemctl set-property --runtime gemd.service "MemoryHigh=$high"
systemctl restart gemd.service
report "limited, it answers" wait_for 120 answers
warm_up
start_samples
fill_to 5
report "limited and beside a hog, all domains answer the same" is "$(fingerprints)" "$expected"
stop_samples
journalctl --sync
echo "# limited and beside a hog: at most $(most_held) held, above 85 % of the limit for $(longest_above $((high * 85 / 100))) s at most"
journalctl -u gemd.service -o cat "MESSAGE_ID=$short_id" _PID="$(unit MainPID)" | sed 's/^/# /' | tail -n 12
report "it was not restarted" is "$(unit NRestarts)" 0
report "nor was anything of it killed" is "$(killed)" 0
rm /dev/shm/hog
systemctl set-property --runtime gemd.service MemoryHigh=infinity
