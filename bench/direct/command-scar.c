/* gem-bench scar: what sparse attention saves, counted and timed. */
#include "bench/direct/gem-bench-attention.h"
#include "bench/direct/gem-bench-model.h"
#include "bench/direct/gem-bench-scar-count.h"
#include "bench/direct/gem-bench-sequence.h"
#include "bench/gem-bench-chart.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

#define MOST_TOKENS 500000
#define MOST_ROUNDS 1000
#define BLOCK       128u
/* Tokens decoded after each length. */
#define DECODED 5u

typedef struct {
  GemBenchOptions common;
  GemBenchModelOptions model;
  char *lengths;
  gint rounds;
} ScarOptions;

/* What was measured. Kinds: dense, then the model's sets of clusters. */
typedef struct {
  const GemModelShape *shape;
  const GArray *lengths; /* guint, ascending */
  guint rounds, kinds;
  guint clusters[GEM_BENCH_KINDS_MAX]; /* 0: dense */
  GemBenchAttentionCost *prompts;      /* [lengths][kinds][rounds] of the whole prompt */
  GemBenchAttentionCost *next;         /* [lengths][kinds][rounds * DECODED] of a token after it */
  guint64 *pairs;                      /* [lengths][kinds] of the prompt, over all layers */
} Figures;

static void
scar_options_clear(ScarOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_bench_model_options_clear(&options->model);
  g_free(options->lengths);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ScarOptions, scar_options_clear)

static void
figures_clear(Figures *figures)
{
  g_free(figures->prompts);
  g_free(figures->next);
  g_free(figures->pairs);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Figures, figures_clear)

static void
figures_init(Figures *figures,
             const GemModelShape *shape,
             const GArray *lengths,
             guint rounds,
             const GemBenchAttention *attention)
{
  guint kind;

  figures->shape = shape;
  figures->lengths = lengths;
  figures->rounds = rounds;
  figures->kinds = gem_bench_attention_count_kinds(attention);
  for (kind = 0; kind < figures->kinds; kind++) {
    figures->clusters[kind] = gem_bench_attention_get_clusters(attention, kind);
  }
  figures->prompts = g_new0(GemBenchAttentionCost, (gsize)lengths->len * figures->kinds * rounds);
  figures->next = g_new0(GemBenchAttentionCost, (gsize)lengths->len * figures->kinds * rounds * DECODED);
  figures->pairs = g_new0(guint64, (gsize)lengths->len * figures->kinds);
}

static guint
length_at(const Figures *figures, guint index)
{
  return g_array_index(figures->lengths, guint, index);
}

/* ---- a measurement ---- */

