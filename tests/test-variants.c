/* What variants of a model are made of, and what is made of their scores. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-folder.h"
#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/experiment/gem-compression.h"
#include "training/experiment/gem-retraining.h"
#include "training/experiment/gem-variant-costs.h"
#include "training/experiment/gem-variant-network.h"
#include "training/experiment/gem-variant-trend.h"
#include "training/network/gem-presets.h"

#define SHAPE "vocab=512,width=64,heads=2,layers=2,ffn=64,domain-ffn=32,domains=3,window=4"

/* A model with random weights away from where residuals are silent. */
static GemBackboneCheckpoint *
model_new(void)
{
  GemBackboneCheckpoint *self = g_new0(GemBackboneCheckpoint, 1);
  self->backbone = gem_test_backbone_new(SHAPE, 64);
  self->values = gem_parameters_alloc(self->backbone->parameters);
  self->centroids = gem_centroids_new(self->backbone, 5);
  gem_parameters_init(self->backbone->parameters, 3, self->values);
  GemRandom random = gem_random_seeded(4, 4);
  for (gsize i = 0; i < self->backbone->parameters->size; i++) {
    self->values[i] += 0.1f * (float)gem_random_normal(&random);
  }
  return self;
}

/* ---- compression ---- */

static double
error_of(const GemParameters *parameters, const float *values, const float *others)
{
  double sum = 0.0;
  for (gsize i = 0; i < parameters->size; i++) {
    sum += pow((double)values[i] - (double)others[i], 2.0);
  }
  return sum;
}

static void
test_bits(void)
{
  g_autoptr(GemBackboneCheckpoint) model = model_new();
  const GemParameters *parameters = model->backbone->parameters;
  gsize bytes = parameters->size * sizeof(float);
  double before = INFINITY;
  for (guint bits = 2; bits <= 8; bits++) {
    g_autofree float *values = g_memdup2(model->values, bytes), *again = NULL;
    gem_compression_apply_bits(parameters, bits, values);
    again = g_memdup2(values, bytes);
    gem_compression_apply_bits(parameters, bits, again);
    g_assert_cmpfloat(error_of(parameters, values, again), <, 1e-9); /* what is rounded stays */
    double error = error_of(parameters, values, model->values);
    g_assert_cmpfloat(error, <, before / 2.0);
    g_assert_cmpfloat(error, >, 0.0);
    before = error;
    const GemParameter *first = parameters->items->pdata[0];
    g_autoptr(GHashTable) levels = g_hash_table_new(g_direct_hash, g_direct_equal);
    for (guint i = 0; i < GEM_COMPRESSION_BLOCK; i++) {
      guint32 level;
      memcpy(&level, &values[first->offset + i], sizeof level);
      g_hash_table_add(levels, GUINT_TO_POINTER(values[first->offset + i] == 0.0f ? 0u : level));
    }
    g_assert_cmpuint(g_hash_table_size(levels), <=, (1u << bits) - 1);
    for (guint i = 0; i < parameters->items->len; i++) {
      const GemParameter *parameter = parameters->items->pdata[i];
      if (parameter->rows == 1) { /* norms */
        g_assert_cmpmem(values + parameter->offset, parameter->cols * sizeof(float),
                        model->values + parameter->offset, parameter->cols * sizeof(float));
      }
    }
  }
}

static void
test_prune(void)
{
  g_autoptr(GemBackboneCheckpoint) model = model_new();
  const GemParameters *parameters = model->backbone->parameters;
  g_autofree float *values = g_memdup2(model->values, parameters->size * sizeof(float));
  gem_compression_prune(parameters, 0.25, values);
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    gsize n = parameter->rows * parameter->cols, zeros = 0;
    float largest_gone = 0.0f, smallest_kept = INFINITY;
    for (gsize j = parameter->offset; j < parameter->offset + n; j++) {
      gboolean gone = values[j] == 0.0f;
      zeros += gone;
      largest_gone = gone ? MAX(largest_gone, fabsf(model->values[j])) : largest_gone;
      smallest_kept = gone ? smallest_kept : MIN(smallest_kept, fabsf(values[j]));
      g_assert_true(gone || values[j] == model->values[j]);
    }
    g_assert_cmpuint(zeros, ==, parameter->rows == 1 ? 0 : n / 4);
    g_assert_cmpfloat(largest_gone, <=, smallest_kept);
  }
}

