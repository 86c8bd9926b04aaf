/* Whole adaptations of a small network: what learns and what stays, and that a run which is stopped loses
 * nothing. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-training.h"
#include "training/adapt/gem-adaptation.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/network/gem-centroids.h"

enum { TEXTS = 16, TOKENS = 24, LEARNED = 1, STEPS = 24 };

typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  float *values;
  guint32 tokens[2][TEXTS][TOKENS];
  GemAdaptText texts[TEXTS], replay[TEXTS];
  GemAdaptData data;
  /* what the hooks do and see */
  GCancellable *cancellable;
  guint64 cancel_at, steps_seen;
  GBytes *checkpoint;
  GemAdaptationProgress first, last;
} Fixture;

/* Every token follows from the one before, in the replayed text otherwise than in that which is learned. */
static void
fixture_init(Fixture *self)
{
  self->backbone =
      gem_test_backbone_new("vocab=262,width=32,heads=1,layers=2,ffn=64,domain-ffn=32,domains=2", 32);
  self->centroids = gem_centroids_new(self->backbone, 1);
  self->values = gem_parameters_alloc(self->backbone->parameters);
  gem_parameters_init(self->backbone->parameters, 4, self->values);
  GemRandom random = gem_random_seeded(8, 8);
  for (gsize i = 0; i < self->backbone->parameters->size; i++) {
    self->values[i] += 0.05f * (float)gem_random_normal(&random);
  }
  for (guint side = 0; side < 2; side++) {
    for (guint t = 0; t < TEXTS; t++) {
      guint32 *tokens = self->tokens[side][t];
      tokens[0] = t;
      for (guint i = 1; i < TOKENS; i++) {
        tokens[i] = ((side == 0 ? 5 : 11) * tokens[i - 1] + 3) % 64;
      }
      GemAdaptText text = {.tokens = tokens, .n = TOKENS, .domain = GEM_ROUTE_GENERAL};
      *(side == 0 ? &self->texts[t] : &self->replay[t]) = text;
    }
  }
  self->data = (GemAdaptData){self->texts, TEXTS, self->replay, TEXTS, 1};
  self->cancel_at = G_MAXUINT64;
  self->cancellable = g_cancellable_new();
}

static void
fixture_clear(Fixture *self)
{
  g_clear_pointer(&self->checkpoint, g_bytes_unref);
  g_object_unref(self->cancellable);
  g_aligned_free(self->values);
  gem_centroids_free(self->centroids);
  gem_backbone_free(self->backbone);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

static void
take_progress(const GemAdaptationProgress *progress, gpointer data)
{
  Fixture *self = data;
  self->first = self->steps_seen == 0 ? *progress : self->first;
  self->last = *progress;
  self->steps_seen++;
  if (progress->step == self->cancel_at) {
    g_cancellable_cancel(self->cancellable);
  }
}

static gboolean
take_checkpoint(GemGgufWriter *checkpoint, gpointer data, GError **error)
{
  Fixture *self = data;
  g_clear_pointer(&self->checkpoint, g_bytes_unref);
  self->checkpoint = gem_gguf_writer_to_bytes(checkpoint);
  return TRUE;
}

static GemAdaptOptions
options_for(GemLearns learns)
{
  GemAdaptOptions options;
  gem_adapt_options_init(&options, learns);
  options.domain = LEARNED;
  options.cluster_set = 0;
  options.sequence = 24;
  options.batch_tokens = 96;
  options.replay_tokens = 96;
  options.steps = STEPS;
  options.warm_up = 2;
  options.rate = 1e-2;
  options.seed = 7;
  return options;
}

static gboolean
adapt(Fixture *self, const GemAdaptOptions *options, GemGguf *resume, GError **error)
{
  const GemAdaptHooks hooks = {.progress = take_progress,
                               .keep = take_checkpoint,
                               .keep_seconds = 1e9,
                               .cancellable = self->cancellable,
                               .data = self};
  self->steps_seen = 0;
  return gem_adapt_run(self->backbone, self->centroids->values, self->values, &self->data, options, &hooks,
                       resume, NULL, error);
}

/* Of each tensor: whether it is one that learns, by its part. */
static gboolean
part_learns(const GemParameter *parameter, GemLearns learns)
{
  if (strcmp(parameter->part, "general") == 0) {
    return learns != GEM_LEARNS_RESIDUAL;
  }
  return strcmp(parameter->part, "pathway-legal") == 0 && learns != GEM_LEARNS_GENERAL;
}

static void
check_learns(GemLearns learns)
{
  g_auto(Fixture) self = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&self);
  const GemParameters *parameters = self.backbone->parameters;
  g_autofree float *before = g_memdup2(self.values, parameters->size * sizeof(float));
  const GemAdaptOptions options = options_for(learns);
  gboolean done = adapt(&self, &options, NULL, &error);
  g_assert_no_error(error);
  g_assert_true(done);
  g_assert_cmpuint(self.steps_seen, ==, STEPS);
  g_assert_cmpfloat(self.last.loss, <, 0.8 * self.first.loss);
  g_assert_cmpfloat(self.last.quantization, >, 0.0);
  g_assert_cmpfloat(self.last.distillation, >, 0.0);
  g_assert_cmpfloat(self.last.contrast, >, 0.0);
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    gboolean same = memcmp(before + parameter->offset, self.values + parameter->offset,
                           parameter->rows * parameter->cols * sizeof(float)) == 0;
    if (same == part_learns(parameter, learns)) {
      g_test_message("%s/%s %s", parameter->part, parameter->name, same ? "did not learn" : "learned");
      g_test_fail();
    }
  }
}

