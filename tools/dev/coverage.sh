# coverage: run the tests and print the line coverage of each folder
#
# In ./build-coverage, with a page per file in ./build-coverage/coverage/index.html. Fails when a test fails, or
# when daemon, plugins and kernels together are below 85 % of their lines.

. "$GEM_VERB_DIR/lib/results.sh"
readonly gem_coverage_floor=85
ensure_needs build bus test coverage
dir=$(build_dir)-coverage
build_tree "$dir" -Db_coverage=true
find "$dir" -name '*.gcda' -delete
run_meson_tests "$dir" "Tests, counting lines" --timeout-multiplier 3
mkdir -p "$dir/coverage"
gcovr --root "$GEM_SOURCE_DIR" --object-directory "$dir" --exclude 'build.*/' --exclude 'tests/' \
  --csv "$dir/coverage/lines.csv" --html-details "$dir/coverage/index.html" >/dev/null || die "gcovr failed"
# Columns of the CSV: file, lines, lines covered, ...
awk -F, -v floor="$gem_coverage_floor" '
  NR > 1 {
    folder = $1; sub(/\/.*/, "", folder)
    lines[folder] += $2; covered[folder] += $3
    if (folder ~ /^(daemon|plugins|kernels)$/) { core += $2; core_covered += $3 }
  }
  END {
    printf "%-28s %8s %8s %7s\n", "folder", "lines", "covered", "%"
    for (folder in lines)
      printf "%-28s %8d %8d %6.1f\n", folder, lines[folder], covered[folder], 100 * covered[folder] / lines[folder] | "sort"
    close("sort")
    percent = core ? 100 * core_covered / core : 0
    printf "%-28s %8d %8d %6.1f\n", "daemon + plugins + kernels", core, core_covered, percent
    exit percent < floor
  }' "$dir/coverage/lines.csv"
covered=$?
[ "$covered" = 0 ] || say "below $gem_coverage_floor % in daemon, plugins and kernels"
[ "$covered" = 0 ] && [ "$gem_failed" = 0 ]
