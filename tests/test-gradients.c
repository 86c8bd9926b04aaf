/* Every gradient of both networks against central differences, in single precision, on shapes small enough
 * for that. */
#include <math.h>
#include <string.h>

#include "training/gem-backbone.h"
#include "training/gem-centroids.h"
#include "training/gem-matmul.h"
#include "training/gem-presets.h"
#include "training/gem-random.h"
#include "training/gem-router-network.h"

/* The loss at `values`, and its gradient when `gradients` is not NULL. */
typedef double (*LossFunction)(gpointer network, const float *values, float *gradients);

typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  GemBackbonePass *pass;
  GemBatch *batch;
  int cluster_set;
} BackboneCase;

static double
backbone_loss(gpointer data, const float *values, float *gradients)
{
  BackboneCase *self = data;
  GemLoss loss;
  gem_backbone_run(self->backbone, values, self->centroids->values, self->cluster_set, self->batch, 1.0f,
                   self->pass, gradients, NULL, &loss);
  return loss.weighted_loss;
}

typedef struct {
  GemRouterNetwork *network;
  GemRouterPass *pass;
  GemBatch *batch;
} RouterCase;

static double
router_loss(gpointer data, const float *values, float *gradients)
{
  RouterCase *self = data;
  return gem_router_network_run(self->network, values, self->batch, 1.0f, self->pass, gradients);
}

/* Along a direction in one tensor: (L(w + h d) - L(w - h d)) / 2 h against the gradient's component; `floor`
 * is the noise of the differences. */
static void
check_direction(LossFunction function,
                gpointer network,
                float *values,
                const float *gradients,
                const GemParameter *parameter,
                const float *direction)
{
  gsize size = parameter->rows * parameter->cols;
  g_autofree float *kept = g_memdup2(values + parameter->offset, size * sizeof(float));
  double norm = 0.0, expected = 0.0;
  for (gsize i = 0; i < size; i++) {
    norm += (double)direction[i] * (double)direction[i];
    expected += (double)direction[i] * (double)gradients[parameter->offset + i];
  }
  norm = sqrt(norm);
  g_assert_cmpfloat(norm, >, 0.0);
  expected /= norm;
  const double step = 1e-3;
  double sides[2];
  for (int side = 0; side < 2; side++) {
    double h = (side == 0 ? step : -step) / norm;
    for (gsize i = 0; i < size; i++) {
      values[parameter->offset + i] = kept[i] + (float)(h * (double)direction[i]);
    }
    sides[side] = function(network, values, NULL);
  }
  memcpy(values + parameter->offset, kept, size * sizeof(float));
  double measured = (sides[0] - sides[1]) / (2.0 * step);
  double error = fabs(measured - expected) / (fabs(expected) + fabs(measured) + 0.2);
  if (error > 0.02) {
    g_test_message("%s: gradient %.6f, measured %.6f", parameter->name, expected, measured);
    g_test_fail();
  }
}

/* Each tensor along its own gradient (the largest slope) and along directions by chance. */
static void
check_all(LossFunction function, gpointer network, const GemParameters *parameters, float *values)
{
  g_autofree float *gradients = g_new0(float, parameters->size);
  function(network, values, gradients);
  GemRandom random = gem_random_seeded(7, 7);
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    gsize size = parameter->rows * parameter->cols;
    g_assert_cmpfloat(gradients[parameter->offset + size / 2], ==, gradients[parameter->offset + size / 2]);
    check_direction(function, network, values, gradients, parameter, gradients + parameter->offset);
    for (int round = 0; round < 2; round++) {
      g_autofree float *direction = g_new(float, size);
      for (gsize j = 0; j < size; j++) {
        direction[j] = (float)gem_random_normal(&random);
      }
      check_direction(function, network, values, gradients, parameter, direction);
    }
  }
}

/* Three sequences of different lengths; tokens routed one by one, with weights that differ. */
static GemBatch *
mixed_batch(guint vocab, guint n_domains)
{
  const guint lengths[] = {13, 1, 22};
  GemBatch *batch = gem_batch_new(64);
  GemRandom random = gem_random_seeded(3, 1);
  for (gsize s = 0; s < G_N_ELEMENTS(lengths); s++) {
    guint32 tokens[32];
    for (guint i = 0; i < lengths[s]; i++) {
      tokens[i] = (guint32)gem_random_below(&random, vocab);
    }
    gem_batch_append(batch, tokens, lengths[s], GEM_ROUTE_GENERAL, 1.0f);
    batch->prefix[s] = lengths[s] / 2;
  }
  for (gsize i = 0; i < batch->n; i++) {
    batch->route[i] =
        n_domains > 0 ? (gint8)((gint)gem_random_below(&random, n_domains + 1) - 1) : GEM_ROUTE_GENERAL;
    batch->weight[i] = 0.5f + (float)gem_random_uniform(&random);
  }
  return batch;
}

