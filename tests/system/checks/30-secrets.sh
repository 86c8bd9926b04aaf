# What a caller says stands nowhere, even where the journal is told all: a user sends a secret through every method, and
# everything that others can see is searched for it.

mkdir -p /run/systemd/system/gemd.service.d
printf '[Service]\nEnvironment=G_MESSAGES_DEBUG=all\nRestart=no\n' >/run/systemd/system/gemd.service.d/debug.conf
systemctl daemon-reload
systemctl restart gemd.service
canary=canary$RANDOM$RANDOM
heard=$(mktemp)
chmod 666 "$heard"
as bob timeout 60 gdbus monitor --system --dest org.gemd.Gem1 >"$heard" 2>&1 &
listener=$!
wait_for 5 grep -q "is owned by" "$heard"

report "a secret is answered" as alice gem-client ask --raw --max-tokens 8 "$canary"
report "routed" as alice gem-client route "$canary"
report "classified" as alice gem-client classify --label "$canary" --label other "$canary"
report "embedded" as alice gem-client embed "$canary"
report "scored" as alice gem-client score "$canary"
report "counted" as alice gem-client tokens "$canary"
as_alice() { as alice busctl call org.gemd.Gem1 "$1" "org.gemd.Gem1.$2" "${@:3}"; }
report "asked about" as_alice /org/gemd/Gem1 Manager Ask "sa{sv}" "$canary" 0
for refused in "Ask sa{sv} x 1 domain s $canary" "Ask sa{sv} x 1 $canary b true" "CreateSession a{sv} 1 domain s $canary" \
  "LoadModel sa{sv} $canary 0"; do
  # Its words are the call's arguments.
  # shellcheck disable=SC2086
  report "refused: ${refused%%"$canary"*}" fails_with "Call failed" as_alice /org/gemd/Gem1 Manager $refused
done
report "an object of its name is not there" fails_with "does not exist" as_alice "/org/gemd/Gem1/session/$canary" Session Close
kill "$listener"
wait "$listener" 2>/dev/null
journalctl --sync

report "the journal tells of requests" contains "$(journalctl -o json -u gemd.service)" GEM_REQUEST
report "the secret is in none of its fields" lacks "$(journalctl -o json -u gemd.service)" "$canary"
report "nor in what the bus or anybody else logged" lacks "$(journalctl -o cat)" "$canary"
report "nor in any signal that another user hears" lacks "$(cat "$heard")" "$canary"
report "nor in properties" lacks "$(busctl call org.gemd.Gem1 /org/gemd/Gem1 org.freedesktop.DBus.ObjectManager GetManagedObjects)" \
  "$canary"
report "nor in the manager's" lacks "$(busctl call org.gemd.Gem1 /org/gemd/Gem1 org.freedesktop.DBus.Properties GetAll s \
  org.gemd.Gem1.Manager)" "$canary"
report "nor in what is introspected" lacks "$(busctl tree org.gemd.Gem1)$(busctl introspect org.gemd.Gem1 /org/gemd/Gem1)" "$canary"
report "nor in the statistics" lacks "$(gem-client stats --json)" "$canary"
report "nor in the unit's status" lacks "$(systemctl status gemd.service)" "$canary"
report "nor in a file of the service" fails_silently grep -rqs "$canary" /var/cache/gemd /run/gemd /etc/gemd

pid=$(unit MainPID)
report "it dies of a bad access" kill -SEGV "$pid"
report "and is gone" wait_for 5 is_dead
report "no core was kept" lacks "started $(find / -xdev \( -name 'core*.gemd*' -o -name "core.$pid" \) -size +0 2>/dev/null)" core
report "nor told of in the journal" lacks "$(journalctl -o cat -n 200)" "dumped core"

rm -r /run/systemd/system/gemd.service.d
systemctl daemon-reload
systemctl reset-failed gemd.service
report "it serves again" wait_for 5 answers
