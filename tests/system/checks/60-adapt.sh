# A user has a domain learned: in a process of its own, which may be killed in the middle of it; nobody else sees any of it.

# The sentences of a small world that no model knows.
write_world() {
  awk 'BEGIN {
    srand(7)
    split("gribbit snorla fendle quomp trazzle vimbo plorn skeedle", who); split("wobbles zaffs drinkles morps flenses", does)
    split("the old kettle|a blue thimble|nine soft bricks|her quiet engine|the wet ladder", what, "|")
    for (document = 0; document < '"$1"'; document++) {
      for (line = 0; line < 8; line++) {
        printf "The %s %s %s. ", who[1 + int(rand() * 8)], does[1 + int(rand() * 5)], what[1 + int(rand() * 5)]
      }
      printf "\n\n"
    }
  }'
}
domain_state() { as "$1" gem-client learned --json | tr '{' '\n' | sed -n 's/.*"name":"'"$2"'".*"state":"\([a-z]*\)".*/\1/p'; }
is_state() { is "$(domain_state "$1" "$2")" "$3"; }
trainer_pid() { systemctl show -P MainPID "gemd-adapt@*.service" | head -n 1; }
learns() { [ -n "$(trainer_pid)" ] && contains "$(as alice gem-client learned)" "learning,"; }

world=/home/alice/world.txt
write_world 60 >"$world"
chown alice "$world"
cat >/etc/polkit-1/rules.d/60-alice.rules <<'RULES'
polkit.addRule(function (action, subject) {
  if (action.id == "org.gemd.Gem1.adapt-domain" && subject.user == "alice") {
    return polkit.Result.YES;
  }
});
RULES
chmod -R a+rX /etc/polkit-1/rules.d
systemctl restart polkit.service

report "the socket listens" is "$(systemctl is-active gemd-adapt.socket)" active
report "who does not sit at the machine is asked" fails_with "not authorized" as bob gem-client adapt world "$world"
if [ -x /usr/lib/gemd/gem-adapt ]; then
  as alice gem-client adapt world "$world" >/tmp/adapt.out 2>&1 &
  learner=$!
  report "it is learned in a process of systemd's" wait_for 60 learns
  pid=$(trainer_pid)
  report "whose user is none that there is" fails_silently grep -q "^[^:]*:[^:]*:$(stat -c %u "/proc/$pid"):" /etc/passwd
  report "which cannot ask for privileges" grep -q '^NoNewPrivs:.*1' "/proc/$pid/status"
  report "another user does not see it" is "$(as bob gem-client learned)" ""
  report "nor can forget it" fails_with "no domain of that name" as bob gem-client forget world
  report "the process is killed" kill -KILL "$pid"
  report "the learning goes on, and ends well" wait "$learner"
  report "with figures" contains "$(cat /tmp/adapt.out)" "held-out perplexity"
  report "it is in service for its user" is_state alice world ready
  report "and for nobody else" is "$(as bob gem-client learned)" ""
  report "its text is gone" fails_silently grep -rqs gribbit /var/lib/gemd
  report "the journal has neither its name nor a word of it" lacks "$(journalctl -o json -u gemd.service -u 'gemd-adapt@*')" gribbit
  report "it is there after a restart" systemctl restart gemd.service
  report "and in service" wait_for 10 is_state alice world ready
  report "its folder is the service's alone" is "$(stat -c %a:%U /var/lib/gemd)" 700:gemd
  report "an administrator shares it" gem-client share alice world
  report "then others see it" contains "$(as bob gem-client learned)" world
  report "but not its figures" lacks "$(as bob gem-client learned --json)" held_out
  report "its user forgets it" as alice gem-client forget world
  report "and it is gone" is "$(as alice gem-client learned)$(find /var/lib/gemd/learned -name '*.gguf')" ""
else
  report "without the program that learns it is said so" fails_with "not installed" as alice gem-client adapt world "$world"
fi
rm /etc/polkit-1/rules.d/60-alice.rules