static void
test_residual(void)
{
  check_learns(GEM_LEARNS_RESIDUAL);
}

static void
test_general(void)
{
  check_learns(GEM_LEARNS_GENERAL);
}

static void
test_all(void)
{
  check_learns(GEM_LEARNS_ALL);
}

/* What distillation is for: with it, replayed text that runs through the residual reads as without. */
static void
test_preserves(void)
{
  double divergence[2];
  for (int with = 0; with < 2; with++) {
    g_auto(Fixture) self = {0};
    g_autoptr(GError) error = NULL;
    fixture_init(&self);
    GemAdaptOptions options = options_for(GEM_LEARNS_RESIDUAL);
    options.distill = with ? 4.0 : 1e-9; /* measured in any case */
    options.contrast = 0.0;
    g_assert_true(adapt(&self, &options, NULL, &error));
    divergence[with] = self.last.distillation;
  }
  g_assert_cmpfloat(divergence[1], <, 0.75 * divergence[0]);
}

static void
test_plain(void)
{
  g_auto(Fixture) self = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&self);
  GemAdaptOptions options = options_for(GEM_LEARNS_GENERAL);
  gem_adapt_options_make_plain(&options);
  g_assert_true(adapt(&self, &options, NULL, &error));
  g_assert_cmpfloat(self.last.loss, <, 0.8 * self.first.loss);
  g_assert_cmpfloat(self.last.distillation, ==, 0.0);
  g_assert_cmpfloat(self.last.quantization, ==, 0.0);
}

