# Who may what: the bus policy, and whose sessions they are.

report "a user may ask" as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager CountTokens s hello
report "a user cannot be the service" fails_with denied as alice busctl call org.freedesktop.DBus /org/freedesktop/DBus \
  org.freedesktop.DBus RequestName su org.gemd.Gem1 0
page() { busctl call org.gemd.Gem1 /org/gemd/Gem1/pathway/legal org.gemd.Gem1.Pathway "$1" 'a{sv}' 0; }
export -f page
report "a user cannot page out" fails_with "not authorized" as alice bash -c "page PageOut"
report "the superuser can" page PageOut
mkdir -p /etc/polkit-1/rules.d
cat >/etc/polkit-1/rules.d/50-bob.rules <<'RULES'
polkit.addRule(function (action, subject) {
  if (action.id == "org.gemd.Gem1.manage-pathways" && subject.user == "bob") {
    return polkit.Result.YES;
  }
});
RULES
chmod -R a+rX /etc/polkit-1/rules.d
systemctl restart polkit.service
report "whom polkit lets can page in" wait_for 5 as bob bash -c "page PageIn"
report "and others still cannot" fails_with "not authorized" as alice bash -c "page PageOut"
systemctl stop polkit.service
systemctl mask --runtime polkit.service
report "without polkit nobody can" fails_with "not authorized" as bob bash -c "page PageOut"
systemctl unmask --runtime polkit.service
report "an interface that is not listed is denied" fails_with denied as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 \
  org.example.Other Method

# What a caller says stands nowhere, even where the journal is told all.
mkdir -p /run/systemd/system/gemd.service.d
printf '[Service]\nEnvironment=G_MESSAGES_DEBUG=all\n' >/run/systemd/system/gemd.service.d/debug.conf
systemctl daemon-reload
systemctl restart gemd.service
canary=canary$RANDOM$RANDOM
report "a user's question is answered" as alice gem-client ask --raw --max-tokens 8 "$canary"
report "a user's text is routed" as alice gem-client route "$canary"
as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager CountTokens s "$canary" >/dev/null
as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager Ask "sa{sv}" "$canary" 1 domain s "$canary" >/dev/null 2>&1
journalctl --sync
report "the journal tells of requests" contains "$(journalctl -o json -u gemd.service)" GEM_REQUEST
report "a caller's text is not in it" lacks "$(journalctl -o json -u gemd.service)" "$canary"
report "nor in properties" lacks "$(busctl call org.gemd.Gem1 /org/gemd/Gem1 org.freedesktop.DBus.ObjectManager GetManagedObjects)" \
  "$canary"
report "nor in what is introspected" lacks "$(busctl tree org.gemd.Gem1)$(busctl introspect org.gemd.Gem1 /org/gemd/Gem1)" "$canary"
report "nor in the unit's status" lacks "$(systemctl status gemd.service)" "$canary"
rm -r /run/systemd/system/gemd.service.d
systemctl daemon-reload
