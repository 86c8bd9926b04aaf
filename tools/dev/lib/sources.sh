# The project's C files, NUL-separated; from git, or from the folders where the tree is not a clone.
c_sources() {
  if git -C "$GEM_SOURCE_DIR" rev-parse --git-dir >/dev/null 2>&1; then
    git -C "$GEM_SOURCE_DIR" ls-files -z --cached --others --exclude-standard -- "${@:-*.[ch]}" |
      while IFS= read -r -d '' file; do [ -f "$file" ] && printf '%s\0' "$file"; done
  else
    find . -path './build*' -prune -o -name "${@:-*.[ch]}" -type f -print0
  fi
}
