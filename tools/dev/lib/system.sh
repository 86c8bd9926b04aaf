# The system test: an installed tree on a booted systemd.

# can_boot_system: whether this machine can; says why not.
can_boot_system() {
  [ "$(id -u)" = 0 ] || { say "== System: left out, since booting a container needs root"; return 1; }
  (ensure_needs system) || { say "== System: left out, since its packages cannot be installed here"; return 1; }
  unshare --mount true 2>/dev/null || { say "== System: left out, since this machine lets nobody mount"; return 1; }
}

readonly gem_system_packages=systemd-sysv,dbus,polkitd,procps,iproute2,libglib2.0-0,libglib2.0-bin,libjson-glib-1.0-0,libgcrypt20
# What gem-adapt needs beside that: the emulated machine learns nothing, and goes without.
readonly gem_adapt_packages=libopenblas0-pthread

# The release of Debian that is booted (./dev test --debian=NAME): bookworm has systemd 252, trixie 257. What runs there is built here.
gem_system_release=bookworm

# make_system_root ROOT: a small Debian with what the service needs at run time; one with other packages is made anew.
make_system_root() {
  local packages=$gem_system_packages,$gem_adapt_packages
  [ "$(cat "$1/.packages" 2>/dev/null)" != "$packages" ] || return 0
  say "Making a root to boot in $1 ..."
  rm -rf "$1" "$1.part"
  mmdebstrap --quiet --variant=minbase --include="$packages" "$gem_system_release" "$1.part" >&2 &&
    printf '%s\n' "$packages" >"$1.part/.packages" && mv "$1.part" "$1"
}

# make_system_payload DIR: what runs in it: the installed tree, and the checks of a container.
make_system_payload() {
  local build
  build=$(build_dir)-system
  build_tree "$build" --prefix=/usr --sysconfdir=/etc --libexecdir=lib/gemd -Dtests=false -Dadapt=enabled
  rm -rf "$1"
  mkdir -p "$1"
  DESTDIR=$1/tree meson install -C "$build" --no-rebuild --quiet >&2 || return 1
  # A model of random weights, with which something is learned in seconds.
  "$build/training/gem-train" init --preset gem-tiny --shape domains=2 --loud --name gem-tiny \
    --output "$1/tree/usr/share/gemd/gem-tiny" >&2 || return 1
  cp -r tests/system/. "$1/"
}

# judge_boot ROOT OUT STATUS: of a container that ended with STATUS and never ran what it was booted for: the machine's fault, where
# a plain one of the same root does not boot either; or ours.
judge_boot() {
  local plain=$2/plain
  say "The last lines of the console that never came to the checks ($2/console.log):"
  tail -n 30 "$2/console.log" >&2
  mkdir -p "$plain"
  if tests/system/boot-nspawn.sh "$1" - "$plain" 60; then
    say "failed: a plain container boots on this machine, this one ended with status $3 before it ran a check"
    gem_failed=$((gem_failed + 1))
    return
  fi
  say "The last lines of a plain one ($plain/console.log):"
  tail -n 10 "$plain/console.log" >&2
  say "left out: no container boots on this machine, a plain one neither"
  gem_skipped=$((gem_skipped + 1))
}

# test_suite_system: root only.
test_suite_system() {
  local base root out status=0
  base=$(build_dir)-system
  root=$base-root-$gem_system_release
  out=$base/out
  say "== System: an installed tree on a booted systemd ($gem_system_release)"
  if ! make_system_root "$root" || ! (make_system_payload "$base/payload"); then
    gem_failed=$((gem_failed + 1))
    return
  fi
  rm -rf "$out"
  mkdir -p "$out"
  tests/system/boot-nspawn.sh "$root" "$base/payload" "$out" 600 || status=$?
  if [ ! -e "$out/result.log" ]; then
    judge_boot "$root" "$out" "$status"
    return
  fi
  cat "$out/result.log" >&2
  count_tap "$out/result.log" "$status"
}

# ---- the emulated machine ----

# make_vm_payload DIR: what runs in it: the installed tree, a model whose pathways are most of it, and the checks that need a
# kernel of their own.
make_vm_payload() {
  local build models=$1/tree/usr/share/gemd/models
  build=$(build_dir)
  make_system_payload "$1" || return 1
  rm -r "$1/checks"
  mv "$1/vm-checks" "$1/checks"
  cp tests/system/checks/50-sleep.sh "$1/checks/"
  configure_build "$build" && run_ninja "$build" training/gem-train || return 1
  "$build/training/gem-train" init --preset gem-tiny --shape domain-ffn=10240,domains=5 --loud --name gem-wide --output "$models/gem-wide" >&2
}

# test_suite_vm: root only.
test_suite_vm() {
  local base machine out status=0
  base=$(build_dir)-system
  machine=$base-vm-$gem_system_release
  out=$base/vm-out
  say "== Machine: an installed tree on an emulated machine ($gem_system_release), whose kernel keeps limits of memory"
  if [ "$(uname -m)" != x86_64 ]; then
    say "left out: the machine is x86-64, the tree is not"
    gem_skipped=$((gem_skipped + 1))
    return
  fi
  if [ ! -d "$machine" ]; then
    say "Making a machine to boot in $machine ..."
    rm -rf "$machine.part"
    tests/system/make-vm.sh "$machine.part" "$gem_system_release" "$gem_system_packages" >&2 && mv "$machine.part" "$machine"
  fi
  if [ ! -d "$machine" ] || ! (make_vm_payload "$base/vm-payload"); then
    gem_failed=$((gem_failed + 1))
    return
  fi
  rm -rf "$out"
  mkdir -p "$out"
  tests/system/boot-vm.sh "$machine" "$base/vm-payload" "$out" 1500 || status=$?
  [ -s "$out/result.log" ] || tail -n 30 "$out/console.log" >&2
  cat "$out/result.log" >&2
  count_tap "$out/result.log" "$status"
}
