# The system test: an installed tree on a booted systemd.

# can_boot_system: whether this machine can; says why not.
can_boot_system() {
  [ "$(id -u)" = 0 ] || { say "== System: left out, since booting a container needs root"; return 1; }
  (ensure_needs system) || { say "== System: left out, since its packages cannot be installed here"; return 1; }
  unshare --mount true 2>/dev/null || { say "== System: left out, since this machine lets nobody mount"; return 1; }
}

# make_system_root ROOT: a small Debian with what the service needs at run time.
make_system_root() {
  local packages=systemd-sysv,dbus,polkitd,procps,iproute2,libglib2.0-0,libglib2.0-bin,libjson-glib-1.0-0
  [ ! -d "$1" ] || return 0
  say "Making a root to boot in $1 ..."
  rm -rf "$1.part"
  mmdebstrap --quiet --variant=minbase --include="$packages" bookworm "$1.part" >&2 && mv "$1.part" "$1"
}

# make_system_payload DIR: what runs in it: the installed tree, and the checks.
make_system_payload() {
  local build
  build=$(build_dir)-system
  build_tree "$build" --prefix=/usr --sysconfdir=/etc --libexecdir=lib/gemd -Dtests=false -Dtraining=disabled
  rm -rf "$1"
  mkdir -p "$1"
  DESTDIR=$1/tree meson install -C "$build" --no-rebuild --quiet >&2 || return 1
  cp -r tests/system/. "$1/"
}

# test_suite_system: root only.
test_suite_system() {
  local base root out status=0
  base=$(build_dir)-system
  root=$(build_dir)-system-root
  out=$base/out
  say "== System: an installed tree on a booted systemd"
  if ! make_system_root "$root" || ! (make_system_payload "$base/payload"); then
    gem_failed=$((gem_failed + 1))
    return
  fi
  rm -rf "$out"
  mkdir -p "$out"
  tests/system/boot-nspawn.sh "$root" "$base/payload" "$out" 300 || status=$?
  if [ ! -e "$out/result.log" ]; then
    tail -n 30 "$out/console.log" >&2
    say "left out: no container boots on this machine"
    gem_skipped=$((gem_skipped + 1))
    return
  fi
  cat "$out/result.log" >&2
  count_tap "$out/result.log" "$status"
}