/* Either form of the quantization term ends nearer to the grid than none. */
static void
test_quantization(void)
{
  double errors[3];
  for (int term = GEM_QUANTIZATION_NONE; term <= GEM_QUANTIZATION_DECOUPLED; term++) {
    g_auto(Fixture) self = {0};
    g_autoptr(GError) error = NULL;
    fixture_init(&self);
    GemAdaptOptions options = options_for(GEM_LEARNS_RESIDUAL);
    options.quantization_term = (GemQuantizationTerm)term;
    options.quantization = 20.0;
    g_assert_true(adapt(&self, &options, NULL, &error));
    g_autoptr(GemLanes) lanes = gem_lanes_new(1);
    g_autoptr(GemLearnedTensors) tensors =
        gem_learned_tensors_new(self.backbone, GEM_LEARNS_RESIDUAL, LEARNED, &options.types);
    float *masters = gem_parameters_alloc(tensors->parameters);
    g_autofree float *unused = g_new0(float, tensors->parameters->size);
    gem_learned_tensors_take(tensors, self.values, masters);
    gem_learned_tensors_put(tensors, masters, TRUE, lanes, self.values);
    errors[term] = gem_learned_tensors_quantization(tensors, masters, self.values, 0,
                                                    tensors->parameters->size, 0.0, unused);
    g_aligned_free(masters);
  }
  g_assert_cmpfloat(errors[GEM_QUANTIZATION_GRADIENT], <, 0.9 * errors[GEM_QUANTIZATION_NONE]);
  g_assert_cmpfloat(errors[GEM_QUANTIZATION_DECOUPLED], <, 0.9 * errors[GEM_QUANTIZATION_NONE]);
}

/* ---- stopped and resumed ---- */

static GemGguf *
open_checkpoint(GBytes *bytes)
{
  g_autoptr(GError) error = NULL;
  GemGguf *file = gem_gguf_new_from_bytes(bytes, "checkpoint", &error);
  g_assert_no_error(error);
  return file;
}

