/* gem-bench paging: how long a pathway takes to come and go. */
#include <math.h>

#include "bench/direct/gem-bench-model.h"
#include "bench/direct/gem-bench-sequence.h"
#include "bench/direct/limits/gem-bench-file-cache.h"
#include "bench/gem-bench-chart.h"
#include "bench/gem-bench-progress.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

#define MOST_ROUNDS 100000
/* How often, and how many times, it is looked whether what is kept is there. */
#define LOOK_MICROSECONDS 10000
#define MOST_LOOKS        1000u
#define PROMPT_TOKENS     16u /* few: a long prompt would hide the reading */

typedef struct {
  GemBenchOptions common;
  GemBenchModelOptions model;
  gint rounds;
} PagingOptions;

typedef enum {
  WARM_IN,  /* the file is in the system's cache */
  PLACE_IN, /* it is, and another pathway has just gone for this one */
  COLD_IN,  /* it is not */
  OUT,
  DELAY, /* of a prompt whose pathway is absent and not in the cache, against one whose pathway is resident */
  N_KINDS,
} Kind;

static const char *const kind_names[N_KINDS] = {
    [WARM_IN] = "page_in_warm_us", [PLACE_IN] = "page_in_place_us",  [COLD_IN] = "page_in_cold_us",
    [OUT] = "page_out_us",         [DELAY] = "first_token_delay_us",
};

/* Of one pathway. */
typedef struct {
  const char *domain;
  guint64 file_bytes, resident_bytes;
  GArray *us[N_KINDS]; /* double: microseconds */
  guint64 left;        /* the most bytes that stayed in the cache when it was to be dropped */
} Figures;

static void
paging_options_clear(PagingOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_bench_model_options_clear(&options->model);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PagingOptions, paging_options_clear)

static void
figures_clear(gpointer data)
{
  Figures *figures = data;
  guint kind;

  for (kind = 0; kind < N_KINDS; kind++) {
    g_array_unref(figures->us[kind]);
  }
}

/* Appends a pathway without figures. */
static Figures *
add_pathway(GArray *all, const char *domain)
{
  Figures figures = {.domain = domain};
  guint kind;

  for (kind = 0; kind < N_KINDS; kind++) {
    figures.us[kind] = g_array_new(FALSE, FALSE, sizeof(double));
  }
  g_array_append_val(all, figures);
  return &g_array_index(all, Figures, all->len - 1);
}

/* ---- a measurement ---- */

/* What is measured of: a pathway and its file. */
typedef struct {
  GemPager *pager;
  guint domain;
  const char *file;
  const char *kept;           /* the folder of what the backend made of such files; NULL: none */
  GemBenchSequence *sequence; /* whose tokens are all routed to it */
} Subject;

/* The clock counts whole microseconds. */
static void
note(Figures *figures, Kind kind, gint64 us)
{
  double value = (double)us;

  g_array_append_val(figures->us[kind], value);
}

static gboolean
page_in(const Subject *subject, Figures *figures, Kind kind, GError **error)
{
  gint64 started = g_get_monotonic_time();

  if (!gem_pager_page_in(subject->pager, subject->domain, error)) {
    return FALSE;
  }
  note(figures, kind, g_get_monotonic_time() - started);
  return TRUE;
}

static gboolean
page_out(const Subject *subject, Figures *figures, GError **error)
{
  gint64 started = g_get_monotonic_time();

  if (!gem_pager_page_out(subject->pager, subject->domain, GEM_PAGE_OUT_ASKED, error)) {
    return FALSE;
  }
  note(figures, OUT, g_get_monotonic_time() - started);
  return TRUE;
}

/* It takes its own place, as it would another's: they are of one shape. */
static gboolean
page_in_place(const Subject *subject, Figures *figures, GError **error)
{
  gboolean done;

  gem_pager_begin_place(subject->pager, subject->domain);
  done = gem_pager_page_out(subject->pager, subject->domain, GEM_PAGE_OUT_BUDGET, error) &&
         page_in(subject, figures, PLACE_IN, error);
  gem_pager_end_place(subject->pager);
  return done;
}

