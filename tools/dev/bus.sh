# bus COMMAND...: run a command with the daemon on a private bus in place of the system bus
#
# Everything that speaks to the system bus works as on an installed system; gem-client and gem-bench of the build are on
# PATH (and gem-train, once it was built). The exit status is the command's. Bus and daemon end with it.
#
#   ./dev bus gem-client ask "Patient has high temperature today"
#   ./dev bus gdbus introspect --system -d org.gemd.Gem1 -o /org/gemd/Gem1
#   ./dev bus gdbus call --system -d org.gemd.Gem1 -o /org/gemd/Gem1 -m org.gemd.Gem1.Manager.CountTokens hello
#
# GEM_MODEL names another model folder, GEM_CONFIG a configuration, GEM_DAEMON_LOG a file (absolute path) that keeps the
# daemon's log.

[ $# -gt 0 ] || die_usage "bus: what command? See ./dev bus --help"
. "$GEM_VERB_DIR/lib/bus.sh"
with_daemon
[ "$gem_model_is_random" = no ] || say "(The model has random weights: its answers mean nothing.)"
# Ctrl-C is the command's business; its status is passed on.
trap : INT
(cd -- "$GEM_INVOKED_FROM" && exec "$@")
exit $?
