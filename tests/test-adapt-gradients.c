/* The losses of an adaptation: every gradient against central differences, and what a frozen backbone gets.
 */
#include <math.h>
#include <string.h>

#include "tests/gem-test-gradient.h"
#include "tests/gem-test-training.h"
#include "training/adapt/gem-adapt-step.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-backbone-losses.h"
#include "training/network/gem-centroids.h"

/* Attention without clusters: a token that changes its cluster makes the loss jump, and differences tell
 * nothing of its gradient. That of sparse attention is checked in test-gradients. */
#define DENSE (-1)

#define SHAPE "vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4"

enum { LEARNED = 1 }; /* the domain whose residual learns */

/* A network away from its start, a batch, and another network's say on it. */
typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  GemBatch *batch;
  float *values, *teacher_values;
  GemBackbonePass *student, *teacher;
} Fixture;

static void
fixture_init(Fixture *self)
{
  self->backbone = gem_test_backbone_new(SHAPE, 32);
  self->centroids = gem_centroids_new(self->backbone, 5);
  self->batch = gem_test_mixed_batch_new(self->backbone->shape.vocab, self->backbone->shape.n_domains);
  self->values = gem_parameters_alloc(self->backbone->parameters);
  self->teacher_values = gem_parameters_alloc(self->backbone->parameters);
  GemRandom random = gem_random_seeded(12, 0);
  gem_parameters_init(self->backbone->parameters, 11, self->values);
  for (gsize i = 0; i < self->backbone->parameters->size; i++) {
    self->values[i] += 0.08f * (float)gem_random_normal(&random);
    self->teacher_values[i] = self->values[i] + 0.03f * (float)gem_random_normal(&random);
  }
  self->student = gem_backbone_pass_new(self->backbone);
  self->teacher = gem_backbone_pass_new_forward(self->backbone);
  gem_backbone_forward(self->backbone, self->teacher_values, self->centroids->values, DENSE, self->batch,
                       self->teacher);
}

