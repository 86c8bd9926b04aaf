# Memory that is given back, as far as a container shows it: limits do not hold here, so a service manager of systemd 254 or later
# is played, which tells the service through a FIFO that memory is short.

fifo=/run/gemd-pressure
short_id=9f3dcafe54fb4b2a82992c035381e4e3
dropin=/run/systemd/system/gemd.service.d
ask_legal() { as alice gem-client ask --raw --max-tokens 12 --domain legal "The court held that the contract" 2>/dev/null; }
memory_step() { busctl get-property org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager MemoryStep; }
resident() { gem-client pathways | awk '$2 == "resident" { printf "%s ", $1 }'; }
is_step() { is "$(memory_step)" "u $1"; }
is_alone() { is "$(resident)" "general "; }
# field NAME: of the last entry that tells of short memory.
field() {
  journalctl --sync
  journalctl -u gemd.service -o json -n 1 "MESSAGE_ID=$short_id" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}
is_field() { is "$(field "$1")" "$2"; }

rm -f "$fifo"
mkfifo -m 600 "$fifo"
chown gemd "$fifo"
mkdir -p "$dropin"
printf '[Service]\nEnvironment=MEMORY_PRESSURE_WATCH=%s G_MESSAGES_DEBUG=gemd\n' "$fifo" >"$dropin/pressure.conf"
systemctl daemon-reload
systemctl restart gemd.service
report "it starts" wait_for 5 answers
journalctl --sync
for file in /proc/pressure/memory /proc/meminfo; do
  report "a hardened unit reads $file" lacks "$(journalctl -u gemd.service _PID="$(unit MainPID)" -o cat)" "$file is not read"
done

# The main loop has nothing else to do: what it runs is the looks.
main_thread=/proc/$(unit MainPID)/schedstat
read -r ran _ <"$main_thread"
sleep 4
read -r runs _ <"$main_thread"
idle=$(((runs - ran) / 4000))
echo "# idle, the main loop takes $idle us of processor a second"
report "looking costs less than a thousandth of a processor" at_most "$idle" 1000

before=$(ask_legal)
report "a pathway is in memory" contains "$(resident)" legal
report "memory is not short" is_step 0
told=$(now)
echo x >"$fifo"
report "told once, it drops what no text needs" wait_for 5 is_alone
echo "# the pathway was gone $(since "$told") s after the word, as seen through the bus"
report "that is step 2" wait_for 5 is_field GEM_STEP 2
report "as the service manager says" is_field GEM_CAUSE told
report "the journal tells how much" at_most 500000 "$(field GEM_BYTES)"
report "and how long it took: two seconds at most" at_most "$(field GEM_USEC)" 2000000
echo "# $(field GEM_BYTES) bytes given back in $(field GEM_USEC) us"
report "the catalog explains it" contains "$(journalctl -u gemd.service -x -n 1 "MESSAGE_ID=$short_id")" "Answers stay the same"
report "the same question has the same answer" is "$(ask_legal)" "$before"
for step in 3 4; do
  echo x >"$fifo"
  report "told again, it takes step $step" wait_for 5 is_field GEM_STEP "$step"
done
report "the property tells it" is_step 4
report "it answers all the same" is "$(ask_legal)" "$before"
report "it was not restarted" is "$(unit NRestarts)" 0

printf '[gemd]\nMemoryPressure=off\n' >/etc/gemd/gemd.conf
systemctl restart gemd.service
report "turned off, it starts" wait_for 5 answers
report "and nobody listens" fails_with "timed out" bash -c "timeout 1 bash -c 'echo x >$fifo' || { echo timed out; false; }"
: >/etc/gemd/gemd.conf
rm -r "$dropin" "$fifo"
systemctl daemon-reload
systemctl restart gemd.service
report "it starts as before" wait_for 5 answers
