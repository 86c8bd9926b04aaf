#!/bin/bash
# gem-bench clients with the model folder $1, on a private bus, with room for the 16 turns of one user that it asks for.
set -u

model=$(realpath -- "${1:?which model folder?}") || exit 1
config=$(mktemp) || exit 1
trap 'rm -f "$config"' EXIT
printf '[gemd]\nMaxRequestsPerUser=16\n' >"$config"
GEM_CONFIG=$config GEM_MODEL=$model "${GEM_SOURCE_DIR:?}/dev" bus gem-bench clients