static void
test_bytes(void)
{
  const GemParameter
      matrix = {.name = (char *)"blk.0.ffn_up.weight", .part = (char *)"general", .rows = 10, .cols = 64},
      norm = {.name = (char *)"blk.0.ffn_norm.weight", .part = (char *)"general", .rows = 1, .cols = 64};
  /* Q8_0: 34 bytes a block of 32; simulated: bits and two bytes a block */
  g_assert_cmpfloat(gem_compression_bytes(&matrix, &gem_export_types_default, 0, 0.0), ==, 680.0);
  g_assert_cmpfloat(gem_compression_bytes(&matrix, &gem_export_types_default, 0, 0.5), ==, 340.0);
  g_assert_cmpfloat(gem_compression_bytes(&matrix, &gem_export_types_default, 3, 0.0), ==, 280.0);
  g_assert_cmpfloat(gem_compression_bytes(&norm, &gem_export_types_default, 3, 0.5), ==, 256.0);
}

/* ---- networks ---- */

/* The last states of a batch whose tokens have all routes. */
static float *
final_states(const GemBackboneCheckpoint *network)
{
  enum { TOKENS = 24 };
  guint32 tokens[TOKENS];
  g_autoptr(GemBatch) batch = gem_batch_new(TOKENS);
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(network->backbone);
  for (guint i = 0; i < TOKENS; i++) {
    tokens[i] = (i * 37 + 5) % 512;
  }
  gem_batch_append(batch, tokens, TOKENS, GEM_ROUTE_GENERAL, 1.0f);
  for (guint i = 0; i < TOKENS; i++) {
    batch->route[i] = (gint8)((gint)(i % 4) - 1);
  }
  gem_backbone_forward(network->backbone, network->values, network->centroids->values, 0, batch, pass);
  return g_memdup2(gem_backbone_pass_final(pass), TOKENS * network->backbone->shape.width * sizeof(float));
}

static double
largest_difference(const float *a, const float *b, gsize n)
{
  double largest = 0.0;
  for (gsize i = 0; i < n; i++) {
    largest = MAX(largest, fabs((double)a[i] - (double)b[i]));
  }
  return largest;
}

/* The wide exclusive pathway begins as the same function, the narrow one as another; all begin as copies. */
static void
test_pathways(void)
{
  g_autoptr(GemBackboneCheckpoint) model = model_new();
  const GemVariant residual = {0}, wide = {.pathway = GEM_PATHWAY_EXCLUSIVE},
                   narrow = {.pathway = GEM_PATHWAY_NARROW};
  g_autoptr(GemBackboneCheckpoint) copy = gem_variant_network_new(&residual, model, 1),
                                   exclusive = gem_variant_network_new(&wide, model, 1),
                                   thin = gem_variant_network_new(&narrow, model, 1);
  g_autofree float *expected = final_states(model), *same = final_states(copy),
                   *also = final_states(exclusive), *other = final_states(thin);
  gsize n = (gsize)24 * 64;
  g_assert_cmpuint(exclusive->backbone->shape.domain_ffn, ==, 96);
  g_assert_cmpuint(thin->backbone->shape.domain_ffn, ==, 32);
  g_assert_cmpfloat(largest_difference(expected, same, n), ==, 0.0);
  g_assert_cmpfloat(largest_difference(expected, also, n), <, 1e-4);
  g_assert_cmpfloat(largest_difference(expected, other, n), >, 1e-2);
}

/* What is not the model's: no window, other centroids. */
static void
test_attention(void)
{
  g_autoptr(GemBackboneCheckpoint) model = model_new();
  const GemVariant mask = {.paper_mask = TRUE}, fixed = {.fixed_centroids = TRUE};
  g_autoptr(GemBackboneCheckpoint) narrow = gem_variant_network_new(&mask, model, 1),
                                   chance = gem_variant_network_new(&fixed, model, 7);
  gsize bytes = gem_backbone_n_centroids(model->backbone) * 64 * sizeof(float);
  g_assert_cmpuint(model->backbone->shape.window, ==, 4);
  g_assert_cmpuint(narrow->backbone->shape.window, ==, 0);
  g_assert_cmpint(memcmp(narrow->centroids->values, model->centroids->values, bytes), ==, 0);
  g_assert_cmpint(memcmp(chance->centroids->values, model->centroids->values, bytes), !=, 0);
}