/* Tokens after a prompt, each in the place of the one before. */
static gboolean
decode_tokens(GemBenchSequence *sequence,
              GemBenchAttention *attention,
              GemBenchAttentionCost *ret_costs,
              GError **error)
{
  guint i;

  if (!gem_bench_sequence_set_mark(sequence, error)) {
    return FALSE;
  }
  for (i = 0; i < DECODED; i++) {
    gem_bench_attention_take_cost(attention);
    if (!gem_bench_sequence_decode(sequence, error)) {
      return FALSE;
    }
    ret_costs[i] = gem_bench_attention_take_cost(attention);
    if (!gem_bench_sequence_rewind(sequence, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* One prompt of the longest length; what it took to get to each length on the way, and a token there. */
static gboolean
run_round(GemRuntime *runtime,
          GemBenchAttention *attention,
          Figures *figures,
          guint kind,
          guint round,
          GemBenchProgress *progress,
          GError **error)
{
  GemRouting general = {.forced = TRUE, .route = GEM_ROUTE_GENERAL};
  g_autoptr(GemBenchSequence) sequence = NULL;
  GemBenchAttentionCost prompt = {0}, part;
  guint i, done = 0;

  gem_bench_attention_use(attention, kind);
  sequence = gem_bench_sequence_new(runtime, &general, BLOCK);
  sequence->progress = progress;
  for (i = 0; i < figures->lengths->len; i++) {
    guint cell = i * figures->kinds + kind, run = cell * figures->rounds + round;

    gem_bench_attention_take_cost(attention);
    if (!gem_bench_sequence_prefill(sequence, length_at(figures, i) - done, error)) {
      return FALSE;
    }
    done = length_at(figures, i);
    part = gem_bench_attention_take_cost(attention);
    gem_bench_attention_cost_add(&prompt, &part);
    figures->prompts[run] = prompt;
    figures->pairs[cell] = gem_bench_attention_count_pairs(attention, kind, sequence->state);
    if (!decode_tokens(sequence, attention, figures->next + run * DECODED, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Steps of one prompt: each length begins a block. */
static guint
count_steps(const Figures *figures)
{
  guint i, done = 0, steps = 0;

  for (i = 0; i < figures->lengths->len; i++) {
    steps += (length_at(figures, i) - done + BLOCK - 1) / BLOCK + DECODED;
    done = length_at(figures, i);
  }
  return steps;
}

/* Kinds take turns: none is always the one that finds the cache cold or the machine busy. */
static gboolean
measure_rounds(GemRuntime *runtime, GemBenchAttention *attention, Figures *figures, GError **error)
{
  g_autoptr(GemBenchProgress) progress =
      gem_bench_progress_new(count_steps(figures) * figures->rounds * figures->kinds);
  guint round, i;

  for (round = 0; round < figures->rounds; round++) {
    for (i = 0; i < figures->kinds; i++) {
      guint kind = (round + i) % figures->kinds;

      if (!run_round(runtime, attention, figures, kind, round, progress, error)) {
        return FALSE;
      }
    }
  }
  return TRUE;
}

/* ---- what comes out ---- */

/* Medians, in milliseconds of the prompt or microseconds of the token after it. */
typedef struct {
  double all, assign, store;
} Medians;

static Medians
find_medians(const GemBenchAttentionCost *costs, guint n, double unit)
{
  g_autofree double *values = g_new(double, 3 * (gsize)n);
  guint i;

  for (i = 0; i < n; i++) {
    values[i] = gem_bench_attention_cost_sum(&costs[i]) * unit;
    values[n + i] = costs[i].assign * unit;
    values[2 * n + i] = costs[i].store * unit;
  }
  return (Medians){
      .all = gem_bench_median(values, n),
      .assign = gem_bench_median(values + n, n),
      .store = gem_bench_median(values + 2 * n, n),
  };
}

static Medians
find_prompt_ms(const Figures *figures, guint length, guint kind)
{
  gsize cell = length * figures->kinds + kind;

  return find_medians(figures->prompts + cell * figures->rounds, figures->rounds, 1e3);
}

static Medians
find_token_us(const Figures *figures, guint length, guint kind)
{
  gsize cell = length * figures->kinds + kind;
  guint samples = figures->rounds * DECODED;

  return find_medians(figures->next + cell * samples, samples, 1e6);
}

/* Values of keys and of values that were stored of the prompt, in all layers; the same in every round. */
static guint64
count_stored(const Figures *figures, guint length, guint kind)
{
  const GemModelShape *shape = figures->shape;

  return figures->prompts[(length * figures->kinds + kind) * figures->rounds].stored * 2 * shape->kv_heads *
         shape->head_dim;
}

/* Multiply-adds of all layers: of each pair, a key's and a value's with every head; of each token, its input
 * with every centroid; and of each value that is stored, its rounding. */
static double
count_operations(const Figures *figures, guint length, guint kind)
{
  const GemModelShape *shape = figures->shape;
  double pairs = (double)figures->pairs[length * figures->kinds + kind];
  double assigned = (double)length_at(figures, length) * shape->layers * figures->clusters[kind];

  return pairs * 2 * shape->heads * shape->head_dim + assigned * shape->width +
         (double)count_stored(figures, length, kind);
}

static char *
kind_name(const Figures *figures, guint kind)
{
  return kind == 0 ? g_strdup("dense") : g_strdup_printf("SCAR k = %u", figures->clusters[kind]);
}

/* One length with one kind. */
typedef struct {
  guint tokens, clusters;
  guint64 paper, pairs, stored;
  double operations, operations_share;
  Medians ms, us;
  double ms_share, us_share;
} Row;

static Row
make_row(const Figures *figures, guint length, guint kind)
{
  Row row = {
      .tokens = length_at(figures, length),
      .clusters = figures->clusters[kind],
      .pairs = figures->pairs[length * figures->kinds + kind],
      .stored = count_stored(figures, length, kind),
      .operations = count_operations(figures, length, kind),
      .ms = find_prompt_ms(figures, length, kind),
      .us = find_token_us(figures, length, kind),
  };

  row.paper = gem_bench_count_of_paper(row.tokens, row.clusters);
  row.operations_share = row.operations / count_operations(figures, length, 0);
  row.ms_share = row.ms.all / find_prompt_ms(figures, length, 0).all;
  row.us_share = row.us.all / find_token_us(figures, length, 0).all;
  return row;
}

static void
add_row(GemTable *table, const Row *row, const char *name)
{
  g_autofree char *tokens = g_strdup_printf("%u", row->tokens);
  g_autofree char *counted = g_strdup_printf("%" G_GUINT64_FORMAT, row->paper);
  g_autofree char *work = g_strdup_printf("%.1f", row->operations / 1e6);
  g_autofree char *work_share = g_strdup_printf("%.3f", row->operations_share);
  g_autofree char *time = g_strdup_printf("%.2f", row->ms.all);
  g_autofree char *storing = g_strdup_printf("%.2f", row->ms.store);
  g_autofree char *share = g_strdup_printf("%.3f", row->ms_share);
  g_autofree char *token = g_strdup_printf("%.1f", row->us.all);
  g_autofree char *token_storing = g_strdup_printf("%.1f", row->us.store);
  g_autofree char *share_of_token = g_strdup_printf("%.3f", row->us_share);

  gem_table_add(table, -1,
                (const char *const[]){tokens, name, counted, work, work_share, time, storing, share, token,
                                      token_storing, share_of_token});
}

static void
add_json(JsonBuilder *builder, const Row *row)
{
  gem_bench_json_begin_entry(builder);
  gem_bench_json_add_count(builder, "tokens", row->tokens);
  gem_bench_json_add_count(builder, "clusters", row->clusters);
  gem_bench_json_add_count(builder, "operations_of_paper", row->paper);
  gem_bench_json_add_count(builder, "pairs", row->pairs);
  gem_bench_json_add_count(builder, "stored_values", row->stored);
  gem_bench_json_add_double(builder, "operations", row->operations);
  gem_bench_json_add_double(builder, "operations_of_dense", row->operations_share);
  gem_bench_json_add_double(builder, "ms", row->ms.all);
  gem_bench_json_add_double(builder, "assign_ms", row->ms.assign);
  gem_bench_json_add_double(builder, "store_ms", row->ms.store);
  gem_bench_json_add_double(builder, "ms_of_dense", row->ms_share);
  gem_bench_json_add_double(builder, "token_us", row->us.all);
  gem_bench_json_add_double(builder, "token_assign_us", row->us.assign);
  gem_bench_json_add_double(builder, "token_store_us", row->us.store);
  gem_bench_json_add_double(builder, "token_us_of_dense", row->us_share);
  gem_bench_json_end_entry(builder);
}

static void
report(const Figures *figures, JsonBuilder *builder)
{
  static const char *const headings[] = {
      "tokens",         "attention",  "paper's count", "million operations",
      "of dense",       "prompt, ms", "storing",       "of dense",
      "next token, us", "storing",    "of dense",      NULL};
  g_autoptr(GemTable) table = gem_table_new("rlrrrrrrrrr", headings);
  guint length, kind;

  gem_bench_json_add_count(builder, "rounds", figures->rounds);
  gem_bench_json_add_count(builder, "layers", figures->shape->layers);
  gem_bench_json_add_count(builder, "window", figures->shape->window);
  gem_bench_json_begin_list(builder, "results");
  for (length = 0; length < figures->lengths->len; length++) {
    for (kind = 0; kind < figures->kinds; kind++) {
      g_autofree char *name = kind_name(figures, kind);
      Row row = make_row(figures, length, kind);

      add_row(table, &row, name);
      add_json(builder, &row);
    }
  }
  gem_bench_json_end_list(builder);
  gem_table_print(table);
}

static gboolean
draw_chart(const Figures *figures, const char *title, const char *path, GError **error)
{
  g_autoptr(GemBenchChart) chart =
      gem_bench_chart_new_lines(title, "tokens of the prompt", "ms of attention, all layers", TRUE);
  guint length, kind;

  for (kind = 0; kind < figures->kinds; kind++) {
    g_autofree char *name = kind_name(figures, kind);

    gem_bench_chart_add_series(chart, name);
    for (length = 0; length < figures->lengths->len; length++) {
      gem_bench_chart_add_point(chart, length_at(figures, length), find_prompt_ms(figures, length, kind).all);
    }
  }
  return path == NULL || gem_bench_chart_write(chart, path, error);
}

/* ---- the command ---- */

static GemBenchModel *
open_model(const ScarOptions *options, guint context, GError **error)
{
  GemBenchModelWish wish = {.attention = "scar", .context = context, .keep_files = TRUE};

  wish.path = gem_bench_get_argument(&options->common, "MODEL", error);
  return wish.path == NULL ? NULL : gem_bench_model_open(&options->model, &wish, error);
}

static gboolean
measure(const GemBenchCommand *command, const ScarOptions *options, GError **error)
{
  g_autoptr(GArray) lengths = gem_bench_parse_numbers("lengths", options->lengths, 1, MOST_TOKENS, error);
  guint longest = lengths == NULL ? 0 : g_array_index(lengths, guint, lengths->len - 1);
  g_autoptr(GemBenchModel) model = lengths == NULL ? NULL : open_model(options, longest + 1, error);
  g_autoptr(GemBenchAttention) attention = NULL;
  g_autofree char *description = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_auto(Figures) figures = {0};

  if (model == NULL) {
    return FALSE;
  }
  description = gem_bench_model_describe(model);
  attention = gem_bench_attention_new(model->runtime, error);
  if (attention == NULL) {
    return FALSE;
  }
  figures_init(&figures, &model->files->shape, lengths, (guint)options->rounds, attention);
  if (!measure_rounds(model->runtime, attention, &figures, error)) {
    return FALSE;
  }
  builder = gem_bench_json_begin(command, &options->common, "model", model->files->name);
  gem_bench_model_add_json(model, builder);
  gem_output_printf("%s; %u layers, window %u\n", description, figures.shape->layers, figures.shape->window);
  report(&figures, builder);
  return gem_bench_json_finish(builder, &options->common, error) &&
         draw_chart(&figures, description, options->common.chart, error);
}

static gboolean
parse(const GemBenchCommand *self, char **argv, ScarOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"lengths", 0, 0, G_OPTION_ARG_STRING, &options->lengths,
       "Tokens of the prompts (128,256,512,1024,2048,4096,8192)", "N,N..."},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options->rounds, "Rounds (3)", "N"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *model = gem_bench_model_entries(&options->model);

  options->rounds = 3;
  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, model, NULL}, argv, &options->common,
                       error)) {
    return FALSE;
  }
  if (options->lengths == NULL) {
    options->lengths = g_strdup("128,256,512,1024,2048,4096,8192");
  }
  return gem_bench_check_range("rounds", options->rounds, 1, MOST_ROUNDS, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(ScarOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_scar = {
    .name = "scar",
    .arguments = "MODEL",
    .summary = "Tell what sparse attention saves, in operations and in time",
    .details =
        "Reads a prompt of random tokens in this process with dense attention, and with each of the model's\n"
        "sets of clusters. Attention is timed alone: assignment to clusters, storing keys and values,\n"
        "finding what each token sees, and attending, in all layers; of the whole prompt, and of one more\n"
        "token after it. SCAR stores each key and value twice, in order and by cluster, dense attention\n"
        "once; how much of the time storing is stands beside it. The paper's count is k n + n (dense: n^2);\n"
        "operations are the multiply-adds of the prompt in all layers: assignment, and keys and values of\n"
        "the tokens that each token sees; one more for each value that is stored.\n\n"
        "Examples:\n"
        "  gem-bench scar ~/models/gem-mini\n"
        "  gem-bench scar ~/models/gem-mini --lengths 512,4096 -r 9 --json scar.json --chart scar.svg",
    .takes = GEM_BENCH_TAKES_CHART,
    .run = run,
};
