# install-deps [GROUP...]: install what is missing from the distribution
#
# Groups: build bus test format tidy coverage sanitize fuzz data arm64; without any: build bus test.
# On Debian with apt-get (sudo when not root); elsewhere it prints the list and stops.

[ $# -gt 0 ] || set -- build bus test
for group in "$@"; do
  known=gem_needs_$group
  [ -n "${!known:-}" ] || die_usage "no group '$group'"
done
ensure_needs "$@"
say "Everything for $* is there."