static void
test_file(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemBackboneCheckpoint) model = model_new();
  const GemVariant wide = {.pathway = GEM_PATHWAY_EXCLUSIVE, .fixed_centroids = TRUE};
  g_autofree char *dir = gem_test_folder_new(), *path = g_build_filename(dir, "network.gguf", NULL);
  g_autoptr(GemBackboneCheckpoint) written = gem_variant_network_new(&wide, model, 9),
                                   read = gem_variant_network_new(&wide, model, 2);
  gboolean done =
      gem_variant_network_write(written, path, &error) && gem_variant_network_read(read, path, &error);
  g_assert_no_error(error);
  g_assert_true(done);
  gem_test_assert_same_bytes(written->values, read->values,
                             written->backbone->parameters->size * sizeof(float), "values");
  gem_test_assert_same_bytes(written->centroids->values, read->centroids->values,
                             gem_backbone_n_centroids(written->backbone) * 64 * sizeof(float), "centroids");
  g_autoptr(GemBackboneCheckpoint) checkpoint = gem_backbone_checkpoint_load(path, 64, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(checkpoint->backbone->shape.domain_ffn, ==, 96);
  gem_test_folder_remove(dir);
}

static void
test_costs(void)
{
  g_autoptr(GemBackboneCheckpoint) model = model_new();
  g_auto(GemPreset) preset = {0};
  g_autoptr(GError) error = NULL;
  gem_preset_get_shaped(
      "gem-tiny",
      "vocab=512,router-width=64,router-embedding=64,router-layers=1,router-heads=2,router-ffn=64,domains=3",
      &preset, &error);
  g_assert_no_error(error);
  g_autoptr(GemRouterNetwork) router = gem_router_network_new(&preset.router, gem_preset_domains, 32);
  const GemVariant plain = {.learning = GEM_VARIANT_ADAPTS, .learns = GEM_LEARNS_GENERAL, .plain = TRUE},
                   base = {0}, dense = {.dense = TRUE};
  GemVariantCosts all = gem_variant_costs(&base, &gem_export_types_default, model, router, 0.5),
                  unmasked = gem_variant_costs(&dense, &gem_export_types_default, model, router, 0.5),
                  chat = gem_variant_costs(&plain, &gem_export_types_default, model, router, 0.0);
  /* 2 layers of 4 x 64 x 64 + 16 x 64 + 3 x 64 x (64 + 16), 512 x 64; 4 x 64 x 64 + 2 x 64 x 64, 3 x 64 */
  double decoder = 2.0 * (4 * 64 * 64 + 16 * 64 + 3 * 64 * 80) + 512 * 64, encoder = 6.0 * 64 * 64 + 3 * 64;
  g_assert_cmpfloat(all.flop, ==, 2.0 * (decoder + encoder));
  g_assert_cmpfloat(unmasked.flop, ==, all.flop - 2.0 * 2 * 16 * 64);
  g_assert_cmpfloat(chat.flop, ==, 2.0 * (decoder - 2.0 * 3 * 64 * 16));
  g_assert_cmpfloat(all.active_bytes, <, all.bytes);
  /* where a pathway stands in place of the general feed-forward, its token does not read that, Q8_0 */
  model->backbone->exclusive = TRUE;
  GemVariantCosts exclusive = gem_variant_costs(&base, &gem_export_types_default, model, router, 0.5);
  model->backbone->exclusive = FALSE;
  g_assert_cmpfloat(exclusive.bytes, ==, all.bytes);
  g_assert_cmpfloat(exclusive.active_bytes, ==, all.active_bytes - 2 * 3 * 64 * 64 * 34.0 / 32.0);
  /* single precision, the general part alone: matrices and five norms */
  g_assert_cmpfloat(chat.bytes, ==, 4.0 * (2 * (4 * 64 * 64 + 3 * 64 * 64) + 512 * 64 + 5 * 64));
}

/* ---- retraining ---- */

static void
retrain(GemBackboneCheckpoint *network, const GemCorpus *corpus, gboolean keep)
{
  g_autoptr(GError) error = NULL;
  const GemRetrainingOptions options = {
      .cluster_set = 0,
      .keep_centroids = keep,
      .steps = 20,
      .warm_up = 2,
      .batch_tokens = 128,
      .sequence = 32,
      .lanes = 2,
      .rate = 3e-3,
      .seed = 1,
      .bos = 1,
      .shares = {.general = 0.15, .task = 0.5, .domain_power = 0.25},
      .draw = {.residual_dropout = 0.2, .input_share = 1.0, .answer_weight = 2.0}};
  gboolean done =
      gem_retrain(network->backbone, network->centroids, network->values, corpus, &options, &error);
  g_assert_no_error(error);
  g_assert_true(done);
}

