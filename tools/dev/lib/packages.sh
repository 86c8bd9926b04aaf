# What the verbs need from the system, as a table: a check, Debian's package, and what it is for.
# A check is "command NAME", "module PKG-CONFIG-MODULE", "header FILE", "file PATH" or "clang RUN-TIME".

gem_needs_build='
command gcc          gcc               the C compiler
header stdio.h       libc6-dev         headers of the C library
command meson        meson             the build system
command ninja        ninja-build       runs the build
command pkg-config   pkg-config        finds libraries
module glib-2.0      libglib2.0-dev    GLib, GIO and the D-Bus code generator
module libsystemd    libsystemd-dev    readiness, watchdog and the journal
module libgcrypt     libgcrypt20-dev   hashes of model files, several times as fast
module json-glib-1.0 libjson-glib-dev  JSON of gem-client and of task files
module openblas      libopenblas-dev   matrix products of gem-train and gem-adapt
'
gem_needs_bus='
command dbus-daemon  dbus-daemon       the private bus that the daemon is tried on
command gdbus        libglib2.0-bin    waits for the daemon on that bus
'
gem_needs_test='
command spm_encode   sentencepiece     the tokenizer is compared with it
command make         make              builds a sample plugin out of the tree
'
gem_needs_format='
command clang-format clang-format      the house style
'
gem_needs_tidy='
command clang-tidy   clang-tidy        static checks
'
gem_needs_coverage='
command gcovr        gcovr             line coverage
'
gem_needs_sanitize='
header sanitizer/asan_interface.h libgcc-12-dev  run-time of the sanitizers
'
gem_needs_valgrind='
command valgrind     valgrind          looks at every access to memory
file    /usr/lib/debug/.build-id libc6-dbg what valgrind must know of the C library
'
gem_needs_fuzz='
command clang        clang             the compiler of the fuzzers
clang   fuzzer       libclang-rt-dev   libFuzzer, and the sanitizers for clang
'
gem_needs_system='
command mmdebstrap   mmdebstrap        makes the root that is booted
command systemd-nspawn systemd-container boots it
'
gem_needs_vm='
command mmdebstrap   mmdebstrap        makes the root of the machine
command mke2fs       e2fsprogs         makes its disk
command qemu-system-x86_64 qemu-system-x86 emulates it
'
gem_needs_data='
command xz           xz-utils          unpacks texts
'
gem_needs_kernels_arm64='
command aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu the compiler for aarch64
file    /usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross headers of the C library for aarch64
command qemu-aarch64 qemu-user         runs programs of aarch64
'
gem_needs_arm64='
command mmdebstrap   mmdebstrap        makes the arm64 build root
'

need_is_met() {
  case $1 in
    command) command -v "$2" >/dev/null ;;
    file) [ -e "$2" ] ;;
    clang) [ -e "$(clang -print-file-name="libclang_rt.$2-$(uname -m).a" 2>/dev/null)" ] ;;
    module) command -v pkg-config >/dev/null && pkg-config --exists "$2" ;;
    header) [ -e "/usr/include/$2" ] || compgen -G "/usr/include/*/$2" >/dev/null ||
      compgen -G "/usr/lib/gcc/*/*/include/$2" >/dev/null ;;
  esac
}

is_debian() {
  command -v apt-get >/dev/null && [ -r /etc/os-release ] &&
    (. /etc/os-release; case " ${ID:-} ${ID_LIKE:-} " in *' debian '*) true ;; *) false ;; esac)
}

apt_as_root() {
  if [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive "$@" </dev/null
  else
    sudo DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# ensure_needs GROUP...: checks the groups' needs and installs what is missing; ends the script when it cannot, or may not
# (GEM_INSTALL=no, as in tests that meson runs).
ensure_needs() {
  local group table kind name package why missing='' packages=()
  for group in "$@"; do
    table=gem_needs_$group
    while read -r kind name package why; do
      [ -n "$kind" ] || continue
      need_is_met "$kind" "$name" && continue
      packages+=("$package")
      missing+=$(printf '  %-18s %s' "$package" "$why")$'\n'
    done <<<"${!table}"
  done
  [ ${#packages[@]} -gt 0 ] || return 0
  say "Missing, by the names of Debian's packages:"
  say "${missing%$'\n'}"
  [ "${GEM_INSTALL:-}" != no ] || die "nothing is installed here (GEM_INSTALL=no): ./dev install-deps does"
  is_debian || die "this is not Debian: install the above (or what your distribution calls them), then run this again"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
    die "neither root nor sudo: have them installed with: apt-get install ${packages[*]}"
  say "Installing them with apt-get ..."
  # A fresh machine has no lists yet, and old lists name packages that are gone.
  apt_as_root apt-get install -y --no-install-recommends "${packages[@]}" >&2 && return 0
  say "Once more, with fresh package lists ..."
  apt_as_root apt-get update >&2
  apt_as_root apt-get install -y --no-install-recommends "${packages[@]}" >&2 ||
    die "apt-get could not install: ${packages[*]}"
}
