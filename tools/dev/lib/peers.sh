# llama.cpp as node-llama-cpp ships it prebuilt, from the npm registry: the shared libraries of this machine's platform
# package, and the headers of the same release out of the git bundle in the main package.

. "$GEM_VERB_DIR/lib/npm.sh"

readonly gem_peers_version=3.22.1

# peers_sum PACKAGE: the SHA-512 of its archive in that version.
peers_sum() {
  case $1 in
    node-llama-cpp) echo 6e5b488a9b9699cd76dc7eed30880318a4ac4ab866865418795502e3c5d38d55bb5c624988927209d95333343f2e25a83e4183a5c2f816f883a60c3ba9f4e20f ;;
    @node-llama-cpp/linux-x64) echo e6e0820cda9608d7da026f1a47f533c5ba381c1a4a80d17dd640873dea4a86032057638099ab6879f6ce94c8a1b2a0a21f639ddf913f7941d00856df44126e3a ;;
    @node-llama-cpp/linux-arm64) echo 5beee768a0975fdfde1238c59914bcbefc7dd50c8b5c36de1717b165cddb87f3ed40005982644bdc2d00b586179f86064e3ff7428af8956667dada636453cb75 ;;
  esac
}

# Ends the script with the status of a test that was left out.
skip_peers() {
  say "peers: skipped: $*"
  exit 77
}

# peers_platform: the platform package for this machine.
peers_platform() {
  case $(uname -sm) in
    'Linux x86_64') echo @node-llama-cpp/linux-x64 ;;
    'Linux aarch64') echo @node-llama-cpp/linux-arm64 ;;
    *) return 1 ;;
  esac
}

# fetch_package PACKAGE DIR: unpacks it into DIR/package.
fetch_package() {
  fetch_npm_package "$1" "$gem_peers_version" "$(peers_sum "$1")" "$2" || skip_peers "$npm_reason"
}

# llama.cpp's release, as a package's metadata FILE states it.
peers_release() { grep -o '"release": *"[^"]*"' "$1" | cut -d '"' -f 4; }

# fetch_peers DIR: makes DIR/lib, DIR/include and DIR/ggml/include, once.
fetch_peers() {
  local dir=$1 part=$1.part platform libraries release
  [ ! -d "$dir" ] || return 0
  platform=$(peers_platform) || skip_peers "there is no prebuilt llama.cpp for $(uname -sm)"
  command -v git >/dev/null || skip_peers "git is not installed"
  say "Fetching llama.cpp of node-llama-cpp $gem_peers_version from the npm registry (47 MB) ..."
  rm -rf "$part"
  fetch_package "$platform" "$part/platform"
  fetch_package node-llama-cpp "$part/main"
  libraries=$part/platform/package/bins/${platform##*/}
  release=$(peers_release "$libraries/_nlcBuildMetadata.json")
  [ "$release" = "$(peers_release "$part/main/package/llama/binariesGithubRelease.json")" ] ||
    die "peers: the libraries are of llama.cpp $release, the headers of another release"
  git clone --quiet --bare "$part/main/package/llama/gitRelease.bundle" "$part/release.git" &&
    git -C "$part/release.git" archive HEAD include ggml/include | tar -x -C "$part" &&
    mv "$libraries" "$part/lib" &&
    ln -s "libllama.$release.so" "$part/lib/libllama.so" &&
    ln -s "libggml.$release.so" "$part/lib/libggml.so" &&
    cp "$part/platform/package/LICENSE" "$part/" &&
    rm -rf "$part/platform" "$part/main" "$part/release.git" &&
    mv "$part" "$dir" || die "peers: llama.cpp $release cannot be unpacked"
}

# peers_model PATH GEM-TRAIN GEM-TRAIN-ARGUMENT...: makes a file or a folder unless it is there.
peers_model() {
  local path=$1
  shift
  [ ! -e "$path" ] || return 0
  say "Making ${path##*/} ..."
  "$@" --output "$path.part" && mv "$path.part" "$path" || die "gem-train could not make $path"
}
