# A private bus with the daemon on it, in the place of the system bus, for as long as the script runs.

# For the background only: in a session of its own, so that Ctrl-C reaches the command alone, and ending with this
# script even when that is killed.
start_apart() { exec setsid setpriv --pdeathsig TERM "$@"; }

# The bus starts the daemon when there is a service file for it (start_activated_daemon). Of one user it takes more than a system
# bus would, whose limits are 256 connections, 128 replies, 64 connections that introduce themselves and 512 calls that wait
# for a service to start.
write_bus_config() {
  cat >"$1/bus.conf" <<CONFIG
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=$1/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>$1/services</servicedir>
  <limit name="max_connections_per_user">8192</limit>
  <limit name="max_completed_connections">8192</limit>
  <limit name="max_incomplete_connections">1024</limit>
  <limit name="max_replies_per_connection">8192</limit>
  <limit name="max_pending_service_starts">65536</limit>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
CONFIG
}

# Ends process $1 and waits: SIGTERM first, SIGKILL after 5 s.
end_process() {
  kill -TERM "$1" 2>/dev/null || return 0
  local i
  for ((i = 0; i < 100; i++)); do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.05
  done
  kill -KILL "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}

# start_private_bus: sets and exports DBUS_SYSTEM_BUS_ADDRESS.
start_private_bus() {
  local i
  gem_bus_dir=$(mktemp -d "${TMPDIR:-/tmp}/gem-bus.XXXXXX") || die "no temporary folder"
  at_exit 'rm -rf "$gem_bus_dir"'
  mkdir "$gem_bus_dir/services" "$gem_bus_dir/state"
  write_bus_config "$gem_bus_dir"
  # What the bus starts has this in its environment.
  export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$gem_bus_dir/bus
  export STATE_DIRECTORY=$gem_bus_dir/state GEMD_ADAPT_PROGRAM
  GEMD_ADAPT_PROGRAM=$(build_dir)/adaptation/trainer/gem-adapt
  start_apart dbus-daemon --config-file="$gem_bus_dir/bus.conf" --nofork --nopidfile \
    </dev/null >/dev/null 2>"$gem_bus_dir/bus.log" &
  gem_bus_pid=$!
  at_exit 'end_process "$gem_bus_pid"'
  for ((i = 0; i < 200; i++)); do
    [ -S "$gem_bus_dir/bus" ] && break
    kill -0 "$gem_bus_pid" 2>/dev/null || break
    sleep 0.02
  done
  [ -S "$gem_bus_dir/bus" ] || die "dbus-daemon did not start: $(grep -v 'set fd limit' "$gem_bus_dir/bus.log")"
}

# start_daemon MODEL: starts gemd on the private bus; back when the model is loaded.
start_daemon() {
  local build
  build=$(build_dir)
  gem_daemon_log=${GEM_DAEMON_LOG:-$gem_bus_dir/gemd.log}
  start_apart "$build/daemon/gemd" --development --model "$1" --plugin-dir "$build/plugins" \
    ${GEM_CONFIG:+--config "$GEM_CONFIG"} </dev/null >"$gem_daemon_log" 2>&1 &
  gem_daemon_pid=$!
  at_exit 'end_process "$gem_daemon_pid"'
  wait_for_daemon "$gem_daemon_pid"
}

# wait_for_daemon [PID]: back when it has loaded its model; a bus that can starts it. PID: a child that ends is not
# waited for.
wait_for_daemon() {
  local client ended='' status=0
  "$(build_dir)/clients/gem-client/gem-client" status --wait 60 >/dev/null 2>"$gem_bus_dir/wait.log" &
  client=$!
  wait -n -p ended "$client" ${1:+"$1"} || status=$?
  if [ "$ended" = "$client" ]; then
    [ "$status" != 0 ] || return 0
  else
    kill "$client"
    wait "$client" || true
    cat "$gem_daemon_log" >&2
    die "the daemon ended in place of getting ready"
  fi
  cat "$gem_daemon_log" >&2
  die "the daemon did not get ready: $(cat "$gem_bus_dir/wait.log")"
}

# start_activated_daemon MODEL: has the bus start gemd, and start it again whenever it is called and not there.
start_activated_daemon() {
  local build
  build=$(build_dir)
  gem_daemon_log=${GEM_DAEMON_LOG:-$gem_bus_dir/gemd.log}
  cat >"$gem_bus_dir/gemd" <<SCRIPT
#!/bin/sh
exec "$build/daemon/gemd" --development --model "$1" --plugin-dir "$build/plugins" \
  ${GEM_CONFIG:+--config "$GEM_CONFIG"} </dev/null >>"$gem_daemon_log" 2>&1
SCRIPT
  chmod +x "$gem_bus_dir/gemd"
  printf '[D-BUS Service]\nName=org.gemd.Gem1\nExec=%s\n' "$gem_bus_dir/gemd" >"$gem_bus_dir/services/org.gemd.Gem1.service"
  at_exit end_activated_daemon
  # One that cannot start is started again and again by who waits for it.
  gdbus call --system --dest org.freedesktop.DBus --object-path /org/freedesktop/DBus \
    --method org.freedesktop.DBus.StartServiceByName org.gemd.Gem1 0 >/dev/null 2>&1 || { cat "$gem_daemon_log" >&2; die "the daemon did not start"; }
  wait_for_daemon
}

# No child of this script: the bus knows which process it is.
end_activated_daemon() {
  local pid
  pid=$(gdbus call --system --dest org.freedesktop.DBus \
    --object-path /org/freedesktop/DBus --method org.freedesktop.DBus.GetConnectionUnixProcessID org.gemd.Gem1 2>/dev/null) || return 0
  pid=${pid#*uint32 }
  end_process "${pid%%,*}"
}

# with_daemon: builds, chooses the model, starts bus and daemon, puts the build's programs on PATH, and
# names their modules in GEMD_PLUGIN_DIR, the model in GEM_MODEL and its folder in GEMD_MODEL_DIR.
with_daemon() { with_daemon_by start_daemon; }

# with_activated_daemon: the same, with a daemon that the bus starts, again and again.
with_activated_daemon() { with_daemon_by start_activated_daemon; }

with_daemon_by() {
  local build
  build=$(build_dir)
  ensure_needs build bus
  build_service "$build"
  choose_model
  GEM_MODEL=$(realpath -- "$gem_model") || die "no model $gem_model"
  # The models beside it are those that can be loaded in its place.
  export GEM_MODEL GEMD_MODEL_DIR=${GEMD_MODEL_DIR:-${GEM_MODEL%/*}}
  start_private_bus
  "$1" "$gem_model"
  export PATH=$build/clients/gem-client:$build/bench:$build/training:$PATH
  export GEMD_PLUGIN_DIR=$build/plugins
}
