#!/bin/bash
# gem-client and gemd together, on a private bus: what a user types, and what comes back. Speaks TAP.
# Started without arguments it starts bus and daemon through ./dev bus, and itself on them.
set -u

source_dir=${GEM_SOURCE_DIR:?GEM_SOURCE_DIR is the folder of the sources}
if [ ! -f "$source_dir/models/gem-mini/manifest" ] && [ ! -x "${GEM_BUILD_DIR:-$source_dir/build}/training/gem-train" ]; then
  echo "1..0 # SKIP there is no model, and no gem-train that could make one"
  exit 0
fi
if [ "${1:-}" != --inside ]; then
  exec "$source_dir/dev" bus "$source_dir/tests/test-end-to-end.sh" --inside
fi

number=0
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

# check NAME STATUS COMMAND...: the command ends with STATUS; its output is kept in $scratch/out and $scratch/err.
check() {
  local name=$1 wanted=$2 status=0
  shift 2
  "$@" </dev/null >"$scratch/out" 2>"$scratch/err" || status=$?
  report "$name ends with $wanted" [ "$status" = "$wanted" ]
}

# report NAME COMMAND...: a TAP line for whether the command holds.
report() {
  local name=$1
  shift
  number=$((number + 1))
  if "$@"; then
    echo "ok $number $name"
  else
    echo "not ok $number $name"
    sed 's/^/# /' "$scratch/out" "$scratch/err"
  fi
}

says() { report "$1" grep -qE -- "$2" "$scratch/out"; }
complains() { report "$1" grep -qE -- "$2" "$scratch/err"; }

check "status" 0 gem-client status
says "status shows a model that is ready" '^model .*ready$'
check "tokens" 0 gem-client tokens "a contract"
says "tokens prints a number" '^[0-9]+$'
check "route" 0 gem-client route "a contract"
says "route has a table" '^token +pathway +probability$'
check "route --json" 0 gem-client route --json "a contract"
says "route --json has pathways" '"pathway":"[a-z]+"'
check "ask" 0 gem-client ask --max-tokens 8 --stats --temperature 1 --seed 3 "a contract"
says "ask has a line of figures" '^[0-9]+ tokens \([0-9]+ read, [1-8] written\), [0-9.]+ tokens/s, pathways: .*resident: '
check "ask --json" 0 gem-client ask --max-tokens 8 --temperature 1 --seed 3 --json --routes "a contract"
cp "$scratch/out" "$scratch/first"
says "ask --json is an object" '^\{"answer":".*"routes":\['
check "ask --json again" 0 gem-client ask --max-tokens 8 --temperature 1 --seed 3 --json --routes "a contract"
report "the same seed gives the same answer" \
  [ "$(sed 's/"stats".*//' "$scratch/out")" = "$(sed 's/"stats".*//' "$scratch/first")" ]
check "classify" 0 gem-client classify --label yes --label no "Is this a contract?"
says "classify has both labels" '^ +[01]\.[0-9]{4}  (yes|no)$'
check "embed" 0 gem-client embed "a contract"
report "an embedding has unit length" \
  awk '{ s += $1 * $1 } END { exit !(s > 0.999 && s < 1.001) }' "$scratch/out"
check "score" 0 gem-client score "a contract"
says "score has a perplexity" 'perplexity [0-9.]+$'
check "score in a domain" 0 gem-client score --domain legal "a contract"

check "clients at once" 0 gem-bench clients --streams 1,2 -p 8 -n 3 -r 1 --chart "$scratch/clients.svg"
says "clients has a row for two streams" '^ +2 +[0-9]+ +[1-3] +'
report "clients drew a chart" grep -q "^</svg>$" "$scratch/clients.svg"
check "speed of a model" 0 gem-bench speed "$GEM_MODEL" -p 8 -n 3 -r 1 --route
says "speed has a row for decoding" '^decode 3 +tokens/s '

check "the models" 0 gem-client load --list
report "the model is one of them" grep -qx "${GEM_MODEL##*/}" "$scratch/out"

check "page-in" 0 gem-client pathways page-in legal
says "page-in makes it resident" '^legal +resident'
check "page-out" 0 gem-client pathways page-out legal
says "page-out takes it away" '^legal +absent'
check "page-out of general" 1 gem-client pathways page-out general
check "page-in of no pathway" 5 gem-client pathways page-in cooking

check "empty text" 5 gem-client ask ""
check "an unknown domain" 5 gem-client ask --domain cooking "a contract"
complains "an unknown domain is named" 'cooking'
check "a temperature out of range" 5 gem-client ask --temperature 99 "a contract"
complains "the option out of range is named" 'temperature'
check "max-tokens 0" 5 gem-client ask --max-tokens 0 "a contract"
head -c 200000 /dev/zero | tr '\0' 'a' >"$scratch/long"
check "a text longer than the context" 6 bash -c "gem-client ask <'$scratch/long'"
complains "tokens needed and tokens there are" '[0-9]+ tokens.*[0-9]+'

check "a shell's Ask" 0 gdbus call --system -d org.gemd.Gem1 -o /org/gemd/Gem1 \
  -m org.gemd.Gem1.Manager.Ask "a contract" "{'max_tokens': <uint32 4>}"

# Ctrl-C: a shell's background job ignores it, unless job control is on.
# Drawn so hot that it seldom ends by itself, whatever the last digits of the logits are.
set -m
gem-client ask --raw --slide --temperature 4 --seed 4 --max-tokens 2048 "a contract" >"$scratch/interrupted" 2>"$scratch/err" &
for ((i = 0; i < 500; i++)); do
  [ ! -s "$scratch/interrupted" ] || break
  sleep 0.01
done
kill -INT $!
wait $!
report "an interrupted ask ends with 130" [ $? = 130 ]
set +m
check "ask after that" 0 gem-client ask --max-tokens 2 "a contract"
echo "1..$number"
