# A unit whose MemoryHigh= is below the sum of all pathways: the service keeps answering, stays below the limit, is never killed, and
# its answers stay the same.

. "$here/vm-lib.sh"
printf '[gemd]\nModel=gem-wide\n' >/etc/gemd/gemd.conf
mkdir -p "$dropin"
set_unit ""
report "the service answers" wait_for 120 answers
journalctl --sync
report "it reads its own control group" lacks "$(journalctl -u gemd.service -o cat | grep gemd.service/)x" "is not read"
expected=$(fingerprints)
sed 's/^/# /' <<<"$expected"
all=$(held)
report "without a limit, all pathways are in memory" is "$(count_resident)" 6
report "and take more than the limit will be" at_most "$high" "$all"
report "each domain has its own answer" is "$(sed 's/^[a-z]*: //' <<<"$expected" | sort -u | wc -l)" "$(wc -w <<<"$domains")"

systemctl set-property --runtime gemd.service "MemoryHigh=$high"
systemctl restart gemd.service
report "limited, it answers" wait_for 120 answers
report "the limit holds" is "$(cat "$group/memory.high")" "$high"
start_samples
report "limited, all domains answer the same" is "$(fingerprints)" "$expected"
stop_samples
journalctl --sync
above=$(longest_above $((high * 85 / 100)))
echo "# limited to $high of $all bytes: at most $(most_held) held; above 85 % of the limit for $above s at most, above it for $(longest_above "$high") s"
journalctl -u gemd.service -o cat "MESSAGE_ID=$short_id" | sed 's/^/# /' | tail -n 12
report "pathways took turns" at_most "$(count_resident)" 5
report "held never came to the limit" at_most "$(most_held)" "$high"
report "nor was it near it for two seconds" at_most "$above" 2
report "it was not restarted" is "$(unit NRestarts)" 0
report "nor was anything of it killed" is "$(killed)" 0
