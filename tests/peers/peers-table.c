#include "tests/peers/peers-table.h"

#include "bench/gem-bench-json.h"
#include "bench/gem-bench-statistics.h"
#include "clients/gem-client/gem-client-output.h"

typedef struct {
  GemPeersKind kind;
  GemPeersRun gemd, llama;
  const char *title;
  const char *note; /* after the title and its numbers */
  const char *unit;
  double scale; /* from the figure's unit to the one shown */
  int digits;
} Row;

static const Row rows[] = {
    {GEM_PEERS_PREFILL, GEM_PEERS_GEMD, GEM_PEERS_LLAMA, "prefill", "", "tokens/s", 1, 0},
    {GEM_PEERS_DECODE, GEM_PEERS_GEMD, GEM_PEERS_LLAMA, "decode", "", "tokens/s", 1, 0},
    {GEM_PEERS_DECODE, GEM_PEERS_GEMD_DEEP, GEM_PEERS_LLAMA_DEEP, "decode", "", "tokens/s", 1, 0},
    {GEM_PEERS_DECODE, GEM_PEERS_GEMD_DEEP, GEM_PEERS_LLAMA_DEEP_16, "decode",
     ", llama.cpp's cache in 16 bits", "tokens/s", 1, 0},
    {GEM_PEERS_LOAD, GEM_PEERS_GEMD, GEM_PEERS_LLAMA, "load", "", "ms", 1, 1},
    {GEM_PEERS_PEAK, GEM_PEERS_GEMD, GEM_PEERS_LLAMA, "peak resident", "", "MB", 1e-6, 1},
};

static gboolean
is_deep(const Row *row)
{
  return row->gemd == GEM_PEERS_GEMD_DEEP;
}

/* Of a router, how fast it reads a turn. */
static gboolean
is_measured(const Row *row, const GemPeersWish *wish)
{
  return wish->router != NULL ? row->kind == GEM_PEERS_PREFILL : wish->depth > 0 || !is_deep(row);
}

/* "decode 64 after 2048, ...". Transfer full. */
static char *
title_of(const Row *row, const GemPeersWish *wish)
{
  GString *title = g_string_new(row->title);

  if (row->kind == GEM_PEERS_PREFILL || row->kind == GEM_PEERS_DECODE) {
    g_string_append_printf(title, " %u", row->kind == GEM_PEERS_PREFILL ? wish->prompt : wish->tokens);
  }
  if (is_deep(row)) {
    g_string_append_printf(title, " after %u", wish->depth);
  }
  return g_string_free(g_string_append(title, row->note), FALSE);
}

static void
print_row(const GemPeersSpeed *speed, const GemPeersWish *wish, const Row *row)
{
  GemBenchSpread gemd = gem_bench_spread(speed->figures[row->gemd][row->kind]);
  GemBenchSpread llama = gem_bench_spread(speed->figures[row->llama][row->kind]);
  g_autoptr(GArray) turns = gem_peers_speed_ratios(speed, row->gemd, row->llama, row->kind);
  GemBenchSpread ratio = gem_bench_spread(turns);
  g_autofree char *title = title_of(row, wish);

  gem_output_printf("| %s | %u | %s, %s | %.*f | %.*f | %.2f | %.2f to %.2f |\n", speed->file, wish->threads,
                    title, row->unit, row->digits, gemd.median * row->scale, row->digits,
                    llama.median * row->scale, ratio.median, ratio.min, ratio.max);
}

void
gem_peers_table_print_heading(void)
{
  gem_output_text("| file | threads | what | gemd | llama.cpp | ratio | in single turns |\n"
                  "| --- | ---: | --- | ---: | ---: | ---: | --- |\n");
}

void
gem_peers_table_print(const GemPeersSpeed *speed, const GemPeersWish *wish)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS(rows); i++) {
    if (is_measured(&rows[i], wish)) {
      print_row(speed, wish, &rows[i]);
    }
  }
}

static void
add_row(const GemPeersSpeed *speed, const GemPeersWish *wish, const Row *row, JsonBuilder *builder)
{
  g_autoptr(GArray) ratios = gem_peers_speed_ratios(speed, row->gemd, row->llama, row->kind);
  g_autofree char *title = title_of(row, wish);

  gem_bench_json_begin_entry(builder);
  gem_bench_json_add_string(builder, "file", speed->file);
  gem_bench_json_add_count(builder, "threads", wish->threads);
  gem_bench_json_add_string(builder, "gemd_version", speed->descriptions[0]);
  gem_bench_json_add_string(builder, "llama.cpp_version", speed->descriptions[1]);
  gem_bench_json_add_string(builder, "what", title);
  gem_bench_json_add_string(builder, "unit", row->kind == GEM_PEERS_PEAK ? "bytes" : row->unit);
  gem_bench_json_add_values(builder, "gemd", speed->figures[row->gemd][row->kind]);
  gem_bench_json_add_values(builder, "llama.cpp", speed->figures[row->llama][row->kind]);
  gem_bench_json_add_values(builder, "ratio", ratios);
  gem_bench_json_end_entry(builder);
}

void
gem_peers_table_add_json(const GemPeersSpeed *speed, const GemPeersWish *wish, JsonBuilder *builder)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS(rows); i++) {
    if (is_measured(&rows[i], wish)) {
      add_row(speed, wish, &rows[i], builder);
    }
  }
}
