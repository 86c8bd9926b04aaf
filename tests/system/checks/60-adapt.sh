# Who may have a domain learned, and what the process that learns it is shut into.

# Each line that it writes is of something that a process which learns must not be able to do.
cat >/run/probe.sh <<'PROBE'
try() { (eval "$2") >/dev/null 2>&1 && echo "$1"; }
try "reads a user's files" 'cat /home/alice/world.txt'
try "reads what was learned" 'ls /var/lib/gemd'
try "sees other processes" 'cat /proc/1/comm'
try "writes a file of the system's" 'echo >/etc/probe'
try "has a network" 'exec 3<>/dev/udp/127.0.0.1/9'
try "speaks to the bus" 'busctl --system list'
try "makes a namespace" 'unshare --user true'
try "mounts" 'unshare --mount mount -t tmpfs none /mnt'
try "takes real time" 'chrt --fifo 1 true'
try "makes a program that runs as another" 'cp /bin/true /tmp/probe && chmod u+s /tmp/probe'
echo "it was here"
PROBE
number_of_attempts=$(grep -c '^try ' /run/probe.sh)
without_processes() { is "$(systemctl list-units --plain --no-legend 'gemd-adapt@*.service')" ""; }

mkdir -p /etc/polkit-1/rules.d
world=/srv/world.txt
# Where both can read it; and where only she can.
write_world 30 | tee /home/alice/world.txt >"$world"
chown alice "$world"
printf '[gemd]\nModel=/usr/share/gemd/gem-tiny\n' >/etc/gemd/gemd.conf
systemctl restart gemd.service

report "the service answers" answers
report "the socket listens" is "$(systemctl is-active gemd-adapt.socket)" active
report "and nothing runs behind it" without_processes
report "who does not sit at the machine is asked" fails_with "not authorized" as bob gem-client adapt world "$world"
report "and may not speak to the socket" fails_with denied as bob bash -c 'exec 3<>/run/gemd-adapt.socket'

# In place of the program: a probe that ends without a word.
dropin=/run/systemd/system/gemd-adapt@.service.d
mkdir -p "$dropin"
printf '[Service]\nExecStart=\nExecStart=/bin/bash /run/probe.sh\nStandardOutput=append:/run/probe.out\n' >"$dropin/probe.conf"
systemctl daemon-reload
report "a process that ends without a word is said to have died" fails_with "died" gem-client adapt probe "$world"
report "after three attempts" is "$(cat /run/probe.out)" "$(printf 'it was here\n%.0s' 1 2 3)"
report "which outside of it could do all that" is "$(bash /run/probe.sh | wc -l)" $((number_of_attempts + 1))
rm -r "$dropin" /run/probe.* /etc/probe
systemctl daemon-reload
gem-client forget probe

printf '[gemd]\nModel=/usr/share/gemd/gem-tiny\nAdaptMemory=64M\n' >/etc/gemd/gemd.conf
systemctl restart gemd.service
for copy in {1..250}; do cat "$world"; done >/run/long.txt
report "what takes more memory than it may is not begun" fails_with "MiB of memory, and 64 MiB are allowed" \
  gem-client adapt world /run/long.txt
rm /run/long.txt
printf '[gemd]\nModel=/usr/share/gemd/gem-tiny\n' >/etc/gemd/gemd.conf
systemctl restart gemd.service
report "the text of what failed is gone" fails_silently grep -rqs gribbit /var/lib/gemd
