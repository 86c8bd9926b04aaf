#include "training/experiment/gem-variant-costs.h"

#include <math.h>
#include <string.h>

#include "training/experiment/gem-choice-tasks.h"
#include "training/experiment/gem-compression.h"
#include "training/experiment/gem-result-json.h"

#define ROUTED_ITEMS 10

/* Multiplications of a token with the weights of one part; an embedding is looked up, not multiplied. */
static double
weights_of_token(const GemVariant *variant,
                 const GemBackbone *backbone,
                 const GemRouterShape *router,
                 double routed)
{
  const GemModelShape *shape = &backbone->shape;
  double width = shape->width, heads = (double)shape->heads * shape->head_dim,
         kv = (double)shape->kv_heads * shape->head_dim, layers = shape->layers;
  double clusters =
      variant->dense || shape->n_cluster_sets == 0 ? 0.0 : (double)shape->clusters[variant->cluster_set];
  double general = backbone->exclusive ? 1.0 - routed : 1.0;
  double decoder = layers * (2.0 * width * heads + 2.0 * width * kv + clusters * width +
                             3.0 * width * (general * shape->ffn + routed * shape->domain_ffn)) +
                   (double)shape->vocab * width;
  if (gem_variant_is_dense_network(variant)) {
    return decoder;
  }
  double w = router->width;
  double encoder = (router->embedding != router->width ? (double)router->embedding * w : 0.0) +
                   router->layers * (4.0 * w * w + 2.0 * w * router->ffn) + router->n_domains * w;
  return (decoder + encoder) * (1.0 - variant->pruned);
}

/* What a pathway stands in place of, where it is exclusive. */
static gboolean
is_general_feed_forward(const GemParameter *parameter)
{
  return strcmp(parameter->part, "general") == 0 && strstr(parameter->name, ".ffn_") != NULL &&
         strstr(parameter->name, ".ffn_norm") == NULL;
}

GemVariantCosts
gem_variant_costs(const GemVariant *variant,
                  const GemExportTypes *types,
                  const GemBackboneCheckpoint *network,
                  const GemRouterNetwork *router,
                  double routed)
{
  const GemExportTypes own = gem_variant_types(variant, types);
  GemVariantCosts costs = {.flop = 2.0 * weights_of_token(variant, network->backbone, &router->shape, routed),
                           .routed = routed};
  const GPtrArray *parts[] = {network->backbone->parameters->items, router->parameters->items};
  double pathways = 0.0, replaced = 0.0; /* general feed-forward that no token with a pathway reads */
  gboolean general_alone = gem_variant_is_dense_network(variant);
  for (gsize p = 0; p < G_N_ELEMENTS(parts); p++) {
    for (guint i = 0; i < parts[p]->len; i++) {
      const GemParameter *parameter = parts[p]->pdata[i];
      if (general_alone && strcmp(parameter->part, "general") != 0) {
        continue;
      }
      double bytes = gem_compression_bytes(parameter, &own, variant->bits, variant->pruned);
      costs.bytes += bytes;
      pathways += g_str_has_prefix(parameter->part, "pathway-") ? bytes : 0.0;
      replaced += network->backbone->exclusive && is_general_feed_forward(parameter) ? bytes : 0.0;
    }
  }
  costs.active_bytes =
      costs.bytes - replaced - pathways + pathways / MAX(network->backbone->shape.n_domains, 1);
  return costs;
}

double
gem_variant_routed_share(const GPtrArray *tasks,
                         const GemRouterNetwork *router,
                         const float *values,
                         float threshold)
{
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(router);
  g_autoptr(GemBatch) batch = gem_batch_new(router->positions);
  gsize tokens = 0, routed = 0;
  for (guint t = 0; t < tasks->len; t++) {
    const GemChoiceTask *task = tasks->pdata[t];
    for (guint i = 0; i < MIN(task->items->len, ROUTED_ITEMS); i++) {
      const GArray *prompt = ((const GemChoiceItem *)task->items->pdata[i])->prompt;
      gem_batch_clear(batch);
      gem_batch_append(batch, (const guint32 *)(gpointer)prompt->data, prompt->len, GEM_ROUTE_GENERAL, 0.0f);
      batch->prefix[0] = (guint32)batch->n;
      memset(batch->target, 0xff, batch->n * sizeof(gint32));
      gem_router_network_run(router, values, batch, 0.0f, pass, NULL);
      gem_router_pass_routes(router, pass, threshold, batch);
      for (gsize j = 0; j < batch->n; j++) {
        routed += batch->route[j] >= 0;
      }
      tokens += batch->n;
    }
  }
  return (double)routed / (double)MAX(tokens, 1);
}

void
gem_variant_costs_to_json(const GemVariantCosts *self, JsonBuilder *builder)
{
  gem_result_json_add_member(builder, "routed", self->routed);
  gem_result_json_add_member(builder, "bytes", self->bytes);
  gem_result_json_add_member(builder, "active_bytes", self->active_bytes);
  gem_result_json_add_member(builder, "flop", self->flop);
}

GemVariantCosts
gem_variant_costs_from_json(JsonObject *object)
{
  return (GemVariantCosts){.bytes = json_object_get_double_member_with_default(object, "bytes", NAN),
                           .active_bytes =
                               json_object_get_double_member_with_default(object, "active_bytes", NAN),
                           .flop = json_object_get_double_member_with_default(object, "flop", NAN),
                           .routed = json_object_get_double_member_with_default(object, "routed", NAN)};
}
