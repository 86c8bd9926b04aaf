# try TEXT: install what is missing, build, start the daemon, and ask it
#
# Prints where each token of TEXT is routed, the answer as it is generated, and a line of figures.
# Options after TEXT go to gem-client ask: ./dev try "Is this contract void?" --temperature 0.7 --seed 3

[ $# -gt 0 ] || die_usage 'try: what text? For example: ./dev try "Patient has high temperature today"'
text=$1
shift
. "$GEM_VERB_DIR/lib/bus.sh"
with_daemon
if [ "$gem_model_is_random" = yes ]; then
  echo "The model that ships is not in this tree, so this one has RANDOM weights: routes and answer mean nothing."
else
  echo "Model: ${gem_model#"$GEM_SOURCE_DIR"/}"
fi
echo
trap : INT
gem-client route -- "$text" || exit
echo
gem-client ask --stats "$@" -- "$text"
exit $?
