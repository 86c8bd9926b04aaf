/*
 * bench-adapt MODEL DATA NAME TEXT REPLAY [SECONDS [THREADS [REPLACES]]]: what gem-adapt makes of a text,
 * without service and bus, and what it does to the model's own domains on real text that is held out.
 *
 * MODEL is a model's folder, DATA one of texts (docs/training.md), of which every fiftieth document is read;
 * what is replayed the model writes itself, as it does in the service, into the file REPLAY, unless that is
 * there.
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
#include "training/gem-corpus.h"
#include "training/gem-matmul.h"
#include "training/gem-presets.h"

#define REPLAY_TEXTS  16
#define REPLAY_TOKENS 128
#define DOCUMENTS     60 /* of each domain */

/* ---- replayed text ---- */

static guint32
draw_token(const float *logits, guint n, GemRandom *random)
{
  double top = -INFINITY, sum = 0.0;
  for (guint i = 0; i < n; i++) {
    top = MAX(top, (double)logits[i]);
  }
  for (guint i = 0; i < n; i++) {
    sum += exp((double)logits[i] - top);
  }
  double at = gem_random_uniform(random) * sum;
  for (guint i = 0; i < n; i++) {
    at -= exp((double)logits[i] - top);
    if (at < 0.0) {
      return i;
    }
  }
  return n - 1;
}

/* Texts of one domain at temperature 1, side by side. */
static void
write_texts(const GemAdaptModel *model, gint8 domain, GVariantBuilder *texts)
{
  guint vocab = model->shape.vocab, eos = gem_tokenizer_eos(model->tokenizer);
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new_forward(model->backbone);
  g_autoptr(GemBatch) batch = gem_batch_new((gsize)REPLAY_TEXTS * REPLAY_TOKENS);
  g_autofree float *logits = g_new(float, (gsize)REPLAY_TEXTS *vocab);
  guint32 tokens[REPLAY_TEXTS][REPLAY_TOKENS];
  GemRandom random = gem_random_seeded(7, (guint64)(domain + 2));
  for (guint t = 0; t < REPLAY_TEXTS; t++) {
    tokens[t][0] = gem_tokenizer_bos(model->tokenizer);
  }
  for (guint n = 1; n < REPLAY_TOKENS; n++) {
    GemLoss loss;
    gem_batch_clear(batch);
    for (guint t = 0; t < REPLAY_TEXTS; t++) {
      gem_batch_append(batch, tokens[t], n, domain, 0.0f);
    }
    memset(batch->target, 0xff, batch->n * sizeof(gint32));
    gem_backbone_run(model->backbone, model->values, model->centroids->values, model->cluster_set, batch,
                     1.0f, pass, NULL, NULL, &loss);
    gem_backbone_last_logits(model->backbone, model->values, batch, pass, logits);
    for (guint t = 0; t < REPLAY_TEXTS; t++) {
      logits[(gsize)t * vocab + eos] = -INFINITY;
      tokens[t][n] = draw_token(logits + (gsize)t * vocab, vocab, &random);
    }
  }
  for (guint t = 0; t < REPLAY_TEXTS; t++) {
    g_autofree char *text = gem_tokenizer_decode(model->tokenizer, tokens[t] + 1, REPLAY_TOKENS - 1);
    g_variant_builder_add(texts, "(ss)", gem_adapt_replay_domain_name(model, domain), text);
  }
}

static GVariant *
write_replay(const GemAdaptStart *start)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemAdaptModel) model = gem_adapt_model_new(start, &error);
  g_assert_no_error(error);
  GVariantBuilder texts;
  g_variant_builder_init(&texts, G_VARIANT_TYPE("a(ss)"));
  for (gint8 domain = GEM_ROUTE_GENERAL; domain < (gint8)model->shape.n_domains; domain++) {
    write_texts(model, domain, &texts);
  }
  return g_variant_builder_end(&texts);
}

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
  g_autofree GemAdaptSums *before = g_new0(GemAdaptSums, n), *after = g_new0(GemAdaptSums, n);
  g_autofree float *row = g_new0(float, model->base.router_width + 1);
  g_assert_true(gem_adapt_measure(model, texts, NULL, lanes, NULL, no_share, NULL, before, n, &error));
  g_assert_true(gem_adapt_output_read(model, start, row, &error));
  g_assert_no_error(error);
  g_assert_true(gem_adapt_measure(model, texts, row, lanes, NULL, no_share, NULL, after, n, &error));
  printf("%-16s %10s %10s %10s %10s %8s\n", "real text", "tokens", "before", "after", "change %", "taken %");
  for (guint d = 0; d < n; d++) {
    double first = gem_adapt_sums_perplexity(&before[d]), last = gem_adapt_sums_perplexity(&after[d]);
    printf("%-16s %10zu %10.3f %10.3f %10.3f %8.3f\n", d + 1 < n ? model->shape.domains[d] : "general",
           before[d].tokens, first, last, 100.0 * (last / first - 1.0),
           100.0 * (double)after[d].own / (double)MAX(after[d].read, 1));
  }
}

/* ---- the run ---- */

static void
print_result(const GemAdaptPacket *packet)
{
  if (packet == NULL || packet->kind == GEM_ADAPT_ERROR) {
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

/* The file's, or new ones for the next time. */
static GVariant *
get_replay(const char *path, const GemAdaptStart *start)
{
  g_autoptr(GError) error = NULL;
  char *contents = NULL;
  gsize size = 0;
  if (g_file_get_contents(path, &contents, &size, NULL)) {
    return g_variant_new_from_data(G_VARIANT_TYPE("a(ss)"), contents, size, FALSE, g_free, contents);
  }
  GVariant *replay = write_replay(start);
  g_file_set_contents(path, g_variant_get_data(replay), (gssize)g_variant_get_size(replay), &error);
  g_assert_no_error(error);
  return replay;
}

static GemAdaptPacket *
make_start(char **words, const char *text, gsize length)
{
  guint n = g_strv_length(words);
  GemAdaptPacket *packet = gem_test_adapt_start(words[1], words[3], n > 8 ? words[8] : NULL, "adaptive", text,
                                                length, g_variant_new("a(ss)", NULL));
  GemAdaptStart *start = &packet->start;
  start->seconds = n > 6 ? (guint)atoi(words[6]) : 270;
  start->threads = n > 7 ? (guint)atoi(words[7]) : 2;
  start->worst_other_percent = 1.0;
  start->least_gain_percent = 2.0;
  g_autoptr(GVariant) replay = g_variant_ref_sink(get_replay(words[5], start));
  close(start->files[GEM_ADAPT_REPLAY]);
  start->files[GEM_ADAPT_REPLAY] =
      gem_test_adapt_file(g_variant_get_data(replay), g_variant_get_size(replay));
  return packet;
}

int
main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize length = 0;
  if (argc < 6 || argc > 9) {
    fprintf(stderr, "usage: bench-adapt MODEL DATA NAME TEXT REPLAY [SECONDS [THREADS [REPLACES]]]\n");
    return 2;
  }
  gem_matmul_prepare_process(argv);
  if (!gem_matmul_select("auto", &error) || !g_file_get_contents(argv[4], &text, &length, &error)) {
    fprintf(stderr, "bench-adapt: %s\n", error->message);
    return 1;
  }
  g_autoptr(GemAdaptPacket) start = make_start(argv, text, length);
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