static void
check_backbone(const char *shape_text, gboolean tied, int cluster_set)
{
  g_auto(GemPreset) preset = {0};
  g_autoptr(GError) error = NULL;
  gboolean made =
      gem_preset_get("gem-tiny", &preset, &error) && gem_preset_apply_shape(&preset, shape_text, &error);
  g_assert_no_error(error);
  g_assert_true(made);
  preset.general.tied = tied;
  BackboneCase test = {.cluster_set = cluster_set};
  test.backbone = gem_backbone_new(&preset.general, 32);
  test.centroids = gem_centroids_new(test.backbone, 5);
  test.pass = gem_backbone_pass_new(test.backbone);
  test.batch = mixed_batch(test.backbone->shape.vocab, test.backbone->shape.n_domains);
  float *values = gem_parameters_alloc(test.backbone->parameters);
  gem_parameters_init(test.backbone->parameters, 11, values);
  /* away from the start, where residuals are zero and all is small */
  GemRandom random = gem_random_seeded(12, 0);
  for (gsize i = 0; i < test.backbone->parameters->size; i++) {
    values[i] += 0.08f * (float)gem_random_normal(&random);
  }
  check_all(backbone_loss, &test, test.backbone->parameters, values);
  g_aligned_free(values);
  gem_batch_free(test.batch);
  gem_backbone_pass_free(test.pass);
  gem_centroids_free(test.centroids);
  gem_backbone_free(test.backbone);
}

static void
test_backbone_sparse(void)
{
  check_backbone("vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4", TRUE, 0);
}

static void
test_backbone_grouped_untied(void)
{
  check_backbone("vocab=262,width=128,heads=4,kv-heads=2,ffn=64,domains=0,clusters=0", FALSE, -1);
}

static void
check_router(const char *shape_text)
{
  g_auto(GemPreset) preset = {0};
  g_autoptr(GError) error = NULL;
  gboolean made =
      gem_preset_get("gem-tiny", &preset, &error) && gem_preset_apply_shape(&preset, shape_text, &error);
  g_assert_no_error(error);
  g_assert_true(made);
  preset.router.window = 6;
  RouterCase test = {.network = gem_router_network_new(&preset.router, gem_preset_domains, 32)};
  test.pass = gem_router_pass_new(test.network);
  test.batch = mixed_batch(preset.router.vocab, preset.router.n_domains);
  for (gsize i = 0; i < test.batch->n; i++) {
    test.batch->target[i] =
        i % 5 == 0 ? GEM_ROUTER_UNIFORM : (i % 5 == 1 ? -1 : (gint32)(i % preset.router.n_domains));
  }
  float *values = gem_parameters_alloc(test.network->parameters);
  gem_parameters_init(test.network->parameters, 11, values);
  GemRandom random = gem_random_seeded(12, 0);
  for (gsize i = 0; i < test.network->parameters->size; i++) {
    values[i] += 0.08f * (float)gem_random_normal(&random);
  }
  check_all(router_loss, &test, test.network->parameters, values);
  g_aligned_free(values);
  gem_batch_free(test.batch);
  gem_router_pass_free(test.pass);
  gem_router_network_free(test.network);
}

static void
test_router(void)
{
  check_router("vocab=262,router-width=64,router-embedding=64,router-layers=2,router-heads=2,router-ffn=64");
}

static void
test_router_projected(void)
{
  check_router("vocab=262,router-width=64,router-embedding=32,router-layers=1,router-heads=4,router-ffn=32");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_autoptr(GError) error = NULL;
  gem_matmul_select("fp32", &error);
  g_assert_no_error(error);
  g_test_add_func("/gradients/backbone/sparse-with-domains", test_backbone_sparse);
  g_test_add_func("/gradients/backbone/grouped-untied-dense", test_backbone_grouped_untied);
  g_test_add_func("/gradients/router", test_router);
  g_test_add_func("/gradients/router/projected-embedding", test_router_projected);
  return g_test_run();
}
