#include "training/experiment/gem-variant-network.h"

#include <string.h>

#include "training/experiment/gem-compression.h"

static GemModelShape
copy_shape(const GemModelShape *shape)
{
  GemModelShape copy = *shape;
  for (guint d = 0; d < shape->n_domains; d++) {
    copy.domains[d] = g_strdup(shape->domains[d]);
  }
  copy.ask_template = g_strdup(shape->ask_template);
  return copy;
}

/* One pathway's SwiGLU in a wider one: the general part's rows first, its own after them. */
static void
widen_pathway(
    const GemBackbone *from, const float *values, const GemBackbone *to, guint l, guint d, float *out)
{
  const GemBackboneLayer *old = &from->layers[l], *new = &to->layers[l];
  gsize width = from->shape.width, general = from->shape.ffn, own = from->shape.domain_ffn,
        both = general + own;
  for (guint half = 0; half < 2; half++) { /* gate, up */
    float *rows = out + new->domain_gate[d] + half *both *width;
    memcpy(rows, values + old->gate + half * general * width, general * width * sizeof(float));
    memcpy(rows + general * width, values + old->domain_gate[d] + half * own * width,
           own * width * sizeof(float));
  }
  for (gsize r = 0; r < width; r++) {
    float *row = out + new->domain_down[d] + r *both;
    memcpy(row, values + old->down + r * general, general * sizeof(float));
    memcpy(row + general, values + old->domain_down[d] + r * own, own * sizeof(float));
  }
}

/* Tensors that are the same in both; those of pathways are not when these became wider. */
static void
copy_values(const GemBackbone *from, const float *values, const GemBackbone *to, float *out)
{
  for (guint i = 0; i < from->parameters->items->len; i++) {
    const GemParameter *old = from->parameters->items->pdata[i], *new = to->parameters->items->pdata[i];
    if (old->rows == new->rows && old->cols == new->cols) {
      memcpy(out + new->offset, values + old->offset, old->rows * old->cols * sizeof(float));
    }
  }
}

GemBackboneCheckpoint *
gem_variant_network_new(const GemVariant *variant, const GemBackboneCheckpoint *model, guint64 seed)
{
  const GemBackbone *from = model->backbone;
  GemBackboneCheckpoint *self = g_new0(GemBackboneCheckpoint, 1);
  GemModelShape shape = copy_shape(&from->shape);
  gboolean wide = variant->pathway == GEM_PATHWAY_EXCLUSIVE;
  shape.domain_ffn += wide ? shape.ffn : 0;
  shape.window = variant->paper_mask ? 0 : shape.window;
  self->backbone = gem_backbone_new(&shape, from->positions);
  self->backbone->exclusive = variant->pathway != GEM_PATHWAY_RESIDUAL;
  self->values = gem_parameters_alloc(self->backbone->parameters);
  copy_values(from, model->values, self->backbone, self->values);
  for (guint l = 0; wide && l < from->shape.layers; l++) {
    for (guint d = 0; d < from->shape.n_domains; d++) {
      widen_pathway(from, model->values, self->backbone, l, d, self->values);
    }
  }
  self->centroids = gem_centroids_new(self->backbone, seed);
  if (!variant->fixed_centroids) {
    gem_centroids_start_from(self->centroids, model->centroids);
  }
  return self;
}

gboolean
gem_variant_network_write(const GemBackboneCheckpoint *network, const char *path, GError **error)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  gem_model_shape_write(&network->backbone->shape, writer);
  gem_gguf_writer_set_string(writer, "general.architecture", "gem");
  /* an experiment learns from all tasks */
  gem_gguf_writer_set_bool(writer, GEM_CHECKPOINT_ALL_LICENCES, TRUE);
  gem_gguf_writer_set_uint(writer, "train.step", 0); /* what tells a checkpoint from a part of a model */
  return gem_parameters_write(network->backbone->parameters, "value:", network->values, writer, error) &&
         gem_centroids_write(network->centroids, "scar:", writer, error) &&
         gem_gguf_writer_write(writer, path, error);
}

gboolean
gem_variant_network_read(GemBackboneCheckpoint *network, const char *path, GError **error)
{
  g_autoptr(GemGguf) file = gem_gguf_open(path, error);
  return file != NULL &&
         gem_parameters_read(network->backbone->parameters, "value:", file, network->values, error) &&
         gem_centroids_read(network->centroids, "scar:", file, error);
}

static void
compress(const GemVariant *variant,
         const GemExportTypes *types,
         const GemParameters *parameters,
         float *values)
{
  gem_compression_prune(parameters, variant->pruned, values);
  if (variant->bits > 0) {
    gem_compression_apply_bits(parameters, variant->bits, values);
  } else if (!variant->unquantized) {
    gem_compression_apply_types(parameters, types, values);
  }
}

void
gem_variant_network_compress(const GemVariant *variant,
                             const GemExportTypes *types,
                             GemBackboneCheckpoint *network)
{
  compress(variant, types, network->backbone->parameters, network->values);
}

void
gem_variant_router_compress(const GemVariant *variant,
                            const GemExportTypes *types,
                            const GemRouterNetwork *router,
                            float *values)
{
  const GemExportTypes own = gem_variant_types(variant, types);
  compress(variant, &own, router->parameters, values);
}