/* From a prompt to its first token, in microseconds. */
static gboolean
read_prompt(const Subject *subject, gint64 *ret_us, GError **error)
{
  gint64 started = g_get_monotonic_time();

  if (!gem_bench_sequence_prefill(subject->sequence, PROMPT_TOKENS, error)) {
    return FALSE;
  }
  *ret_us = g_get_monotonic_time() - started;
  return gem_bench_sequence_rewind(subject->sequence, error);
}

/* The pathway is absent, and its file not in the cache. */
static gboolean
measure_delay(const Subject *subject, Figures *figures, GError **error)
{
  gint64 absent, resident;

  if (!read_prompt(subject, &absent, error) || !read_prompt(subject, &resident, error)) {
    return FALSE;
  }
  note(figures, DELAY, absent - resident);
  return gem_pager_page_out(subject->pager, subject->domain, GEM_PAGE_OUT_ASKED, error);
}

/* *ret_cold: nothing of the file stayed in the cache. */
static gboolean
drop_file(const Subject *subject, Figures *figures, gboolean *ret_cold, GError **error)
{
  guint64 left = 0, of_kept = 0;

  if (!gem_bench_file_cache_drop(subject->file, &left, error) ||
      (subject->kept != NULL && !gem_bench_file_cache_drop(subject->kept, &of_kept, error))) {
    return FALSE;
  }
  left += of_kept;
  figures->left = MAX(figures->left, left);
  *ret_cold = left == 0;
  return TRUE;
}

/* In, in place, and out with the file in the cache, then without, then because of a prompt: what is to be
 * cold and is not is left out. */
static gboolean
run_round(const Subject *subject, Figures *figures, GError **error)
{
  gboolean cold;

  if (!page_in(subject, figures, WARM_IN, error) || !page_in_place(subject, figures, error) ||
      !page_out(subject, figures, error) || !drop_file(subject, figures, &cold, error)) {
    return FALSE;
  }
  if (!cold) {
    return TRUE;
  }
  if (!page_in(subject, figures, COLD_IN, error) || !page_out(subject, figures, error) ||
      !drop_file(subject, figures, &cold, error)) {
    return FALSE;
  }
  return !cold || measure_delay(subject, figures, error);
}

/* The backend writes it when the pathway has come for the first time, while that is there. */
static gboolean
wait_until_kept(const Subject *subject, GError **error)
{
  for (guint looks = 0; looks < MOST_LOOKS; looks++) {
    if (g_file_test(subject->kept, G_FILE_TEST_EXISTS)) {
      return TRUE;
    }
    g_usleep(LOOK_MICROSECONDS);
  }
  g_set_error(
      error, GEM_ERROR, GEM_ERROR_FAILED,
      "%s was not written: --cache takes a folder that nobody else may write to, with room on its disk",
      subject->kept);
  return FALSE;
}

/* The first time does not count: the file may be anywhere. */
static gboolean
look_at(const Subject *subject, Figures *figures, GError **error)
{
  GemPathwayInfo *info;

  if (!gem_pager_page_in(subject->pager, subject->domain, error)) {
    return FALSE;
  }
  info = gem_pager_get_info(subject->pager, subject->domain);
  figures->file_bytes = info->file_bytes;
  figures->resident_bytes = info->resident_bytes;
  gem_pathway_info_free(info);
  if (subject->kept != NULL && !wait_until_kept(subject, error)) {
    return FALSE;
  }
  return gem_pager_page_out(subject->pager, subject->domain, GEM_PAGE_OUT_ASKED, error);
}

/* Where the backend keeps what it makes of a pathway's file; NULL without a cache. Transfer full. */
static char *
find_kept(const GemBenchModel *model, guint domain, const char *cache)
{
  const char *name = model->files->shape.domains[domain];

  return cache == NULL ? NULL
                       : g_build_filename(cache, gem_backend_set_get_name(model->runtime->backends),
                                          gem_model_files_get_pathway_digest(model->files, name), NULL);
}

