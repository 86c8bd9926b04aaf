# Packages of the npm registry, for what is only compared with or tested against: unpacked, none of their scripts run.

# fetch_npm_package PACKAGE VERSION SHA512 DIR: unpacks it into DIR/package. Where it cannot be had: status 1, and npm_reason says
# why. An archive that is not the known one ends the script.
fetch_npm_package() {
  local archive spec=$1@$2 dir=$4
  npm_reason="npm is not installed (package npm)"
  command -v npm >/dev/null || return 1
  mkdir -p "$dir"
  if ! archive=$(npm pack "$spec" --pack-destination "$dir" --ignore-scripts --fetch-retries 1 --fetch-timeout 30000 2>"$dir/npm.log"); then
    npm_reason="npm cannot fetch $spec: $(sed -n 's/^npm error code //p' "$dir/npm.log" | head -n 1)"
    return 1
  fi
  archive=$dir/${archive##*$'\n'}
  echo "$3  $archive" | sha512sum --check --status || die "$spec is not the archive whose SHA-512 this script knows"
  tar -xzf "$archive" -C "$dir" && rm "$archive" || die "$spec cannot be unpacked"
}