static void
check_resumes(GemLearns learns)
{
  g_auto(Fixture) whole = {0}, parts = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&whole);
  fixture_init(&parts);
  const GemAdaptOptions options = options_for(learns);
  g_assert_true(adapt(&whole, &options, NULL, &error));

  g_autofree float *start = g_memdup2(parts.values, parts.backbone->parameters->size * sizeof(float));
  parts.cancel_at = STEPS / 3;
  g_assert_false(adapt(&parts, &options, NULL, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error(&error);
  g_assert_cmpuint(parts.steps_seen, ==, STEPS / 3);
  g_cancellable_reset(parts.cancellable);
  memcpy(parts.values, start, parts.backbone->parameters->size * sizeof(float));
  g_autoptr(GBytes) kept = g_bytes_ref(parts.checkpoint);
  g_autoptr(GemGguf) checkpoint = open_checkpoint(kept);
  gboolean done = adapt(&parts, &options, checkpoint, &error);
  g_assert_no_error(error);
  g_assert_true(done);
  g_assert_cmpuint(parts.steps_seen, ==, STEPS - STEPS / 3);
  gem_test_assert_same_bytes(whole.values, parts.values, whole.backbone->parameters->size * sizeof(float),
                             "values");
}

static void
test_resumes(void)
{
  check_resumes(GEM_LEARNS_RESIDUAL);
  check_resumes(GEM_LEARNS_GENERAL); /* the teacher is the start, not the checkpoint */
}

/* The rest is planned anew while the rate falls: where that is allowed, fewer steps end it. */
static void
test_replanned(void)
{
  g_auto(Fixture) parts = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&parts);
  GemAdaptOptions options = options_for(GEM_LEARNS_RESIDUAL);
  options.decay_share = 0.9;
  parts.cancel_at = STEPS / 2;
  g_assert_false(adapt(&parts, &options, NULL, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error(&error);
  g_cancellable_reset(parts.cancellable);
  g_autoptr(GBytes) kept = g_bytes_ref(parts.checkpoint);
  g_autoptr(GemGguf) checkpoint = open_checkpoint(kept);
  options.steps = STEPS / 2 + 1;
  g_assert_false(adapt(&parts, &options, checkpoint, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_clear_error(&error);
  options.replanned = TRUE;
  gboolean done = adapt(&parts, &options, checkpoint, &error);
  g_assert_no_error(error);
  g_assert_true(done);
  g_assert_cmpuint(parts.steps_seen, ==, 1);
}

/* It is not gone on with, and the message names what differs. */
static void
check_other(Fixture *self, const GemAdaptOptions *options, GemGguf *checkpoint, const char *named)
{
  g_autoptr(GError) error = NULL;
  g_assert_false(adapt(self, options, checkpoint, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_test_message("%s", error->message);
  g_assert_nonnull(strstr(error->message, named));
  g_assert_cmpuint(self->steps_seen, ==, 0);
}

static void
test_other_checkpoint(void)
{
  g_auto(Fixture) self = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&self);
  const GemAdaptOptions residual = options_for(GEM_LEARNS_RESIDUAL),
                        general = options_for(GEM_LEARNS_GENERAL);
  g_assert_true(adapt(&self, &residual, NULL, &error));
  g_autoptr(GBytes) kept = g_bytes_ref(self.checkpoint);
  g_autoptr(GemGguf) checkpoint = open_checkpoint(kept);
  check_other(
      &self, &general, checkpoint,
      "checkpoint is the checkpoint of another adaptation: learns is residual there and general here, "
      "domain is ");
  GemAdaptOptions other = residual;
  gem_adapt_options_make_plain(&other);
  check_other(&self, &other, checkpoint, "distill is 0.5 there and 0 here");
  check_other(&self, &other, checkpoint, "quantized is 1 there and 0 here");
  other = residual;
  other.rate = 2e-2;
  check_other(&self, &other, checkpoint,
              "adaptation: rate is 0.01 there and 0.02 here; resume with the same options and text");
  other = residual;
  other.sequence = 16;
  check_other(&self, &other, checkpoint, ": sequence is 24 there and 16 here;");
  other = residual;
  other.batch_tokens = 48;
  check_other(&self, &other, checkpoint, ": batch-tokens is 96 there and 48 here;");
  self.data.n_replay--;
  check_other(&self, &residual, checkpoint, ": replay is ");
  self.data.n_replay++;
  self.data.n_texts--;
  check_other(&self, &residual, checkpoint, ": text is ");
}

/* As where the loss was not finite. */
static void
test_lower_rate(void)
{
  g_auto(Fixture) self = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&self);
  GemAdaptOptions options = options_for(GEM_LEARNS_RESIDUAL);
  self.cancel_at = STEPS / 3;
  g_assert_false(adapt(&self, &options, NULL, NULL));
  g_cancellable_reset(self.cancellable);
  g_autoptr(GBytes) kept = g_bytes_ref(self.checkpoint);
  g_autoptr(GemGguf) checkpoint = open_checkpoint(kept);
  options.rate = 5e-3;
  gboolean done = adapt(&self, &options, checkpoint, &error);
  g_assert_no_error(error);
  g_assert_true(done);
  g_assert_cmpuint(self.steps_seen, ==, STEPS - STEPS / 3);
}

static void
test_refused(void)
{
  g_auto(Fixture) self = {0};
  fixture_init(&self);
  for (int which = 0; which < 4; which++) {
    g_autoptr(GError) error = NULL;
    GemAdaptOptions options = options_for(GEM_LEARNS_RESIDUAL);
    options.domain = which == 0 ? 2 : LEARNED;
    options.cluster_set = which == 1 ? 2 : 0;
    options.sequence = which == 2 ? 33 : 24;
    self.data.n_texts = which == 3 ? 0 : TEXTS;
    g_assert_false(adapt(&self, &options, NULL, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_autoptr(GError) error = NULL;
  gem_matmul_select("fp32", &error);
  g_assert_no_error(error);
  g_test_add_func("/adaptation/residual", test_residual);
  g_test_add_func("/adaptation/general", test_general);
  g_test_add_func("/adaptation/all", test_all);
  g_test_add_func("/adaptation/plain", test_plain);
  g_test_add_func("/adaptation/preserves", test_preserves);
  g_test_add_func("/adaptation/quantization", test_quantization);
  g_test_add_func("/adaptation/resumes", test_resumes);
  g_test_add_func("/adaptation/replanned", test_replanned);
  g_test_add_func("/adaptation/other-checkpoint", test_other_checkpoint);
  g_test_add_func("/adaptation/lower-rate", test_lower_rate);
  g_test_add_func("/adaptation/refused", test_refused);
  return g_test_run();
}