static void
fixture_clear(Fixture *self)
{
  gem_backbone_pass_free(self->student);
  gem_backbone_pass_free(self->teacher);
  g_aligned_free(self->values);
  g_aligned_free(self->teacher_values);
  gem_batch_free(self->batch);
  gem_centroids_free(self->centroids);
  gem_backbone_free(self->backbone);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

static const GemGradientMap *
map_for(const Fixture *self, const float *gradients)
{
  return gradients != NULL ? &self->backbone->everything : NULL;
}

static void
finish(Fixture *self, const float *values, float *gradients)
{
  if (gradients != NULL) {
    gem_backbone_backward(self->backbone, values, self->batch, DENSE, self->student, map_for(self, gradients),
                          gradients);
  }
}

static double
distillation(gpointer data, const float *values, float *gradients)
{
  Fixture *self = data;
  const float scale = 3.0f;
  gem_backbone_forward(self->backbone, values, self->centroids->values, DENSE, self->batch, self->student);
  double loss = gem_backbone_loss_distill(self->backbone, values, self->batch, scale, self->student,
                                          self->teacher_values, gem_backbone_pass_final(self->teacher),
                                          map_for(self, gradients), gradients);
  finish(self, values, gradients);
  return (double)scale * loss;
}

static void
test_distillation(void)
{
  g_auto(Fixture) self = {0};
  fixture_init(&self);
  gem_test_check_gradients(distillation, &self, self.backbone->parameters, self.values);
  /* a network has nothing to learn from itself */
  gem_backbone_forward(self.backbone, self.values, self.centroids->values, DENSE, self.batch, self.student);
  double none = gem_backbone_loss_distill(self.backbone, self.values, self.batch, 1.0f, self.student,
                                          self.values, gem_backbone_pass_final(self.student), NULL, NULL);
  g_assert_cmpfloat(fabs(none), <, 1e-4);
}

/* KL of two rows from the definition, in double precision. */
static void
test_divergence(void)
{
  float teacher[] = {0.5f, -1.0f, 2.0f}, student[] = {1.5f, 0.25f, 0.75f};
  double p[3], q[3], p_sum = 0.0, q_sum = 0.0, expected = 0.0;
  for (int i = 0; i < 3; i++) {
    p_sum += p[i] = exp((double)teacher[i]);
    q_sum += q[i] = exp((double)student[i]);
  }
  for (int i = 0; i < 3; i++) {
    p[i] /= p_sum;
    q[i] /= q_sum;
    expected += p[i] * log(p[i] / q[i]);
  }
  double measured = gem_divergence_row(teacher, student, 3, 2.0f);
  g_assert_cmpfloat_with_epsilon(measured, expected, 1e-6);
  for (int i = 0; i < 3; i++) {
    g_assert_cmpfloat_with_epsilon(teacher[i], p[i], 1e-6);
    g_assert_cmpfloat_with_epsilon(student[i], 2.0 * (q[i] - p[i]), 1e-6);
  }
}

/* ---- contrast ---- */

enum { NEGATIVES = 4 };

/* Features by chance, made unit vectors. */
static float *
unit_vectors_new(gsize n, gsize width, guint64 stream)
{
  float *vectors = gem_test_normal_new(n * width, stream);
  for (gsize i = 0; i < n; i++) {
    double sum = gem_vector_square_sum(vectors + i * width, width);
    gem_vector_scale(vectors + i * width, (float)(1.0 / sqrt(sum)), width);
  }
  return vectors;
}

static double
contrast(gpointer data, const float *values, float *gradients)
{
  Fixture *self = data;
  gsize width = self->backbone->shape.width;
  g_autofree float *positives = unit_vectors_new(3, width, 1),
                   *negatives = unit_vectors_new(NEGATIVES, width, 2);
  const float scale = 5.0f, none = 0.0f;
  gem_backbone_forward(self->backbone, values, self->centroids->values, DENSE, self->batch, self->student);
  /* a loss of nothing, to begin the gradient with */
  gem_backbone_loss_distill(self->backbone, values, self->batch, none, self->student, values,
                            gem_backbone_pass_final(self->student), map_for(self, gradients), gradients);
  double loss = gem_backbone_loss_contrast(self->backbone, self->batch, scale, self->student, positives,
                                           negatives, NEGATIVES, 0.2, gradients != NULL);
  finish(self, values, gradients);
  return (double)scale * loss;
}

/* The output matrix has no part in it, so its gradient would be nothing to compare along. */
static void
test_contrast(void)
{
  g_auto(Fixture) self = {0};
  fixture_init(&self);
  gem_test_check_gradients(contrast, &self, self.backbone->parameters, self.values);
}

static void
test_contrast_values(void)
{
  g_auto(Fixture) self = {0};
  fixture_init(&self);
  gsize width = self.backbone->shape.width, n = gem_batch_n_sequences(self.batch);
  g_autofree float *own = g_new(float, n *width), *away = g_new(float, width);
  gem_backbone_forward(self.backbone, self.values, self.centroids->values, DENSE, self.batch, self.student);
  gem_backbone_features(self.backbone, self.batch, self.student, own);
  for (gsize s = 0; s < n; s++) {
    g_assert_cmpfloat_with_epsilon(gem_vector_square_sum(own + s * width, width), 1.0, 1e-5);
  }
  /* the anchor is its own positive, and of one negative it is the opposite: log(1 + e^(-2 / t)) */
  GemBatch first = *self.batch;
  g_autoptr(GArray) start = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_vals(start, self.batch->start->data, 2);
  first.start = start;
  memcpy(away, own, width * sizeof(float));
  gem_vector_scale(away, -1.0f, width);
  double loss =
      gem_backbone_loss_contrast(self.backbone, &first, 1.0f, self.student, own, away, 1, 0.5, FALSE);
  g_assert_cmpfloat_with_epsilon(loss, log1p(exp(-4.0)), 1e-5);
}

/* ---- a whole step ---- */

typedef struct {
  Fixture *fixture;
  GemAdaptStep *step;
  GemLearnedTensors *tensors;
  GemBatch *text;
  float *values; /* the backbone's, into which the learned ones are put */
  GemLanes *lanes;
} StepCase;

/* Task and distillation of a step, as a function of what learns. */
static double
step_loss(gpointer data, const float *masters, float *gradients)
{
  StepCase *self = data;
  const GemAdaptScales scales = {.task = 0.7f, .distill = 1.3f};
  GemAdaptFigures figures = {0};
  gem_learned_tensors_put(self->tensors, masters, FALSE, self->lanes, self->values);
  gem_adapt_step_run(self->step, self->values, self->text, self->fixture->batch, &scales,
                     gradients != NULL ? &self->tensors->map : NULL, gradients, &figures);
  g_assert_cmpuint(figures.replay_tokens, ==, self->fixture->batch->n);
  g_assert_cmpuint(figures.replay_sequences, ==, 3);
  return (double)scales.task * figures.weighted_loss + (double)scales.distill * figures.distillation;
}

static void
check_step(GemLearns learns)
{
  g_auto(Fixture) fixture = {0};
  fixture_init(&fixture);
  StepCase self = {.fixture = &fixture, .values = fixture.values};
  self.lanes = gem_lanes_new(1);
  self.tensors = gem_learned_tensors_new(fixture.backbone, learns, LEARNED, &gem_export_types_default);
  self.step = gem_adapt_step_new(fixture.backbone, fixture.centroids->values, DENSE, learns, LEARNED, 0.1,
                                 learns == GEM_LEARNS_RESIDUAL ? NULL : fixture.teacher_values);
  self.text = gem_test_mixed_batch_new(fixture.backbone->shape.vocab, 0);
  memset(self.text->route, learns == GEM_LEARNS_GENERAL ? GEM_ROUTE_GENERAL : LEARNED, self.text->n);
  if (learns == GEM_LEARNS_RESIDUAL) { /* a teacher that does not learn */
    memset(fixture.batch->route, GEM_ROUTE_GENERAL, fixture.batch->n);
  }
  float *masters = gem_parameters_alloc(self.tensors->parameters);
  gem_learned_tensors_take(self.tensors, fixture.values, masters);
  gem_test_check_gradients(step_loss, &self, self.tensors->parameters, masters);
  g_aligned_free(masters);
  gem_batch_free(self.text);
  gem_adapt_step_free(self.step);
  gem_learned_tensors_free(self.tensors);
  gem_lanes_free(self.lanes);
}

/* The teacher runs replayed text on the routes that it comes with, which are still its routes afterwards. */
static double
distillation_of(gint8 teacher)
{
  g_auto(Fixture) fixture = {0};
  fixture_init(&fixture);
  g_autoptr(GemBatch) text = gem_test_mixed_batch_new(fixture.backbone->shape.vocab, 0);
  g_autoptr(GemAdaptStep) step = gem_adapt_step_new(fixture.backbone, fixture.centroids->values, DENSE,
                                                    GEM_LEARNS_RESIDUAL, LEARNED, 0.1, NULL);
  const GemAdaptScales scales = {.task = 1.0f, .distill = 1.0f};
  GemAdaptFigures figures = {0};
  memset(fixture.batch->route, teacher, fixture.batch->n);
  gem_adapt_step_run(step, fixture.values, text, fixture.batch, &scales, NULL, NULL, &figures);
  for (gsize i = 0; i < fixture.batch->n; i++) {
    g_assert_cmpint(fixture.batch->route[i], ==, teacher);
  }
  return figures.distillation;
}

static void
test_teacher(void)
{
  g_assert_cmpfloat(fabs(distillation_of(LEARNED)), <, 1e-4);
  g_assert_cmpfloat(distillation_of(GEM_ROUTE_GENERAL), >, 0.01);
  g_assert_cmpfloat(distillation_of(2), >, 0.01);
}

static void
test_step_residual(void)
{
  check_step(GEM_LEARNS_RESIDUAL);
}

static void
test_step_general(void)
{
  check_step(GEM_LEARNS_GENERAL);
}

static void
test_step_all(void)
{
  check_step(GEM_LEARNS_ALL);
}

/* The contrast of a step: what the parts give by themselves. */
static void
test_step_contrast(void)
{
  g_auto(Fixture) self = {0};
  fixture_init(&self);
  const GemAdaptScales scales = {.contrast = 2.0f};
  GemAdaptFigures figures = {0};
  gsize width = self.backbone->shape.width, size = self.backbone->parameters->size;
  g_autoptr(GemAdaptStep) step = gem_adapt_step_new(self.backbone, self.centroids->values, DENSE,
                                                    GEM_LEARNS_RESIDUAL, LEARNED, 0.1, NULL);
  g_autoptr(GemBatch) text = gem_test_mixed_batch_new(self.backbone->shape.vocab, 0);
  g_autofree float *positives = g_new(float, 3 * width), *negatives = g_new(float, 3 * width);
  g_autofree float *found = g_new0(float, size), *expected = g_new0(float, size);
  memset(text->route, LEARNED, text->n);
  memset(self.batch->route, GEM_ROUTE_GENERAL, self.batch->n);
  gem_adapt_step_run(step, self.values, text, self.batch, &scales, &self.backbone->everything, found,
                     &figures);

  const float *centroids = self.centroids->values;
  gem_backbone_forward(self.backbone, self.values, centroids, DENSE, text, self.student);
  gem_backbone_features(self.backbone, text, self.student, negatives);
  gem_backbone_forward(self.backbone, self.values, centroids, DENSE, self.batch, self.student);
  gem_backbone_features(self.backbone, self.batch, self.student, positives);
  memset(self.batch->route, LEARNED, self.batch->n);
  gem_backbone_forward(self.backbone, self.values, centroids, DENSE, self.batch, self.student);
  gem_backbone_loss_distill(self.backbone, self.values, self.batch, 0.0f, self.student, self.values,
                            gem_backbone_pass_final(self.student), &self.backbone->everything, expected);
  double loss = gem_backbone_loss_contrast(self.backbone, self.batch, 2.0f, self.student, positives,
                                           negatives, 3, 0.1, TRUE);
  gem_backbone_backward(self.backbone, self.values, self.batch, DENSE, self.student,
                        &self.backbone->everything, expected);
  g_assert_cmpfloat_with_epsilon(figures.contrast, loss, 1e-5);
  g_assert_cmpfloat(loss, >, 0.01);
  for (gsize i = 0; i < size; i++) {
    g_assert_cmpfloat_with_epsilon(found[i], expected[i], 1e-4);
  }
}

/* ---- the quantization term ---- */

static void
test_quantization(void)
{
  g_auto(Fixture) self = {0};
  fixture_init(&self);
  const double factor = 0.1;
  g_autoptr(GemLanes) lanes = gem_lanes_new(2);
  g_autoptr(GemLearnedTensors) tensors =
      gem_learned_tensors_new(self.backbone, GEM_LEARNS_RESIDUAL, LEARNED, &gem_export_types_default);
  gsize size = tensors->parameters->size;
  float *masters = gem_parameters_alloc(tensors->parameters);
  g_autofree float *gradients = g_new0(float, size), *direction = gem_test_normal_new(size, 9);
  gem_learned_tensors_take(tensors, self.values, masters);
  gem_learned_tensors_put(tensors, masters, TRUE, lanes, self.values);
  /* in two ranges, as two lanes do it */
  double loss = gem_learned_tensors_quantization(tensors, masters, self.values, 0, 100, factor, gradients) +
                gem_learned_tensors_quantization(tensors, masters, self.values, 100, size, factor, gradients);
  g_assert_cmpfloat(loss, >, 0.0);
  const double h = 1e-3;
  double expected = 0.0, sides[2];
  for (gsize i = 0; i < size; i++) {
    expected += (double)gradients[i] * (double)direction[i];
  }
  for (int side = 0; side < 2; side++) {
    g_autofree float *moved = g_new(float, size), *unused = g_new0(float, size);
    for (gsize i = 0; i < size; i++) {
      moved[i] = masters[i] + (float)(side == 0 ? h : -h) * direction[i];
    }
    /* Q(w) is held: self.values stay */
    sides[side] =
        factor * gem_learned_tensors_quantization(tensors, moved, self.values, 0, size, factor, unused);
  }
  g_assert_cmpfloat_with_epsilon((sides[0] - sides[1]) / (2.0 * h), expected, 0.01 * fabs(expected) + 1e-4);
  /* what is on the grid already has no error */
  gem_learned_tensors_take(tensors, self.values, masters);
  g_assert_cmpfloat(
      gem_learned_tensors_quantization(tensors, masters, self.values, 0, size, factor, gradients), ==, 0.0);
  g_aligned_free(masters);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_autoptr(GError) error = NULL;
  gem_matmul_select("fp32", &error);
  g_assert_no_error(error);
  g_test_add_func("/adapt-gradients/divergence", test_divergence);
  g_test_add_func("/adapt-gradients/distillation", test_distillation);
  g_test_add_func("/adapt-gradients/contrast", test_contrast);
  g_test_add_func("/adapt-gradients/contrast/values", test_contrast_values);
  g_test_add_func("/adapt-gradients/step/residual", test_step_residual);
  g_test_add_func("/adapt-gradients/step/general", test_step_general);
  g_test_add_func("/adapt-gradients/step/all", test_step_all);
  g_test_add_func("/adapt-gradients/step/contrast", test_step_contrast);
  g_test_add_func("/adapt-gradients/step/teacher", test_teacher);
  g_test_add_func("/adapt-gradients/quantization", test_quantization);
  return g_test_run();
}
