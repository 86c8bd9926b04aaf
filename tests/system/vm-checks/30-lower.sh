# A limit that comes while all pathways are in memory, far above it.

. "$here/vm-lib.sh"
systemctl set-property --runtime gemd.service MemoryHigh=infinity
printf '[gemd]\nModel=gem-wide\n' >/etc/gemd/gemd.conf
systemctl restart gemd.service
report "without a limit, it answers" wait_for 120 answers
[ -n "${expected:-}" ] || expected=$(fingerprints)
for domain in $domains; do
  gem-client pathways page-in "$domain" >/dev/null
done
all=$(held)
report "all pathways are in memory" is "$(count_resident)" 6
start_samples
# The command itself takes seconds here: counted is from when the limit stands in the group.
systemctl set-property --runtime gemd.service "MemoryHigh=$high" &
command=$!
until [ "${now:-}" = "$high" ]; do
  read -r now <"$group/memory.high"
done
limited=$EPOCHREALTIME
report "when the limit comes, memory is given back" wait_for 60 is_below "$high"
stop_samples
wait "$command"
journalctl --sync
time=$(came_below "$high" "$limited")
echo "# MemoryHigh= set to $high when $all bytes were held: no more than that $time ms later"
journalctl -u gemd.service -o cat "MESSAGE_ID=$short_id" _PID="$(unit MainPID)" | sed 's/^/# /' | tail -n 4
# Two seconds are wanted, and come with the machine to itself: see docs/reliability.md.
report "before the watchdog would end it" at_most "${time:-never}" 25000
# The kernel tries 17 times to take some before it puts one of its threads to sleep, for up to two seconds.
held_back=$(awk '$1 == "high" { print $2 }' "$group/memory.events")
echo "# held back $held_back times"
report "the kernel put it to sleep three times at most" at_most "$held_back" 51
report "it was not restarted" is "$(unit NRestarts)" 0
report "and answers the same" is "$(fingerprints)" "$expected"
systemctl set-property --runtime gemd.service MemoryHigh=infinity
: >/etc/gemd/gemd.conf
systemctl restart gemd.service
report "it starts as it was" wait_for 120 answers
