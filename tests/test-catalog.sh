#!/bin/bash
# Every MESSAGE_ID that the daemon logs with stands in the catalog, once, and nothing else does. Speaks TAP.
set -u
source_dir=${GEM_SOURCE_DIR:?GEM_SOURCE_DIR is the folder of the sources}
catalog=$source_dir/systemd/gemd.catalog
number=0

report() {
  number=$((number + 1))
  if [ "$2" = "$3" ]; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    diff <(echo "$2") <(echo "$3") | sed 's/^/# /'
  fi
}

logged=$(sed -n 's/^#define GEM_LOG_[A-Z_]* *"\([0-9a-f]*\)"$/\1/p' "$source_dir/daemon/base/gem-log.h" | sort)
explained=$(sed -n 's/^-- \([0-9a-f]*\)$/\1/p' "$catalog" | sort)
report "there are messages" "$([ -n "$logged" ] && echo yes)" yes
report "each is explained, and no other" "$explained" "$logged"
names=$(sed -n 's/^#define \(GEM_LOG_[A-Z_]*\) .*/\1/p' "$source_dir/daemon/base/gem-log.h" | sort)
used=$(grep -rhoE 'GEM_LOG_[A-Z_]+' --include=*.c "$source_dir/daemon" | sort -u)
report "each is logged somewhere" "$used" "$names"
if command -v journalctl >/dev/null; then
  scratch=$(mktemp -d) || exit 1
  trap 'rm -rf "$scratch"' EXIT
  mkdir -p "$scratch/usr/lib/systemd/catalog" "$scratch/var/lib/systemd/catalog"
  cp "$catalog" "$scratch/usr/lib/systemd/catalog/"
  errors=$(journalctl --root="$scratch" --update-catalog 2>&1)
  report "journalctl takes it" "$errors" ""
else
  number=$((number + 1))
  echo "ok $number - journalctl takes it # SKIP journalctl is not installed"
fi
echo "1..$number"
