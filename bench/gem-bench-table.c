#include "bench/gem-bench-table.h"

#include "bench/gem-bench-statistics.h"

GemTable *
gem_bench_table_new(void)
{
  static const char *const headings[] = {"what", "unit", "min", "median", "max", NULL};

  return gem_table_new("llrrr", headings);
}

void
gem_bench_table_add(GemTable *table, const char *what, const char *unit, const GArray *values, int digits)
{
  GemBenchSpread spread = gem_bench_spread(values);
  g_autofree char *min = g_strdup_printf("%.*f", digits, spread.min);
  g_autofree char *median = g_strdup_printf("%.*f", digits, spread.median);
  g_autofree char *max = g_strdup_printf("%.*f", digits, spread.max);

  if (values->len > 0) {
    gem_table_add(table, -1, (const char *const[]){what, unit, min, median, max});
  }
}
