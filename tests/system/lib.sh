# What the checks share. Each check is a line of TAP.

number=0
failed=0

# report NAME COMMAND...: whether the command holds.
report() {
  local name=$1 output
  shift
  number=$((number + 1))
  if output=$("$@" 2>&1); then
    echo "ok $number - $name"
  else
    failed=$((failed + 1))
    echo "not ok $number - $name"
    sed 's/^/# /' <<<"$output" | tail -n 20
  fi
}

is() { [ "$1" = "$2" ] || { echo "\"$1\" is not \"$2\""; return 1; }; }
differs() { [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ] || { echo "\"$1\" and \"$2\""; return 1; }; }
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a <= b) }' || { echo "$1 is more than $2"; return 1; }; }
contains() { case $1 in *"$2"*) ;; *) echo "no \"$2\" in: $1"; return 1 ;; esac; }
# Something is there, and TEXT is not in it.
lacks() {
  [ -n "$1" ] || { echo "there is nothing to look in"; return 1; }
  ! contains "$@" >/dev/null || { echo "it stands there:"; grep -o ".\{0,120\}$2.\{0,120\}" <<<"$1" | head -n 3; return 1; }
}
# fails_with TEXT COMMAND...: the command fails, and says so.
fails_with() {
  local text=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "it worked: $output"
    return 1
  fi
  contains "$output" "$text"
}

# The command finds nothing.
fails_silently() { ! "$@" || { echo "it is there: $*"; return 1; }; }

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.3f", b - a }'; }
unit() { systemctl show -P "$1" gemd.service; }
as() { runuser -u "$1" -- "${@:2}"; }

manager() { busctl --timeout=20 call org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager "$@"; }
model_state() { busctl get-property org.gemd.Gem1 /org/gemd/Gem1 org.gemd.Gem1.Manager ModelState; }

# wait_for SECONDS COMMAND...: until the command holds.
wait_for() {
  local end=$((SECONDS + $1)) output
  shift
  until output=$("$@" 2>&1); do
    [ "$SECONDS" -lt "$end" ] || { echo "not after all the time: $*: $output"; return 1; }
    sleep 0.02
  done
}
answers() { manager CountTokens s "one two three"; }
is_replaced() { [ "$(unit NRestarts)" -ge 1 ]; }
is_dead() { [ "$(unit MainPID)" = 0 ]; }

# ---- learning ----

# write_world N: so many documents of a small world that no model knows.
write_world() {
  awk -v documents="$1" 'BEGIN {
    srand(7)
    split("gribbit snorla fendle quomp trazzle vimbo plorn skeedle", who); split("wobbles zaffs drinkles morps flenses", does)
    split("the old kettle|a blue thimble|nine soft bricks|her quiet engine|the wet ladder", what, "|")
    for (document = 0; document < documents; document++) {
      for (line = 0; line < 8; line++) {
        printf "The %s %s %s. ", who[1 + int(rand() * 8)], does[1 + int(rand() * 5)], what[1 + int(rand() * 5)]
      }
      printf "\n\n"
    }
  }'
}