static double
loss_of(const GemBackboneCheckpoint *network, const GemCorpus *corpus)
{
  g_autoptr(GemBatch) batch = gem_batch_new(2048);
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(network->backbone);
  const GemSource *source = corpus->sources->pdata[0];
  GemLoss loss;
  for (guint i = 0; i < 20; i++) {
    const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
    gem_batch_append(batch, &g_array_index(source->tokens, guint32, document->first),
                     MIN(document->length, 60), GEM_ROUTE_GENERAL, 1.0f);
  }
  gem_backbone_run(network->backbone, network->values, network->centroids->values, 0, batch, 1.0f, pass, NULL,
                   NULL, &loss);
  return loss.loss / (double)loss.tokens;
}

static void
test_retraining(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemTokenizer) tokenizer = gem_test_byte_tokenizer_new();
  g_autofree char *dir = gem_test_data_folder_new();
  const GemCorpusOptions options = {.folder = dir,
                                    .split = GEM_SPLIT_TRAIN,
                                    .corpus = TRUE,
                                    .tasks = TRUE,
                                    .ask_template = GEM_PRESET_ASK_TEMPLATE};
  g_autoptr(GemCorpus) corpus = gem_corpus_load(&options, gem_preset_domains, tokenizer, &error);
  g_assert_no_error(error);
  g_autoptr(GemBackboneCheckpoint) model = model_new();
  const GemVariant none = {0};
  g_autoptr(GemBackboneCheckpoint) moved = gem_variant_network_new(&none, model, 1),
                                   again = gem_variant_network_new(&none, model, 1),
                                   kept = gem_variant_network_new(&none, model, 1);
  double before = loss_of(moved, corpus);
  gsize bytes = gem_backbone_n_centroids(model->backbone) * 64 * sizeof(float);
  retrain(moved, corpus, FALSE);
  retrain(again, corpus, FALSE);
  retrain(kept, corpus, TRUE);
  g_assert_cmpfloat(loss_of(moved, corpus), <, 0.8 * before);
  gem_test_assert_same_bytes(moved->values, again->values, model->backbone->parameters->size * sizeof(float),
                             "values");
  gem_test_assert_same_bytes(moved->centroids->values, again->centroids->values, bytes, "centroids");
  gem_test_assert_same_bytes(kept->centroids->values, model->centroids->values, bytes, "kept centroids");
  g_assert_cmpint(memcmp(moved->centroids->values, model->centroids->values, bytes), !=, 0);
  gem_test_folder_remove(dir);
}

/* ---- scores ---- */

/* Of domains 0, 0, 1 and 2. */
static GPtrArray *
tasks_new(void)
{
  static GemChoiceTask tasks[] = {{.name = (char *)"a/one", .domain = 0},
                                  {.name = (char *)"a/two", .domain = 0},
                                  {.name = (char *)"b/one", .domain = 1},
                                  {.name = (char *)"c/one", .domain = 2}};
  GPtrArray *array = g_ptr_array_new();
  for (gsize i = 0; i < G_N_ELEMENTS(tasks); i++) {
    g_ptr_array_add(array, &tasks[i]);
  }
  return array;
}

static void
test_macro_f1(void)
{
  GemChoiceItem items[6] = {{.right = 0}, {.right = 0}, {.right = 1},
                            {.right = 1}, {.right = 2}, {.right = 0}};
  const guint8 chosen[] = {0, 1, 1, 3, 0, 0};
  g_autoptr(GPtrArray) list = g_ptr_array_new();
  for (gsize i = 0; i < G_N_ELEMENTS(items); i++) {
    g_ptr_array_add(list, &items[i]);
  }
  const GemChoiceTask task = {.items = list};
  /* 2 x 2 / (3 + 3), 2 x 1 / (2 + 2), 0, 0 */
  g_assert_cmpfloat_with_epsilon(gem_variant_macro_f1(&task, chosen), (4.0 / 6.0 + 0.5) / 4.0, 1e-12);
}

