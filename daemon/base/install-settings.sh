#!/bin/sh
# install-settings.sh FILE FOLDER: installs the settings, unless there are some.
set -eu
target=${DESTDIR:-}$2/$(basename "$1")
if [ -e "$target" ]; then
  echo "$target is there already and stays as it is"
else
  install -D -m 644 "$1" "$target"
fi