static gboolean
measure_pathway(GemBenchModel *model,
                guint domain,
                const char *file,
                const PagingOptions *options,
                Figures *figures,
                GemBenchProgress *progress,
                GError **error)
{
  const GemRouting routing = {.forced = TRUE, .route = (guint8)domain};
  g_autoptr(GemBenchSequence) sequence = gem_bench_sequence_new(model->runtime, &routing, PROMPT_TOKENS);
  g_autofree char *kept = find_kept(model, domain, options->model.cache_dir);
  const Subject subject = {
      .pager = model->runtime->pager, .domain = domain, .file = file, .kept = kept, .sequence = sequence};
  guint i;

  if (!look_at(&subject, figures, error) || !gem_bench_sequence_set_mark(sequence, error)) {
    return FALSE;
  }
  for (i = 0; i < (guint)options->rounds; i++) {
    /* What a cold page-in has read is in the cache again. */
    if (!run_round(&subject, figures, error)) {
      return FALSE;
    }
    gem_bench_progress_step(progress, figures->domain);
  }
  return TRUE;
}

static gboolean
measure_all(
    GemBenchModel *model, const char *folder, const PagingOptions *options, GArray *all, GError **error)
{
  const GemModelShape *shape = &model->files->shape;
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(shape->n_domains * (guint)options->rounds);
  guint i;

  if (shape->n_domains == 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "%s has no pathways that come and go", model->files->name);
    return FALSE;
  }
  for (i = 0; i < shape->n_domains; i++) {
    g_autofree char *name = gem_model_pathway_file(shape->domains[i]);
    g_autofree char *file = g_build_filename(folder, name, NULL);

    if (!measure_pathway(model, i, file, options, add_pathway(all, shape->domains[i]), progress, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- what comes out ---- */

/* Megabytes of the file a second; NAN when it was not measured. */
static double
rate_of(const Figures *figures, Kind kind)
{
  return (double)figures->file_bytes / gem_bench_spread(figures->us[kind]).median;
}

static char *
format_figure(double value)
{
  return isfinite(value) ? g_strdup_printf("%.0f", value) : g_strdup("-");
}

static void
add_row(GemTable *table, const Figures *figures)
{
  g_autofree char *size = gem_output_size(figures->file_bytes);
  g_autofree char *warm = format_figure(gem_bench_spread(figures->us[WARM_IN]).median);
  g_autofree char *warm_rate = format_figure(rate_of(figures, WARM_IN));
  g_autofree char *place = format_figure(gem_bench_spread(figures->us[PLACE_IN]).median);
  g_autofree char *cold = format_figure(gem_bench_spread(figures->us[COLD_IN]).median);
  g_autofree char *cold_rate = format_figure(rate_of(figures, COLD_IN));
  g_autofree char *out = format_figure(gem_bench_spread(figures->us[OUT]).median);
  g_autofree char *delay = format_figure(gem_bench_spread(figures->us[DELAY]).median);

  gem_table_add(
      table, -1,
      (const char *const[]){figures->domain, size, warm, warm_rate, place, cold, cold_rate, out, delay});
}

static void
add_json(const Figures *figures, JsonBuilder *builder)
{
  guint kind;

  gem_bench_json_begin_entry(builder);
  gem_bench_json_add_string(builder, "pathway", figures->domain);
  gem_bench_json_add_count(builder, "file_bytes", figures->file_bytes);
  gem_bench_json_add_count(builder, "resident_bytes", figures->resident_bytes);
  for (kind = 0; kind < N_KINDS; kind++) {
    gem_bench_json_add_values(builder, kind_names[kind], figures->us[kind]);
  }
  gem_bench_json_add_double(builder, "page_in_warm_mb_per_second", rate_of(figures, WARM_IN));
  gem_bench_json_add_double(builder, "page_in_cold_mb_per_second", rate_of(figures, COLD_IN));
  gem_bench_json_add_count(builder, "cache_bytes_left", figures->left);
  gem_bench_json_end_entry(builder);
}

static void
report(const GArray *all, JsonBuilder *builder)
{
  static const char *const headings[] = {"pathway",     "file", "warm in, us", "MB/s",      "in place, us",
                                         "cold in, us", "MB/s", "out, us",     "delay, us", NULL};
  g_autoptr(GemTable) table = gem_table_new("lrrrrrrrr", headings);
  guint i;

  gem_bench_json_begin_list(builder, "pathways");
  for (i = 0; i < all->len; i++) {
    add_row(table, &g_array_index(all, Figures, i));
    add_json(&g_array_index(all, Figures, i), builder);
  }
  gem_bench_json_end_list(builder);
  gem_table_print(table);
  for (i = 0; i < all->len; i++) {
    const Figures *figures = &g_array_index(all, Figures, i);

    if (figures->left > 0) {
      g_autofree char *left = gem_output_size(figures->left);

      gem_output_printf("%s: the cache could not be dropped, %s stayed: %u of %u rounds were cold\n",
                        figures->domain, left, figures->us[COLD_IN]->len, figures->us[WARM_IN]->len);
    }
  }
}

static gboolean
draw_chart(const GArray *all, const char *title, const char *path, GError **error)
{
  static const char *const names[N_KINDS] = {[WARM_IN] = "page-in, warm",
                                             [PLACE_IN] = "page-in, in place",
                                             [COLD_IN] = "page-in, cold",
                                             [OUT] = "page-out",
                                             [DELAY] = "delay of a first token"};
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars(title, "microseconds, medians");
  guint kind, i;

  for (kind = 0; kind < N_KINDS; kind++) {
    gem_bench_chart_add_series(chart, names[kind]);
    for (i = 0; i < all->len; i++) {
      const Figures *figures = &g_array_index(all, Figures, i);
      double median = gem_bench_spread(figures->us[kind]).median;

      gem_bench_chart_add_bar(chart, figures->domain, median, median, median);
    }
  }
  return path == NULL || gem_bench_chart_write(chart, path, error);
}

/* ---- the command ---- */

static gboolean
measure(const GemBenchCommand *command, const PagingOptions *options, GError **error)
{
  GemBenchModelWish wish = {.path = gem_bench_get_argument(&options->common, "MODEL", error),
                            .context = PROMPT_TOKENS};
  g_autoptr(GemBenchModel) model =
      wish.path == NULL ? NULL : gem_bench_model_open(&options->model, &wish, error);
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Figures));
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *description = NULL;

  g_array_set_clear_func(all, figures_clear);
  if (model == NULL || !measure_all(model, wish.path, options, all, error)) {
    return FALSE;
  }
  description = gem_bench_model_describe(model);
  builder = gem_bench_json_begin(command, &options->common, "model", model->files->name);
  gem_bench_model_add_json(model, builder);
  gem_output_printf("%s; medians of %d rounds\n", description, options->rounds);
  report(all, builder);
  return gem_bench_json_finish(builder, &options->common, error) &&
         draw_chart(all, description, options->common.chart, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(PagingOptions) options = {.rounds = 15};
  const GOptionEntry own[] = {
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options.rounds, "Rounds of each pathway (15)", "N"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *model = gem_bench_model_entries(&options.model);
  g_autoptr(GError) error = NULL;

  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, model, NULL}, argv, &options.common,
                       &error) ||
      !gem_bench_check_range("rounds", options.rounds, 1, MOST_ROUNDS, &error) ||
      !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_paging = {
    .name = "paging",
    .arguments = "MODEL",
    .summary = "Tell how long pathways take to come into memory and to leave it",
    .details =
        "Pages each of a model's pathways in and out in this process: with its file in the system's cache\n"
        "(warm), and after the cache was told to drop it (cold). A file that stays in the cache, on a file\n"
        "system in memory for instance, has no cold figure. In place is warm, too, into the memory of a\n"
        "pathway that has just gone for it, as happens under MemoryLimit. The first check of a file's hash\n"
        "is not counted: the daemon makes it when it starts. MB/s are of the file. The delay is that of the\n"
        "first token after a prompt of 16 tokens whose pathway is absent and cold, against one whose "
        "pathway\n"
        "is resident. With --cache, what the backend made of the files when they first came in stands for\n"
        "them from then on; nobody else may have the right to write to that folder.\n\n"
        "Examples:\n"
        "  gem-bench paging ~/models/gem-mini\n"
        "  gem-bench paging ~/models/gem-mini -r 51 --json paging.json --chart paging.svg",
    .takes = GEM_BENCH_TAKES_CHART,
    .run = run,
};
