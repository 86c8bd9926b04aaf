# Who may what: the bus policy, and whose sessions they are.

report "a user may ask" as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager CountTokens s hello
report "a user cannot be the service" fails_with denied as alice busctl call org.freedesktop.DBus /org/freedesktop/DBus \
  org.freedesktop.DBus RequestName su org.gemd.Gem1 0
report "a user cannot page out" fails_with "org.gemd.Gem1.Error" as alice gdbus call --system -d org.gemd.Gem1 \
  -o /org/gemd/Gem1/pathway/legal -m org.gemd.Gem1.Pathway.PageOut "{}"
report "the superuser can page in" busctl call org.gemd.Gem1 /org/gemd/Gem1/pathway/legal org.gemd.Gem1.Pathway PageIn 'a{sv}' 0
report "an interface that is not listed is denied" fails_with denied as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 \
  org.example.Other Method

# What a caller says stands nowhere.
canary=canary$RANDOM$RANDOM
as alice gem-client ask --max-tokens 8 "$canary" >/dev/null 2>&1
as alice gem-client route "$canary" >/dev/null 2>&1
as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager CountTokens s "$canary" >/dev/null
as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager Ask "sa{sv}" "$canary" 1 domain s "$canary" >/dev/null 2>&1
journalctl --sync
report "a caller's text is not in the journal" lacks "$(journalctl -o json _COMM=gemd)" "$canary"
report "nor in properties" lacks "$(busctl call org.gemd.Gem1 /org/gemd/Gem1 org.freedesktop.DBus.ObjectManager GetManagedObjects)" \
  "$canary"
report "nor in what is introspected" lacks "$(busctl tree org.gemd.Gem1)$(busctl introspect org.gemd.Gem1 /org/gemd/Gem1)" "$canary"
report "nor in the unit's status" lacks "$(systemctl status gemd.service)" "$canary"
