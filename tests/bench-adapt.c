/*
 * bench-adapt MODEL DATA NAME TEXT REPLAY [SECONDS [THREADS [REPLACES]]]: what gem-adapt makes of a text,
 * without service and bus, and what it does to the model's own domains on real text that is held out.
 *
 * MODEL is a model's folder, DATA one of texts (docs/training.md), of which every fiftieth document is read;
 * REPLAY a file that bench-replay wrote with that model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "adaptation/trainer/gem-adapt-measure.h"
#include "adaptation/trainer/gem-adapt-output.h"
#include "adaptation/trainer/gem-adapt-replay.h"
#include "tests/gem-test-trainer.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/network/gem-presets.h"
#include "training/text/gem-corpus.h"

#define DOCUMENTS 60 /* of each domain */

/* ---- other domains ---- */

static void
no_share(double share, gpointer data)
{
}

/* The held-out documents of every domain, one group each; general is the last. */
static GArray *
gather(const GemCorpus *corpus, guint n_domains)
{
  GArray *texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  for (guint s = 0; s < corpus->sources->len; s++) {
    const GemSource *source = corpus->sources->pdata[s];
    for (guint i = 0; i < source->documents->len; i++) {
      const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
      GemAdaptText text = {.tokens = &g_array_index(source->tokens, guint32, document->first),
                           .n = document->length,
                           .domain = source->domain,
                           .group = source->domain == GEM_ROUTE_GENERAL ? n_domains : (guint)source->domain};
      g_array_append_val(texts, text);
    }
  }
  return texts;
}

static void
measure_others(const GemAdaptStart *start, const char *data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemAdaptModel) model = gem_adapt_model_new(start, &error);
  g_assert_no_error(error);
  const GemCorpusOptions options = {.folder = data,
                                    .split = GEM_SPLIT_HELD_OUT,
                                    .corpus = TRUE,
                                    .all_licences = TRUE,
                                    .most_documents = DOCUMENTS,
                                    .ask_template = GEM_PRESET_ASK_TEMPLATE};
  g_autoptr(GemCorpus) corpus =
      gem_corpus_load(&options, (const char *const *)model->shape.domains, model->tokenizer, &error);
  g_assert_no_error(error);
  guint n = model->shape.n_domains + 1;
  g_autoptr(GArray) texts = gather(corpus, model->shape.n_domains);
  g_autoptr(GemLanes) lanes = gem_lanes_new(start->threads);
  const GemAdaptWatch watch = {NULL, no_share, NULL};
  g_autofree GemAdaptSums *before = g_new0(GemAdaptSums, texts->len),
                          *after = g_new0(GemAdaptSums, texts->len);
  g_autofree float *row = g_new0(float, model->base.router_width + 1);
  g_assert_true(gem_adapt_measure(model, texts, GEM_ADAPT_LOOK_BACK, NULL, lanes, &watch, before, &error));
  g_assert_true(gem_adapt_output_read(model, start, row, &error));
  g_assert_no_error(error);
  g_assert_true(gem_adapt_measure(model, texts, GEM_ADAPT_LOOK_BACK, row, lanes, &watch, after, &error));
  printf("%-16s %10s %10s %10s %10s %10s %8s\n", "real text", "tokens", "before", "after", "change %",
         "(error)", "taken %");
  for (guint d = 0; d < n; d++) {
    GemAdaptSums first = gem_adapt_sums_add(texts, before, d), last = gem_adapt_sums_add(texts, after, d);
    GemAdaptChange change = gem_adapt_sums_compare(texts, before, after, d);
    printf("%-16s %10zu %10.3f %10.3f %10.3f %10.3f %8.3f\n", d + 1 < n ? model->shape.domains[d] : "general",
           first.tokens, gem_adapt_sums_perplexity(&first), gem_adapt_sums_perplexity(&last), change.percent,
           change.error, 100.0 * (double)last.own / (double)MAX(last.read, 1));
  }
}

/* ---- the run ---- */

static void
print_result(const GemAdaptPacket *packet)
{
  if (packet == NULL || packet->kind == GEM_ADAPT_ERROR || packet->kind == GEM_ADAPT_BAD_TEXT) {
    printf("error: %s\n", packet != NULL ? packet->message : "it ended without a word");
    return;
  }
  const GemAdaptResult *result = &packet->result;
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  printf("%s%s%s\n",
         packet->kind == GEM_ADAPT_DONE ? "done" : "refused: ", result->reason != NULL ? result->reason : "",
         "");
  printf("tokens %" G_GUINT64_FORMAT ", steps %" G_GUINT64_FORMAT ", %.1f s, CPU %ld s, at most %ld MiB\n",
         result->tokens, result->steps, result->seconds,
         (long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec), usage.ru_maxrss / 1024);
  printf("held out: %.3f -> %.3f (%.1f %%), routed to it %.1f %%\n", result->held_out_before,
         result->held_out_after, 100.0 * (result->held_out_after / result->held_out_before - 1.0),
         100.0 * result->routed_share);
  for (guint i = 0; i < result->others->len; i++) {
    const GemAdaptOther *other = &g_array_index(result->others, GemAdaptOther, i);
    printf("replayed %-16s %+.3f %%\n", other->domain, other->percent);
  }
}

static GemAdaptPacket *
make_start(char **words, const char *text, gsize length, GBytes *replay)
{
  guint n = g_strv_length(words);
  GVariant *texts = g_variant_new_from_bytes(G_VARIANT_TYPE("a(ss)"), replay, FALSE);
  GemAdaptPacket *packet =
      gem_test_adapt_start(words[1], words[3], n > 8 ? words[8] : NULL, "adaptive", text, length, texts);
  GemAdaptStart *start = &packet->start;
  start->seconds = n > 6 ? (guint)atoi(words[6]) : 270;
  start->threads = n > 7 ? (guint)atoi(words[7]) : 2;
  start->worst_other_percent = 1.0;
  start->least_gain_percent = 2.0;
  return packet;
}

int
main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL, *replayed = NULL;
  gsize length = 0, replayed_size = 0;
  if (argc < 6 || argc > 9) {
    fprintf(stderr, "usage: bench-adapt MODEL DATA NAME TEXT REPLAY [SECONDS [THREADS [REPLACES]]]\n");
    return 2;
  }
  gem_matmul_prepare_process(argv);
  if (!gem_matmul_select("auto", &error) || !g_file_get_contents(argv[4], &text, &length, &error) ||
      !g_file_get_contents(argv[5], &replayed, &replayed_size, &error)) {
    fprintf(stderr, "bench-adapt: %s\n", error->message);
    return 1;
  }
  g_autoptr(GBytes) replay = g_bytes_new_take(g_steal_pointer(&replayed), replayed_size);
  g_autoptr(GemAdaptPacket) start = make_start(argv, text, length, replay);
  g_autoptr(GemTestAdapt) run = gem_test_adapt_new(start);
  g_autoptr(GemAdaptPacket) last = gem_test_adapt_wait_last(run);
  gem_test_adapt_wait_exit(run);
  print_result(last);
  gboolean done = last != NULL && last->kind == GEM_ADAPT_DONE;
  if (done) {
    measure_others(&start->start, argv[2]);
  }
  return done ? 0 : 1;
}
