# storm OPTION...: many clients at once, with the daemon on a private bus that has room for them
#
# Runs gem-bench storm with OPTIONs (gem-bench storm --help): 500 clients for 60 s unless they say otherwise. The bus starts
# the daemon, and starts it again after a --kill. It takes 8,192 connections of a user, where a system bus takes 256, and the
# daemon's quotas are as wide (tools/dev/storm.conf; GEM_CONFIG names another file: with the defaults most calls of so many
# clients of one user are refused). GEM_MODEL names another model folder, GEM_DAEMON_LOG a file (absolute path) that gets
# the daemon's log.
#
#   ./dev storm --clients 500 --seconds 60
#   ./dev storm --seconds 75 --kill 50

. "$GEM_VERB_DIR/lib/bus.sh"
: "${GEM_CONFIG:=$GEM_VERB_DIR/storm.conf}"
with_activated_daemon
trap : INT
(cd -- "$GEM_INVOKED_FROM" && exec gem-bench storm "$@")
exit $?
