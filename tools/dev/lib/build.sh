# Configuring and building with meson, and choosing the model to run.

# Absolute path of the build folder.
build_dir() {
  case ${GEM_BUILD_DIR:=build} in
    /*) printf '%s\n' "$GEM_BUILD_DIR" ;;
    *) printf '%s\n' "$GEM_SOURCE_DIR/$GEM_BUILD_DIR" ;;
  esac
}

# configure_build DIR [MESON-OPTION...]: sets DIR up once, or again when its options are to change.
configure_build() {
  local dir=$1
  shift
  if [ ! -f "$dir/build.ninja" ]; then
    meson setup "$dir" "$GEM_SOURCE_DIR" "$@" >&2 || die "meson could not set up $dir"
  elif [ $# -gt 0 ]; then
    meson configure "$dir" "$@" >&2 || die "meson could not configure $dir"
  fi
}

# run_ninja DIR [TARGET...]: builds; silent when there is nothing to do, with progress when there is.
run_ninja() {
  local dir=$1 todo
  shift
  todo=$(ninja -C "$dir" -n "$@" 2>/dev/null | tail -n 1) || todo=
  case $todo in *'no work to do.') return 0 ;; esac
  ninja -C "$dir" -j "$(job_count)" "$@" >&2
}

# build_tree DIR [MESON-OPTION...]
build_tree() {
  configure_build "$@"
  run_ninja "$1" || die "the build failed"
}

# build_service DIR: only what a running service needs: daemon, modules, clients.
build_service() {
  local targets
  configure_build "$1"
  # A build file that is older than its meson.build files lists yesterday's targets.
  ninja -C "$1" build.ninja >/dev/null || die "meson could not set up $1"
  mapfile -t targets < <(ninja -C "$1" -t targets all |
    sed -n 's,^\(plugins/.*\.so\|daemon/gemd\|adaptation/trainer/gem-adapt\|clients/gem-[a-z]*/gem-[a-z]*\|bench/gem-bench\): .*,\1,p')
  run_ninja "$1" "${targets[@]}" || die "the build failed"
}

# Sets gem_model to the folder of the model to run: the one that ships, or random weights made on the spot.
# gem_model_is_random tells which.
choose_model() {
  local build
  build=$(build_dir)
  gem_model=${GEM_MODEL:-$GEM_SOURCE_DIR/models/gem-mini}
  gem_model_is_random=no
  [ -f "$gem_model/manifest" ] && return 0
  [ -z "${GEM_MODEL:-}" ] || die "GEM_MODEL: $gem_model has no manifest"
  gem_model=$build/random-model
  gem_model_is_random=yes
  [ -f "$gem_model/manifest" ] && return 0
  say "models/gem-mini is not there: making a model of random weights in $gem_model ..."
  run_ninja "$build" training/gem-train ||
    die "models/gem-mini is not there, and gem-train, which could make random weights, was not built"
  rm -rf "$gem_model.part"
  "$build/training/gem-train" init --preset gem-mini --output "$gem_model.part" >&2 ||
    die "gem-train could not make a model"
  mv "$gem_model.part" "$gem_model"
}
