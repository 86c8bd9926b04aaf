/* Every gradient of both networks against central differences, in single precision, on shapes small enough
 * for that. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-gradient.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/network/gem-backbone.h"
#include "training/network/gem-centroids.h"
#include "training/network/gem-presets.h"
#include "training/network/gem-router-network.h"

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

/* Of a token with a weight of its own, of one without, and two in a row. */
static void
add_forks(GemBatch *batch)
{
  const guint32 rows[] = {1, 6, 20, 21};
  for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
    guint32 target = (guint32)batch->target[rows[i]],
            others[] = {(target + 1) % 200, (target + 7) % 200, 201};
    gem_batch_add_fork(batch, rows[i], others, i == 2 ? 1 : 3, 0.5f + (float)i);
  }
}

/* Of three choices, whose prompt has two tokens. */
static void
add_contest(GemBatch *batch)
{
  static const guint32 choices[][6] = {{5, 9, 17, 33, 2, 60}, {5, 9, 18, 2}, {5, 9, 33, 40, 17}};
  static const gsize lengths[] = {6, 4, 5};
  for (gsize i = 0; i < G_N_ELEMENTS(choices); i++) {
    gem_batch_append(batch, choices[i], lengths[i], GEM_ROUTE_GENERAL, i == 0 ? 0.5f : 0.0f);
  }
  gem_batch_add_contest(batch, G_N_ELEMENTS(choices), 2, 3.0f);
}

static void
check_backbone(const char *shape_text, gboolean tied, int cluster_set, gboolean exclusive, double dropout)
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
  test.backbone->exclusive = exclusive;
  test.centroids = gem_centroids_new(test.backbone, 5);
  test.pass = gem_backbone_pass_new(test.backbone);
  gem_backbone_pass_set_dropout(test.pass, dropout, 21);
  test.batch = gem_test_mixed_batch_new(test.backbone->shape.vocab, test.backbone->shape.n_domains);
  if (cluster_set < 0) { /* what changes no cluster has differences everywhere */
    for (gsize i = 0; i < test.batch->n; i += 3) {
      test.batch->weight[i] = 0.0f; /* read and not learned */
    }
    add_forks(test.batch);
    add_contest(test.batch);
  }
  float *values = gem_parameters_alloc(test.backbone->parameters);
  gem_parameters_init(test.backbone->parameters, 11, values);
  /* away from the start, where residuals are zero and all is small */
  GemRandom random = gem_random_seeded(12, 0);
  for (gsize i = 0; i < test.backbone->parameters->size; i++) {
    values[i] += 0.08f * (float)gem_random_normal(&random);
  }
  gem_test_check_gradients(backbone_loss, &test, test.backbone->parameters, values);
  g_aligned_free(values);
  gem_batch_free(test.batch);
  gem_backbone_pass_free(test.pass);
  gem_centroids_free(test.centroids);
  gem_backbone_free(test.backbone);
}

static void
test_backbone_sparse(void)
{
  check_backbone("vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4", TRUE, 0, FALSE, 0.0);
}

static void
test_backbone_successors(void)
{
  check_backbone("vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4,successors=1", TRUE, 1,
                 FALSE, 0.0);
}

/* What is dropped forward is dropped on the way back: of the embedding, of attention, of the feed-forwards'
 * inputs. */
static void
test_backbone_dropout(void)
{
  check_backbone("vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4", TRUE, -1, FALSE, 0.2);
}

/* What is dropped changes the clusters, but the differences are too small to: that would be a jump of the
 * loss, which the gradient does not have. */
static void
test_backbone_sparse_dropout(void)
{
  check_backbone("vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4", TRUE, 0, FALSE, 0.2);
}

static void
test_backbone_exclusive(void)
{
  check_backbone("vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4", TRUE, 0, TRUE, 0.0);
}

static void
test_backbone_grouped_untied(void)
{
  check_backbone("vocab=262,width=128,heads=4,kv-heads=2,ffn=64,domains=0,clusters=0", FALSE, -1, FALSE, 0.0);
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
  test.batch = gem_test_mixed_batch_new(preset.router.vocab, preset.router.n_domains);
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
  gem_test_check_gradients(router_loss, &test, test.network->parameters, values);
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
  g_test_add_func("/gradients/backbone/sparse-with-domains-successors", test_backbone_successors);
  g_test_add_func("/gradients/backbone/dropout", test_backbone_dropout);
  g_test_add_func("/gradients/backbone/sparse-dropout", test_backbone_sparse_dropout);
  g_test_add_func("/gradients/backbone/exclusive-with-domains", test_backbone_exclusive);
  g_test_add_func("/gradients/backbone/grouped-untied-dense", test_backbone_grouped_untied);
  g_test_add_func("/gradients/router", test_router);
  g_test_add_func("/gradients/router/projected-embedding", test_router_projected);
  return g_test_run();
}
