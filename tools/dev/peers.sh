# peers [--check] [OPTION...]: measure gemd and llama.cpp side by side, and whether they write the same
#
# llama.cpp comes prebuilt from the npm registry (47 MB) into ./build-release/peers; where that is not possible, one line
# says why and the status is 77. Both then run the same files: a plain Llama of 34 million parameters with random weights,
# and, for the comparison of what they write, the general part of the model that ships. The router of gem-80m is measured
# beside a BERT of its size.
#   --check     only compares what they write
#   -t 1,2      numbers of threads; --turns N, -r N, -p N, -n N, -d N: how much, see tests/peers/README.md
#   --json FILE results as JSON, too

. "$GEM_VERB_DIR/lib/peers.sh"
# A plain Llama of 34 million parameters, tied.
readonly gem_peers_shape=vocab=12800,width=512,layers=8,heads=8,ffn=1536,context=4096,clusters=0,domains=0
# The router of gem-80m, beside next to nothing.
readonly gem_peers_router_shape=width=32,heads=1,layers=1,ffn=32,domain-ffn=32,clusters=0
check_only=no
if [ "${1:-}" = --check ]; then
  check_only=yes
  shift
  [ $# = 0 ] || die_usage "peers: --check takes no other option"
fi

build_peers() {
  ensure_needs build
  fetch_peers "$llama"
  configure_build "$dir" --buildtype=release -Dpeers="$llama"
  build_service "$dir"
  run_ninja "$dir" training/gem-train tests/peers/gem-peers tests/peers/peer-gem tests/peers/peer-llama tests/peers/peer-make-bert ||
    die "the build failed"
}

# Sets `measured`, files and routers to measure, and `written`, files whose tokens are compared.
make_models() {
  local gem_train=$dir/training/gem-train models=$dir/peers/models type
  mkdir -p "$models"
  measured=() written=()
  for type in Q4_0 Q6_K Q8_0 F16; do
    measured+=("$models/34m-$type.gguf")
    peers_model "$models/34m-$type.gguf" "$gem_train" init --shape "$gem_peers_shape" --type "$type" --name "34m-$type" --llama
  done
  for type in Q4_0 Q6_K Q8_0; do
    measured+=("$models/router-6x256-$type=$models/bert-6x256-$type.gguf")
    peers_model "$models/router-6x256-$type" "$gem_train" init --preset gem-80m --shape "$gem_peers_router_shape" \
      --type "$type" --name "router-6x256-$type"
    [ -f "$models/bert-6x256-$type.gguf" ] || "$dir/tests/peers/peer-make-bert" "$type" "$models/bert-6x256-$type.gguf" ||
      die "peers: no BERT of $type could be made"
  done
  written=("$models/34m-F16.gguf")
  [ -d models/gem-mini ] || return 0
  written+=("$models/gem-mini-F16.gguf")
  peers_model "$models/gem-mini-F16.gguf" "$gem_train" export --backbone models/gem-mini \
    --tokenizer models/gem-mini/general.gguf --types general=F16,attention=F16 --name gem-mini-F16 --llama
}

run_peers() { GEM_BUILD_DIR=$dir GEMD_PLUGIN_DIR=$dir/plugins "$dir/tests/peers/gem-peers" "$@"; }

dir=$(build_dir)-release
llama=$dir/peers/node-llama-cpp-$gem_peers_version
build_peers
make_models
run_peers greedy --texts tests/peers/texts.txt "${written[@]}" || exit
[ "$check_only" = yes ] || run_peers speed "$@" "${measured[@]}"
