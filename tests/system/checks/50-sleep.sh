# Before the machine sleeps. logind is real; the sleep is not: the unit that would put the machine to sleep does nothing.

sleep_id=787d4f567f6e4b56ab3e5a32e5da15e0
inhibitors() { busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListInhibitors; }
holds_lock() { contains "$(inhibitors)" '"sleep" "gemd"'; }
slept() { differs "$(journalctl -u gemd.service -o cat "MESSAGE_ID=$sleep_id" | wc -l)" "$1"; }

systemctl start systemd-logind.service
report "logind has the service's lock" wait_for 10 holds_lock
report "which only delays" contains "$(inhibitors | tr '"' ' ')" "sleep   gemd   Caches of conversations are dropped   delay"
systemctl restart systemd-logind.service
report "and, when it is new, again" wait_for 10 holds_lock

mkdir -p /run/systemd/system/systemd-suspend.service.d
printf '[Service]\nExecStart=\nExecStart=/bin/sleep 1\n' >/run/systemd/system/systemd-suspend.service.d/none.conf
systemctl daemon-reload
can=$(busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CanSuspend)
if [ "$can" = 's "yes"' ]; then
  count=$(journalctl -u gemd.service -o cat "MESSAGE_ID=$sleep_id" | wc -l)
  asked=$(now)
  systemctl suspend
  report "before sleep, caches go" wait_for 10 slept "$count"
  journalctl --sync
  echo "# $(journalctl -u gemd.service -o cat -n 1 "MESSAGE_ID=$sleep_id"), $(since "$asked") s after systemctl suspend"
  report "awake, it has its lock again" wait_for 20 holds_lock
  report "and answers" wait_for 20 answers
else
  echo "# logind cannot suspend here: $can"
fi
rm -r /run/systemd/system/systemd-suspend.service.d
systemctl daemon-reload
