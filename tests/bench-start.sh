#!/bin/bash
# bench-start.sh MODEL [ROUNDS]: how long after its start the daemon has answered, as a shell sees it, and what memory it has: with the
# general pathway and what the text needed, with all pathways, and with two, after a text of 1,000 tokens. On a private bus.
set -u
model=${1:?which model folder?} rounds=${2:-9}
GEM_VERB_DIR=${GEM_SOURCE_DIR:?}/tools/dev
. "$GEM_VERB_DIR/lib/common.sh"
. "$GEM_VERB_DIR/lib/build.sh"
. "$GEM_VERB_DIR/lib/bus.sh"
build=$(build_dir)
PATH=$build/clients/gem-client:$PATH
cache=$(mktemp -d) || exit 1
at_exit 'rm -rf "$cache"'

# The daemon's record of files that it found right, as systemd's CacheDirectory= keeps it.
export CACHE_DIRECTORY=$cache

microseconds() { echo "${EPOCHREALTIME/./}"; }
memory() { awk '/^VmRSS/ { printf "%.1f MB", $2 * 1.024e-3 }' "/proc/$gem_daemon_pid/status"; }
all_pathways() { gem-client pathways --json | grep -o '"Domain" *: *"[a-z]*"' | cut -d '"' -f 4 | grep -v general; }
# Prints the least, the median and the greatest of its arguments, microseconds, as milliseconds.
spread() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 / 1000 } END { printf "min %.1f  median %.1f  max %.1f ms\n", v[1], v[int((NR + 1) / 2)], v[NR] }'; }

# A text of about 1,000 tokens, and with the template some more.
long_text() {
  local tokens
  tokens=$(gdbus call --system -d org.gemd.Gem1 -o /org/gemd/Gem1 -m org.gemd.Gem1.Manager.CountTokens "$(words 100)")
  tokens=${tokens#*uint64}
  words $((100 * 1000 / ${tokens//[!0-9]/}))
}
words() { printf 'word %.0s' $(seq "$1"); }
ask_long() { long_text | gem-client ask --max-tokens 4 "$@" >/dev/null 2>"$cache/error" || [ $? = 6 ] || cat "$cache/error" >&2; }

one_round() {
  local began
  began=$(microseconds)
  start_daemon "$model"
  loaded+=($(($(microseconds) - began)))
  gem-client ask --max-tokens 1 "hello there" 2>/dev/null | head -c 1 >/dev/null
  answered+=($(($(microseconds) - began)))
}

start_private_bus
loaded=() answered=()
for ((i = 0; i < rounds; i++)); do
  one_round
  end_process "$gem_daemon_pid"
done
echo "model loaded, seen by a client:  $(spread "${loaded[@]}")"
echo "first byte of an answer:         $(spread "${answered[@]}")"

start_daemon "$model"
echo "after loading:                   $(memory)"
for domain in $(all_pathways); do gem-client pathways page-in "$domain" >/dev/null || exit 1; done
echo "with all pathways:               $(memory)"
ask_long
echo "and a text of 1,000 tokens:      $(memory)"
end_process "$gem_daemon_pid"

start_daemon "$model"
ask_long --domain legal
echo "general, legal and the same:     $(memory)"
end_process "$gem_daemon_pid"