static void
test_in_out(void)
{
  g_autoptr(GPtrArray) tasks = tasks_new();
  g_autoptr(GemVariantScore) score = gem_variant_score_new(tasks, 2);
  const double f1[] = {0.8, 0.6, 0.5, 0.1}, forced[] = {0.9, 0.9, 0.4, 0.2, 0.1, 0.3, 0.8, 0.6};
  const guint times[] = {2, 0, 1, 1};
  double in, out;
  memcpy(score->f1, f1, sizeof f1);
  memcpy(score->forced, forced, sizeof forced);
  gem_variant_score_in_out(score, 0, FALSE, NULL, &in, &out);
  g_assert_cmpfloat_with_epsilon(in, 0.7, 1e-12);
  g_assert_cmpfloat_with_epsilon(out, 0.3, 1e-12);
  gem_variant_score_in_out(score, 1, TRUE, NULL, &in, &out);
  g_assert_cmpfloat_with_epsilon(in, 0.8, 1e-12);
  g_assert_cmpfloat_with_epsilon(out, (0.2 + 0.6) / 2.0, 1e-12);
  gem_variant_score_in_out(score, 2, TRUE, NULL, &in, &out); /* there is no such pathway */
  g_assert_true(isnan(in) && isnan(out));
  gem_variant_score_in_out(score, 0, FALSE, times, &in, &out);
  g_assert_cmpfloat_with_epsilon(in, 0.8, 1e-12);
  /* (0.7 - 0.3) / 0.7, (0.5 - 0.4) / 0.5, (0.1 - 0.6) / 0.1 */
  g_assert_cmpfloat_with_epsilon(gem_variant_score_gg(score, FALSE, NULL), (4.0 / 7.0 + 0.2 - 5.0) / 3.0,
                                 1e-12);
  /* (0.9 - 0.3) / 0.9, (0.8 - 0.4) / 0.8 */
  g_assert_cmpfloat_with_epsilon(gem_variant_score_gg(score, TRUE, NULL), (2.0 / 3.0 + 0.5) / 2.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_variant_score_mean_f1(score, NULL), 0.5, 1e-12);
  g_assert_true(isnan(gem_variant_score_mean_accuracy(score)));
  /* (0.9 - (0.1 + 0.3) / 2) / 0.9, (0.8 - 0.4) / 0.8; the fourth task has no pathway */
  g_assert_cmpfloat_with_epsilon(gem_variant_score_gap(score, NULL), (7.0 / 9.0 + 0.5) / 2.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_variant_score_gap(score, times), (8.0 / 9.0 + 0.5) / 2.0, 1e-12);
}

/* GG as routed says how unequal domains are and nothing else; a gap on the same tasks does not see that. */
static void
test_routed_identity(void)
{
  g_autoptr(GPtrArray) tasks = tasks_new();
  g_autoptr(GemVariantScore) score = gem_variant_score_new(tasks, 3);
  double sum = 0.0, inverse = 0.0;
  for (guint t = 0; t < 4; t++) {
    score->f1[t] = 0.9 - 0.3 * score->domain[t];
    for (guint d = 0; d < 3; d++) { /* a pathway is worth a third of what a task gives, however hard it is */
      score->forced[d * 4 + t] = score->f1[t] * ((gint)d == score->domain[t] ? 1.0 : 2.0 / 3.0);
    }
  }
  for (guint d = 0; d < 3; d++) {
    sum += 0.9 - 0.3 * d;
    inverse += 1.0 / (0.9 - 0.3 * d);
  }
  double arithmetic = sum / 3.0, harmonic = 3.0 / inverse;
  g_assert_cmpfloat_with_epsilon(gem_variant_score_gg(score, FALSE, NULL),
                                 1.5 * (1.0 - arithmetic / harmonic), 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_variant_score_gap(score, NULL), 1.0 / 3.0, 1e-12);
}

