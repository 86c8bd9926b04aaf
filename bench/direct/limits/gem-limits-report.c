#include "bench/direct/limits/gem-limits-report.h"

#include "bench/direct/limits/gem-limits-cpu.h"
#include "bench/direct/limits/gem-limits-memory.h"
#include "bench/direct/limits/gem-limits-peaks.h"
#include "bench/gem-bench-chart.h"
#include "bench/gem-bench-table.h"
#include "clients/gem-client/gem-client-output.h"

void
gem_limits_results_init(GemLimitsResults *self)
{
  GPtrArray **const lists[] = {&self->reads, &self->copies, &self->peaks};
  gsize i;

  self->machine = gem_limits_cpu_get_name();
  self->features = gem_limits_cpu_describe_features(gem_limits_cpu_get_features());
  self->cpus = gem_limits_cpu_count();
  for (i = 0; i < G_N_ELEMENTS(lists); i++) {
    *lists[i] = g_ptr_array_new_with_free_func((GDestroyNotify)gem_limits_probe_free);
  }
}

void
gem_limits_results_clear(GemLimitsResults *self)
{
  g_clear_pointer(&self->machine, g_free);
  g_clear_pointer(&self->features, g_free);
  g_clear_pointer(&self->reads, g_ptr_array_unref);
  g_clear_pointer(&self->copies, g_ptr_array_unref);
  g_clear_pointer(&self->peaks, g_ptr_array_unref);
  g_clear_pointer(&self->barrier, gem_limits_probe_free);
  g_clear_pointer(&self->pool, gem_limits_pool_free);
  g_clear_pointer(&self->file, gem_limits_file_free);
}

static const char *
plural(guint n)
{
  return n == 1 ? "" : "s";
}

/* "PROCESSOR, 2 processors". Transfer full. */
static char *
describe(const GemLimitsResults *self)
{
  return g_strdup_printf("%s, %u processor%s", self->machine, self->cpus, plural(self->cpus));
}

/* ---- tables ---- */

/* Three figures of about three digits each. */
static void
format_spread(const GemLimitsProbe *probe, char *ret_cells[3])
{
  GemBenchSpread spread = gem_bench_spread(probe->values);
  const double values[] = {spread.min, spread.median, spread.max};
  guint i;

  for (i = 0; i < 3; i++) {
    ret_cells[i] = g_strdup_printf("%.*f", spread.median < 100 ? 1 : 0, values[i]);
  }
}

static void
print_memory(const GemLimitsResults *self)
{
  static const char *const headings[] = {
      "working set", "threads", "read, GB/s: min", "median", "max", "copy, GB/s: min", "median", "max", NULL};
  g_autoptr(GemTable) table = gem_table_new("rrrrrrrr", headings);
  guint i, cell;

  for (i = 0; i < self->reads->len; i++) {
    const GemLimitsProbe *read = self->reads->pdata[i];
    char *cells[8] = {
        gem_limits_memory_describe_size(read->bytes),
        g_strdup_printf("%u", read->threads),
    };

    format_spread(read, cells + 2);
    format_spread(self->copies->pdata[i], cells + 5);
    gem_table_add(table, -1, (const char *const *)cells);
    for (cell = 0; cell < G_N_ELEMENTS(cells); cell++) {
      g_free(cells[cell]);
    }
  }
  gem_table_print(table);
}

static void
print_others(const GemLimitsResults *self)
{
  g_autoptr(GemTable) table = gem_bench_table_new();
  guint i;

  for (i = 0; i < self->peaks->len; i++) {
    const GemLimitsProbe *probe = self->peaks->pdata[i];
    const GemLimitsPeak *peak = probe->data;
    g_autofree char *what =
        g_strdup_printf("%s, %u thread%s", peak->name, probe->threads, plural(probe->threads));

    gem_bench_table_add(table, what, peak->unit, probe->values, 0);
  }
  if (self->barrier != NULL) {
    gem_bench_table_add(table, "barrier, 2 threads", "ns", self->barrier->values, 1);
  }
  if (self->pool != NULL) {
    g_autofree char *empty =
        g_strdup_printf("the engine's pool, empty parts, %u threads", self->pool->threads);
    g_autofree char *meeting =
        g_strdup_printf("the engine's pool, all threads meet, %u threads", self->pool->threads);

    gem_bench_table_add(table, empty, "ns", self->pool->empty, 1);
    gem_bench_table_add(table, meeting, "ns", self->pool->meeting, 1);
  }
  if (self->file != NULL) {
    gem_bench_table_add(table, "file, from the cache", "GB/s", self->file->cached, 2);
    gem_bench_table_add(table, "file, from the disk", "GB/s", self->file->stored, 2);
  }
  gem_table_print(table);
}

