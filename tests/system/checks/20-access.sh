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
report "a user cannot see what others use" fails_with "not authorized" as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 \
  org.gemd.Gem1.Manager Stats 'a{sv}' 0
report "the superuser can" contains "$(gem-client stats)" "tokens/s"
report "an interface that is not listed is denied" fails_with denied as alice busctl call org.gemd.Gem1 /org/gemd/Gem1 \
  org.example.Other Method