static void
test_json(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) tasks = tasks_new(), more = tasks_new();
  const GemChoiceTask other = {.name = (char *)"d/new", .domain = 3};
  g_ptr_array_add(more, (gpointer)&other);
  g_autoptr(GemVariantScore) score = gem_variant_score_new(tasks, 2);
  score->f1[1] = 0.25;
  score->accuracy[1] = 0.5;
  score->forced[1 * 4 + 2] = 0.75;
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  gem_variant_score_to_json(score, tasks, builder);
  json_builder_end_object(builder);
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autoptr(GemVariantScore) read = gem_variant_score_from_json(json_node_get_object(root), tasks, &error);
  g_assert_no_error(error);
  g_assert_cmpfloat(read->f1[1], ==, 0.25);
  g_assert_cmpfloat(read->accuracy[1], ==, 0.5);
  g_assert_cmpfloat(read->forced[1 * 4 + 2], ==, 0.75);
  g_assert_true(isnan(read->f1[0]) && isnan(read->forced[0]));
  g_assert_null(gem_variant_score_from_json(json_node_get_object(root), more, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
  g_assert_nonnull(strstr(error->message, "d/new"));
}

static void
test_trend(void)
{
  const double x[] = {1, 2, 3, 4, 5}, up[] = {0.1, 0.2, 0.2, 0.5, 0.9}, down[] = {5, 4, 3, 2, 1},
               flat[] = {1, 1, 1, 1, 1}, mixed[] = {2, 1, 4, 3, 5};
  g_assert_cmpfloat_with_epsilon(gem_rank_correlation(x, down, 5), -1.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_rank_correlation(x, mixed, 5), 0.8, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_rank_correlation(x, up, 5), 9.5 / sqrt(10.0 * 9.5), 1e-12);
  g_assert_true(isnan(gem_rank_correlation(x, flat, 5)));
  g_autoptr(GPtrArray) tasks = tasks_new();
  GemVariantScore *scores[4];
  double intensity[] = {1, 2, 3, 4};
  for (guint i = 0; i < 4; i++) { /* the own pathway keeps, others' tasks get worse */
    scores[i] = gem_variant_score_new(tasks, 1);
    for (guint t = 0; t < 4; t++) {
      scores[i]->f1[t] = 0.5 + 0.1 * t;
      scores[i]->forced[t] = t < 2 ? 0.8 + 0.01 * t : 0.7 - 0.1 * i;
    }
  }
  GemVariantTrendFigure forced = gem_variant_trend(scores, intensity, 4, GEM_GAP_FORCED, 100, 1),
                        routed = gem_variant_trend(scores, intensity, 4, GEM_GAP_ROUTED, 100, 1);
  g_assert_cmpfloat_with_epsilon(forced.correlation, 1.0, 1e-12);
  g_assert_cmpstr(gem_variant_trend_verdict(&forced), ==, "rises");
  g_assert_cmpstr(gem_variant_trend_verdict(&routed), ==, "unknown"); /* the same in all */
  const GemVariantTrendFigure falls = {-0.5, -0.9, -0.1}, neither = {0.3, -0.1, 0.6};
  g_assert_cmpstr(gem_variant_trend_verdict(&falls), ==, "falls");
  g_assert_cmpstr(gem_variant_trend_verdict(&neither), ==, "neither");
  for (guint i = 0; i < 4; i++) {
    gem_variant_score_free(scores[i]);
  }
}

/* Every plan's variants are there, and each runs a network that is its own or another retrained one's. */
static void
test_plans(void)
{
  for (gsize i = 0; i < gem_variant_n_plans; i++) {
    g_auto(GStrv) names = g_strsplit(gem_variant_plans[i].variants, ",", -1);
    for (guint v = 0; names[v] != NULL; v++) {
      const GemVariant *variant = gem_variant_find(names[v]), *network = NULL;
      g_assert_nonnull(variant);
      g_assert_true(variant->learning != GEM_VARIANT_ADAPTS || gem_variant_plans[i].domains != NULL);
      if (variant->network != NULL) {
        network = gem_variant_find(variant->network);
        g_assert_nonnull(network);
        g_assert_cmpint(network->learning, ==, GEM_VARIANT_RETRAINS);
        g_assert_null(network->network);
        g_assert_true(network->pathway == variant->pathway && network->dense == variant->dense &&
                      network->paper_mask == variant->paper_mask &&
                      network->cluster_set == variant->cluster_set);
      }
    }
  }
}

int
main(int argc, char **argv)
{
  gem_matmul_prepare_process(argv);
  g_test_init(&argc, &argv, NULL);
  gem_matmul_select("fp32", NULL);
  g_test_add_func("/variants/bits", test_bits);
  g_test_add_func("/variants/prune", test_prune);
  g_test_add_func("/variants/bytes", test_bytes);
  g_test_add_func("/variants/pathways", test_pathways);
  g_test_add_func("/variants/attention", test_attention);
  g_test_add_func("/variants/file", test_file);
  g_test_add_func("/variants/costs", test_costs);
  g_test_add_func("/variants/retraining", test_retraining);
  g_test_add_func("/variants/macro-f1", test_macro_f1);
  g_test_add_func("/variants/in-out", test_in_out);
  g_test_add_func("/variants/routed-identity", test_routed_identity);
  g_test_add_func("/variants/json", test_json);
  g_test_add_func("/variants/trend", test_trend);
  g_test_add_func("/variants/plans", test_plans);
  return g_test_run();
}
