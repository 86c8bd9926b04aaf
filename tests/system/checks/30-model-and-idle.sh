# Another model takes over; and a service that nobody needs ends, and comes back with the next call.

models=/usr/share/gemd/models
cp -a $models/gem-mini $models/gem-twin
mkdir $models/gem-broken
model_name() { busctl get-property org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager ModelName; }
report "the models are told" is "$(gem-client load --list | tr '\n' ' ')" "gem-broken gem-mini gem-twin "
report "a user cannot load a model" fails_with "not authorized" as alice gem-client load gem-twin
report "a path is no name" fails_with "name of a model is wanted" gem-client load /usr/share/gemd/models/gem-twin
report "the superuser loads one" contains "$(gem-client load gem-twin 2>&1)" "is served, after"
report "and it answers" answers
report "one that is broken fails" fails_with "gem-broken" gem-client load gem-broken
report "and nothing has changed" answers
report "the journal says so" contains "$(journalctl -u gemd -o cat -n 3)" "the model stays as it was"
failed_id=2a044f3c1e2b49f982fdf40a7267ab9d
not_changed() { [ -n "$(journalctl -u gemd -o cat "MESSAGE_ID=$failed_id" "GEM_MODEL=$1")" ] || { echo "no entry for $1"; return 1; }; }
report "and which one, in a field" not_changed gem-broken
count_loaded() { journalctl -u gemd -o cat MESSAGE_ID=98b6942e381646e8b58d96c0e42693b3 | wc -l; }
has_loaded() { [ "$(count_loaded)" -gt "$1" ]; }
pid=$(unit MainPID)
loaded=$(count_loaded)
printf '[gemd]\nModel=gem-nonesuch\n' >/etc/gemd/gemd.conf
systemctl reload gemd.service
report "a configured one that is not there is told" wait_for 20 not_changed gem-nonesuch
report "and nothing has changed by it" is "$(count_loaded)" "$loaded"
: >/etc/gemd/gemd.conf
systemctl reload gemd.service
report "the configured one is loaded when the file is read again" wait_for 20 has_loaded "$loaded"
report "by the same process" is "$(unit MainPID)" "$pid"
threads=$(ls "/proc/$(unit MainPID)/task" | wc -l)
for _ in 1 2 3 4 5; do
  gem-client load gem-twin >/dev/null || break
done
one_model() { [ "$(ls "/proc/$(unit MainPID)/task" | wc -l)" -le "$threads" ]; }
report "old models leave no thread behind" wait_for 5 one_model

printf '[gemd]\nIdleExitSeconds=1\n' >/etc/gemd/gemd.conf
systemctl restart gemd.service
is_inactive() { [ "$(unit ActiveState)" = inactive ]; }
report "it ends when nobody needs it" wait_for 10 is_inactive
report "with success" is "$(unit Result)" success
report "the journal says why" contains "$(journalctl -u gemd -o cat -n 20)" "nobody needs the service"
report "the next call starts it again" answers
report "it is active" is "$(unit ActiveState)" active

# Calls about when it ends: 1 s after the last one, and 0.1 s of quiet later.
lost=0
began=$(date +%s)
for moment in 0.97 0.98 0.99 1.00 1.00 1.01 1.01 1.02 1.03 1.04 1.06 1.08 1.10 1.11 1.12 1.14; do
  answers >/dev/null || break
  sleep $moment
  answers >/dev/null || { lost=$((lost + 1)); echo "# lost after $moment s"; }
done
report "a call in the moment of the end is answered" is "$lost" 0
report "it ends again" wait_for 10 is_inactive
report "no start has failed" is "$(unit Result)" success
report "and systemd restarted nothing by itself" is "$(unit NRestarts)" 0
starts=$(journalctl -u gemd -o cat --since "@$began" | grep -c "^Started gemd.service")
report "it is started by calls alone" at_most "$starts" 17
echo "# started $starts times by 32 calls"
: >/etc/gemd/gemd.conf
rm -r $models/gem-twin $models/gem-broken
report "and serves" answers