/* Why figures of a file are missing. */
static void
print_file_notes(const GemLimitsResults *self)
{
  g_autofree char *read = gem_output_size(self->file->bytes);
  g_autofree char *left = gem_output_size(self->file->left);

  gem_output_printf("read of the file: %s\n", read);
  if (self->file->left > 0) {
    gem_output_printf("the cache could not be dropped, %s stayed: %u of %u rounds came from the disk\n", left,
                      self->file->stored->len, self->rounds);
  }
}

void
gem_limits_results_print(const GemLimitsResults *self)
{
  g_autofree char *description = describe(self);

  gem_output_printf("%s, instructions: %s; %u rounds\n", description, self->features, self->rounds);
  print_memory(self);
  gem_output_text("\n");
  print_others(self);
  if (self->file != NULL) {
    print_file_notes(self);
  }
}

/* ---- JSON ---- */

static void
add_memory_json(const GemLimitsResults *self, JsonBuilder *builder)
{
  guint i;

  gem_bench_json_begin_list(builder, "memory");
  for (i = 0; i < self->reads->len; i++) {
    const GemLimitsProbe *read = self->reads->pdata[i], *copy = self->copies->pdata[i];

    gem_bench_json_begin_entry(builder);
    gem_bench_json_add_count(builder, "bytes", read->bytes);
    gem_bench_json_add_count(builder, "threads", read->threads);
    gem_bench_json_add_values(builder, "read_gb_per_second", read->values);
    gem_bench_json_add_values(builder, "copy_gb_per_second", copy->values);
    gem_bench_json_end_entry(builder);
  }
  gem_bench_json_end_list(builder);
}

static void
add_peaks_json(const GemLimitsResults *self, JsonBuilder *builder)
{
  guint i;

  gem_bench_json_begin_list(builder, "arithmetic");
  for (i = 0; i < self->peaks->len; i++) {
    const GemLimitsProbe *probe = self->peaks->pdata[i];
    const GemLimitsPeak *peak = probe->data;

    gem_bench_json_begin_entry(builder);
    gem_bench_json_add_string(builder, "name", peak->name);
    gem_bench_json_add_string(builder, "unit", peak->unit);
    gem_bench_json_add_count(builder, "threads", probe->threads);
    gem_bench_json_add_values(builder, "rate", probe->values);
    gem_bench_json_end_entry(builder);
  }
  gem_bench_json_end_list(builder);
}

void
gem_limits_results_add_json(const GemLimitsResults *self, JsonBuilder *builder)
{
  gem_bench_json_add_string(builder, "features", self->features);
  gem_bench_json_add_count(builder, "processors", self->cpus);
  gem_bench_json_add_count(builder, "threads", self->threads);
  gem_bench_json_add_count(builder, "rounds", self->rounds);
  add_memory_json(self, builder);
  add_peaks_json(self, builder);
  if (self->barrier != NULL) {
    gem_bench_json_add_values(builder, "barrier_ns", self->barrier->values);
  }
  if (self->pool != NULL) {
    gem_bench_json_add_count(builder, "pool_threads", self->pool->threads);
    gem_bench_json_add_values(builder, "pool_empty_ns", self->pool->empty);
    gem_bench_json_add_values(builder, "pool_meeting_ns", self->pool->meeting);
  }
  if (self->file != NULL) {
    gem_bench_json_add_string(builder, "file", self->file->path);
    gem_bench_json_add_count(builder, "file_bytes_read", self->file->bytes);
    gem_bench_json_add_values(builder, "file_cached_gb_per_second", self->file->cached);
    gem_bench_json_add_values(builder, "file_stored_gb_per_second", self->file->stored);
    gem_bench_json_add_count(builder, "file_cache_bytes_left", self->file->left);
  }
}

/* ---- chart ---- */

static char *
describe_number(double bytes)
{
  return gem_limits_memory_describe_size((gsize)bytes);
}

/* The line of one kind of probe on so many threads. */
static void
add_line(GemBenchChart *chart, const char *what, const GPtrArray *probes, guint threads)
{
  g_autofree char *name = g_strdup_printf("%s, %u thread%s", what, threads, plural(threads));
  guint i;

  gem_bench_chart_add_series(chart, name);
  for (i = 0; i < probes->len; i++) {
    const GemLimitsProbe *probe = probes->pdata[i];

    if (probe->threads == threads) {
      gem_bench_chart_add_point(chart, (double)probe->bytes, gem_bench_spread(probe->values).median);
    }
  }
}

gboolean
gem_limits_results_draw(const GemLimitsResults *self, const char *path, GError **error)
{
  g_autofree char *description = describe(self);
  g_autoptr(GemBenchChart) chart =
      gem_bench_chart_new_lines(description, "working set", "GB/s, medians", TRUE);

  gem_bench_chart_set_describe(chart, describe_number);
  add_line(chart, "read", self->reads, 1);
  add_line(chart, "copy", self->copies, 1);
  if (self->threads > 1) {
    add_line(chart, "read", self->reads, self->threads);
    add_line(chart, "copy", self->copies, self->threads);
  }
  return gem_bench_chart_write(chart, path, error);
}
