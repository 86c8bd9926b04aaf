# What the checks of the emulated machine share. Follows lib.sh.
#
# Held is memory.current without what of it is files: what stays when the kernel takes what it can. The times are of an emulated
# machine, on which a page-in takes as long as hundreds elsewhere.

high=$((32 << 20))
group=/sys/fs/cgroup/system.slice/gemd.service
dropin=/run/systemd/system/gemd.service.d
samples=/run/samples
short_id=9f3dcafe54fb4b2a82992c035381e4e3
domains=$(tr ';=' '\n\n' </usr/share/gemd/models/gem-wide/manifest | sed -n 's/^pathway-\([a-z]*\)\.gguf$/\1/p' | sort -u)
text="Old"

# What a domain makes of a text: the log-likelihood to its last digit, and a greedy answer.
fingerprint() {
  gdbus call --system --timeout 60 --dest org.gemd.Gem1 --object-path /org/gemd/Gem1 --method org.gemd.Gem1.Manager.Score \
    "$text" "{'domain': <'$1'>}"
  gem-client ask --raw --max-tokens 3 --domain "$1" "$text" 2>/dev/null
}
fingerprints() {
  local domain
  for domain in $domains; do
    echo "$domain: $(fingerprint "$domain" | tr '\n' ' ')"
  done
}

# Every 20 ms or so: time, held, available memory of the machine in kB, and the time that programs have waited for memory, in us.
# Without starting a process: here each takes a tenth of a second.
sample() {
  local current key value reclaimable available stalled
  exec 9<>/run/nothing
  # The files are others when systemd has turned the controller off and on.
  while :; do
    { read -r current <"$group/memory.current"; } 2>/dev/null || continue
    reclaimable=0
    { while read -r key value; do
      case $key in
        active_file | inactive_file | slab_reclaimable) reclaimable=$((reclaimable + value)) ;;
        file_mapped) reclaimable=$((reclaimable - value)) ;;
      esac
    done <"$group/memory.stat"; } 2>/dev/null
    while read -r key value _; do
      [ "$key" != MemAvailable: ] || { available=$value; break; }
    done </proc/meminfo
    read -r _ _ _ _ stalled </proc/pressure/memory
    echo "$EPOCHREALTIME $((current - reclaimable)) $available ${stalled#total=}"
    read -r -t 0.02 -u 9
  done >"$samples"
}
start_samples() { sample & sampler=$!; }
stop_samples() { kill "$sampler"; wait "$sampler" 2>/dev/null; }

# longest_above BYTES: how long, in s, held was above that at a time.
longest_above() {
  awk -v limit="$1" '
    $2 > limit { if (!since) since = $1; if ($1 - since > longest) longest = $1 - since; next }
    { if (since && $1 - since > longest) longest = $1 - since; since = 0 }
    END { printf "%.3f", longest }' "$samples"
}
count_resident() { gem-client pathways | awk '$2 == "resident"' | wc -l; }
held() {
  awk 'NR == FNR { current = $1; next } $1 == "active_file" || $1 == "inactive_file" || $1 == "slab_reclaimable" { current -= $2 }
    $1 == "file_mapped" { current += $2 }
    END { print current }' "$group/memory.current" "$group/memory.stat"
}
most_held() { awk '$2 > most { most = $2 } END { print most }' "$samples"; }
killed() { awk '$1 == "oom_kill" { print $2 }' "$group/memory.events"; }
set_unit() { printf '[Service]\nEnvironment=G_MESSAGES_DEBUG=gemd\n%s\n' "$1" >"$dropin/pressure.conf"; systemctl daemon-reload; }

# came_below BYTES TIME: ms from TIME until held was no more than BYTES.
came_below() {
  awk -v set="$2" -v limit="$1" '$1 >= set && $2 <= limit { printf "%.0f", ($1 - set) * 1000; exit }' "$samples"
}
is_below() { at_most "$(held)" "$1"; }

[ -p /run/nothing ] || mkfifo /run/nothing
