#!/bin/bash
# The folders of the source: their headers form no circle, and what the documents name of them is there. Speaks TAP.
set -u
cd "${GEM_SOURCE_DIR:?}" || exit 1

readonly folders=(adaptation bench clients daemon dbus format kernels plugins process training)

# report NUMBER NAME WRONG: ok when nothing is wrong.
report() {
  if [ -z "$3" ]; then
    echo "ok $1 $2"
  else
    echo "not ok $1 $2"
    sed 's/^/# /' <<<"$3"
  fi
}

# list_arrows: a line for each folder that includes headers of another one, both names.
list_arrows() {
  find "${folders[@]}" -name '*.[ch]' -exec grep -Ho '^#include "[^"]*/' {} + |
    sed 's|/[^/]*:#include "| |; s|/$||' | awk '$1 != $2' | sort -u
}

# missing_paths: paths of the source that documents name, with an extension and no blank in the name, and that are not there.
missing_paths() {
  local file path
  for file in README.md CONTRIBUTING.md docs/*.md; do
    while read -r path; do
      compgen -G "$path" >/dev/null || echo "$file: $path"
    done < <(grep -oE '`('"$(IFS='|' && echo "${folders[*]}")"')/[a-z0-9*/.-]+\.(c|h|sh|in|xml|conf|build)`' "$file" | tr -d '`')
  done
}

# dead_links FOLDER FILE...: links of documents below FOLDER to files that are not there.
dead_links() {
  local folder=$1 file link
  shift
  for file; do
    while read -r link; do
      [[ $link = *://* ]] || [ -e "$(dirname "$file")/$link" ] || echo "${file#"$folder/"}: $link"
    done < <(grep -oE '\]\([^)#[:blank:]]+' "$file" | cut -c 3- | sort -u)
  done
}

# dead_installed_links: the same of the documents and the model's card as they are installed.
dead_installed_links() {
  local folder files
  folder=$(mktemp -d) || return
  meson install -C "${GEM_BUILD_DIR:?}" --no-rebuild --quiet --destdir "$folder" --tags doc,model >&2
  mapfile -t files < <(find "$folder" -name '*.md')
  [ "${#files[@]}" -ge "$(ls docs/*.md | wc -l)" ] || echo "only ${#files[@]} documents were installed"
  dead_links "$folder" "${files[@]}"
  rm -rf "$folder"
}

# documents_left_out: those that are not installed beside the man pages, which tell of them.
documents_left_out() {
  local file
  for file in docs/*.md; do
    grep -qF "'${file#docs/}'" docs/meson.build || echo "$file"
  done
}

echo "1..6"
report 1 "arrows were found" "$([ "$(list_arrows | wc -l)" -gt 60 ] || echo "only $(list_arrows | wc -l)")"
report 2 "none leads back to where it comes from" "$(list_arrows | tsort 2>&1 >/dev/null)"
report 3 "what the documents name is there" "$(missing_paths)"
report 4 "the documents are installed" "$(documents_left_out)"
report 5 "what the documents link to is there" "$(dead_links . README.md CONTRIBUTING.md docs/*.md plugins/README.md models/*/README.md)"
report 6 "and where they are installed" "$(dead_installed_links)"
