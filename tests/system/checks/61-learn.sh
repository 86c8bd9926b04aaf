# A user has a domain learned: in a process of its own, which may be killed in the middle of it, as may the service; nobody else sees
# any of it. What is checked is the way there: a little text, and bounds that let it pass.

state_of() { as "$1" gem-client learned --json | tr '{' '\n' | sed -n 's/.*"name":"'"$2"'".*"state":"\([a-z]*\)".*/\1/p'; }
is_state() { is "$(state_of "$1" "$2")" "$3"; }
version_of() { as "$1" gem-client learned | awk -v name="$2" '$1 == name'; }
learner_unit() { systemctl list-units --plain --no-legend 'gemd-adapt@*.service' | awk '{ print $1 }' | head -n 1; }
learner_pid() { systemctl show -P MainPID "$(learner_unit)"; }
# progress_of USER: of what is being learned, in percent.
progress_of() { as "$1" gem-client learned | sed -n 's/.* learning, \([0-9]*\) %.*/\1/p'; }
# is_beyond USER PERCENT: it is being learned, and so far.
is_beyond() { [ "$(progress_of "$1")" -gt "$2" ]; }
is_another() { differs "$(learner_pid)" "$1" && [ "$(learner_pid)" != 0 ]; }
# What the service says, and the record, in which no text stands: of a domain that should be there, and is not.
tell_what_is_there() {
  {
    ls -ln /var/lib/gemd/learned/*/wordle/
    systemctl show -P MainPID,ExecMainStartTimestamp,InvocationID,NRestarts gemd.service
    journalctl --no-pager --lines 20 --unit gemd.service
    tr '\0' '\n' <"/proc/$(unit MainPID)/environ" | grep DIRECTORY
    ls -laR "/proc/$(unit MainPID)/root/var/lib/gemd/learned"
    runuser -u alice -- busctl call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager LearnedDomains 'a{sv}' 0
    grep -H . "/proc/$(unit MainPID)/task/"*/{comm,wchan}
    cat /var/lib/gemd/learned/*/wordle/domain
  } 2>&1 | sed 's/^/# /'
}
adapt() { as "$1" gem-client adapt --worst-other 100 "${@:2}"; }
may_adapt() {
  cat >/etc/polkit-1/rules.d/60-alice.rules <<'RULES'
polkit.addRule(function (action, subject) {
  if (action.id == "org.gemd.Gem1.adapt-domain" && subject.user == "alice") {
    return polkit.Result.YES;
  }
});
RULES
  chmod -R a+rX /etc/polkit-1/rules.d
  systemctl restart polkit.service
}

# An administrator, who gives it up.
gem-client adapt given-up "$world" >/run/adapt.out 2>&1 &
learner=$!
report "an administrator may have one learned" wait_for 120 is_beyond root 0
unit=$(learner_unit)
pid=$(learner_pid)
first=$(progress_of root)
report "in a process that the socket has systemd start" contains "$(systemctl show -P TriggeredBy "$unit")" gemd-adapt.socket
report "whose user is none that there is" fails_silently grep -q "^[^:]*:[^:]*:$(stat -c %u "/proc/$pid"):" /etc/passwd
report "which cannot ask for privileges" grep -q '^NoNewPrivs:.*1' "/proc/$pid/status"
report "which has no capabilities" is "$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")" 0000000000000000
report "which filters system calls" is "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" 2
report "which has a network of its own" differs "$(readlink "/proc/$pid/ns/net")" "$(readlink /proc/1/ns/net)"
report "with nothing in it" is "$(nsenter -t "$pid" -n ip -o link | cut -d : -f 2)" " lo"
report "which has a limit of memory from systemd" at_most "$(systemctl show -P MemoryMax "$unit")" $((1280 << 20))
report "and one of its own" at_most "$(awk '/^Max data size/ { print $5 }' "/proc/$pid/limits")" $((4 << 30))
report "its progress grows" wait_for 60 is_beyond root "$first"
kill -INT "$learner"
wait "$learner"
report "given up, it ends so" is "$?" 130
report "and is said to change nothing" contains "$(cat /run/adapt.out)" "given up: nothing has changed"
report "nothing is left of it" is "$(gem-client learned)" ""
report "nor of its process" wait_for 15 without_processes

# There is nothing to be learned from noise.
write_noise() {
  awk 'BEGIN { srand(7); for (i = 1; i <= 20000; i++) printf "%s", i % 200 == 0 ? "\n\n" : sprintf("%c", 33 + int(rand() * 94)) }'
}
write_noise >/home/alice/noise.txt

# A user, whom polkit lets; the process that learns is killed.
may_adapt
adapt alice wordle "$world" >/run/adapt.out 2>&1 &
learner=$!
report "whom polkit lets may have one learned" wait_for 60 is_beyond alice 20
report "another user does not see it" is "$(as bob gem-client learned)" ""
report "nor can forget it" fails_with "no domain of that name" as bob gem-client forget wordle
pid=$(learner_pid)
report "the process is killed" kill -KILL "$pid"
report "another one goes on" wait_for 60 is_another "$pid"
wait "$learner"
report "and ends well" is "$?" 0
report "with figures" contains "$(cat /run/adapt.out)" "held-out perplexity"
sed 's/^/# /' /run/adapt.out
report "it is in service for its user" is_state alice wordle ready
report "and for nobody else" is "$(as bob gem-client learned)" ""
report "its text is gone" fails_silently grep -rqs gribbit /var/lib/gemd
report "its folder is the service's alone" is "$(stat -c %a:%U /var/lib/gemd)" 700:gemd
report "its user can ask it" as alice gem-client ask --domain wordle --max-tokens 4 "The gribbit"
report "others cannot" fails_with "wordle" as bob gem-client ask --domain wordle --max-tokens 4 "The gribbit"
first=$(version_of alice wordle)

report "what is not good enough is refused" fails_with "refused, and nothing has changed: the perplexity of text that was held out" \
  adapt alice --least-gain 90 wordle /home/alice/noise.txt
report "and the one before serves on" contains "$(version_of alice wordle)" "yes"

# Learned once more, while the service is killed. It tells then how many domains it finds.
mkdir -p /run/systemd/system/gemd.service.d
printf '[Service]\nEnvironment=G_MESSAGES_DEBUG=gemd\n' >/run/systemd/system/gemd.service.d/99-tell.conf
systemctl daemon-reload
adapt alice wordle "$world" >/run/adapt.out 2>&1 &
learner=$!
report "it is learned once more" wait_for 60 is_beyond alice 20
kill -KILL "$(unit MainPID)"
wait "$learner"
report "the service is killed, and its caller ends" is "$?" 3
sed 's/^/# /' /run/adapt.out
report "the service goes on with it" wait_for 60 is_beyond alice 0
is_beyond alice 0 || tell_what_is_there
report "and brings it to its end" wait_for 120 is_state alice wordle ready
second=$(version_of alice wordle)
echo "# $first"
echo "# $second"
report "it is another one now" differs "$first" "$second"
report "it is there after a restart" systemctl restart gemd.service
report "and in service" wait_for 10 is_state alice wordle ready
is_state alice wordle ready || tell_what_is_there

report "its user cannot share it" fails_with "not authorized" as alice gem-client share alice wordle
report "an administrator shares it" gem-client share alice wordle
report "then others see it" contains "$(as bob gem-client learned)" wordle
report "and ask it" as bob gem-client ask --domain wordle --max-tokens 4 "The gribbit"
report "but not its figures" lacks "$(as bob gem-client learned --json)" held_out
report "and is shared no more" gem-client share --stop alice wordle
report "as others see" is "$(as bob gem-client learned)" ""

report "its user undoes the second" as alice gem-client undo wordle
report "and has the first again" is "$(version_of alice wordle)" "$first"
report "its user forgets it" as alice gem-client forget wordle
report "and it is gone" is "$(as alice gem-client learned)$(find /var/lib/gemd/learned -name '*.gguf')" ""

journalctl --sync
for word in gribbit snorla "old kettle"; do
  report "no message in the journal has \"$word\" of the text" lacks "$(journalctl -o cat)" "$word"
done
for word in gribbit snorla "old kettle" wordle given-up; do
  report "no field of the service's entries has \"$word\"" lacks "$(journalctl -o json -u gemd.service -u 'gemd-adapt@*')" "$word"
done
rm /run/systemd/system/gemd.service.d/99-tell.conf
systemctl daemon-reload
rm /etc/polkit-1/rules.d/60-alice.rules /run/adapt.out "$world" /home/alice/noise.txt
: >/etc/gemd/gemd.conf
systemctl restart gemd.service
