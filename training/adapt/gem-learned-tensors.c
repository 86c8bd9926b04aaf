#include "training/adapt/gem-learned-tensors.h"

#include <string.h>

static gboolean
learns_tensor(const GemParameter *parameter, GemLearns learns, const char *pathway)
{
  gboolean general = strcmp(parameter->part, "general") == 0;
  gboolean residual = pathway != NULL && strcmp(parameter->part, pathway) == 0;
  return (general && learns != GEM_LEARNS_RESIDUAL) || (residual && learns != GEM_LEARNS_GENERAL);
}

/* The place in the compact array of the tensor at `offset` of the backbone's. */
static gsize
place_of(const GemLearnedTensors *self, gsize offset)
{
  for (guint i = 0; i < self->parameters->items->len; i++) {
    if (self->from[i] == offset) {
      return ((const GemParameter *)self->parameters->items->pdata[i])->offset;
    }
  }
  return GEM_FROZEN;
}

static void
fill_map(GemLearnedTensors *self)
{
  const GemBackbone *backbone = self->backbone;
  self->map.embedding = place_of(self, backbone->embedding);
  self->map.output_norm = place_of(self, backbone->output_norm);
  self->map.output = place_of(self, backbone->output);
  self->map.layers = g_new0(GemBackboneLayer, backbone->shape.layers);
  for (guint l = 0; l < backbone->shape.layers; l++) {
    const GemBackboneLayer *layer = &backbone->layers[l];
    GemBackboneLayer *to = &self->map.layers[l];
    to->attention_norm = place_of(self, layer->attention_norm);
    to->query = place_of(self, layer->query);
    to->attention_output = place_of(self, layer->attention_output);
    to->ffn_norm = place_of(self, layer->ffn_norm);
    to->gate = place_of(self, layer->gate);
    to->down = place_of(self, layer->down);
    for (guint d = 0; d < GEM_MAX_DOMAINS; d++) {
      gboolean exists = d < backbone->shape.n_domains;
      to->domain_gate[d] = exists ? place_of(self, layer->domain_gate[d]) : GEM_FROZEN;
      to->domain_down[d] = exists ? place_of(self, layer->domain_down[d]) : GEM_FROZEN;
    }
  }
}

GemLearnedTensors *
gem_learned_tensors_new(const GemBackbone *backbone,
                        GemLearns learns,
                        gint8 domain,
                        const GemExportTypes *types)
{
  GemLearnedTensors *self = g_new0(GemLearnedTensors, 1);
  const GPtrArray *all = backbone->parameters->items;
  gboolean has_domain = domain >= 0 && (guint)domain < backbone->shape.n_domains;
  g_autofree char *pathway =
      has_domain ? g_strdup_printf("pathway-%s", backbone->shape.domains[domain]) : NULL;
  self->backbone = backbone;
  self->parameters = gem_parameters_new();
  self->from = g_new0(gsize, all->len);
  self->types = g_new0(GemType, all->len);
  for (guint i = 0; i < all->len; i++) {
    const GemParameter *parameter = all->pdata[i];
    if (learns_tensor(parameter, learns, pathway)) {
      guint own = self->parameters->items->len;
      self->from[own] = parameter->offset;
      self->types[own] = gem_export_type_of(parameter, types);
      gem_parameters_add(self->parameters, parameter->part, parameter->rows, parameter->cols,
                         parameter->deviation, "%s", parameter->name);
    }
  }
  fill_map(self);
  return self;
}

void
gem_learned_tensors_free(GemLearnedTensors *self)
{
  gem_parameters_free(self->parameters);
  g_free(self->map.layers);
  g_free(self->from);
  g_free(self->types);
  g_free(self);
}

void
gem_learned_tensors_take(const GemLearnedTensors *self, const float *values, float *masters)
{
  for (guint i = 0; i < self->parameters->items->len; i++) {
    const GemParameter *parameter = self->parameters->items->pdata[i];
    memcpy(masters + parameter->offset, values + self->from[i],
           parameter->rows * parameter->cols * sizeof(float));
  }
}

typedef struct {
  const GemLearnedTensors *tensors;
  const float *masters;
  float *values;
  gboolean quantized;
  guint n_lanes;
} Putting;

/* Each lane takes every so many-th row of each tensor. */
static void
put_lane(guint lane, gpointer data)
{
  const Putting *self = data;
  const GPtrArray *items = self->tensors->parameters->items;
  for (guint i = 0; i < items->len; i++) {
    const GemParameter *parameter = items->pdata[i];
    GemType type = self->tensors->types[i];
    g_autofree guint8 *row = g_malloc(gem_type_row_bytes(type, parameter->cols));
    for (gsize r = lane; r < parameter->rows; r += self->n_lanes) {
      const float *master = self->masters + parameter->offset + r * parameter->cols;
      float *value = self->values + self->tensors->from[i] + r * parameter->cols;
      if (self->quantized) {
        gem_quantize_row(type, master, row, parameter->cols);
        gem_dequantize_row(type, row, value, parameter->cols);
      } else {
        memcpy(value, master, parameter->cols * sizeof(float));
      }
    }
  }
}

void
gem_learned_tensors_put(
    const GemLearnedTensors *self, const float *masters, gboolean quantized, GemLanes *lanes, float *values)
{
  Putting putting = {self, masters, values, quantized, gem_lanes_count(lanes)};
  gem_lanes_run(lanes, put_lane, &putting);
}

double
gem_learned_tensors_quantization(const GemLearnedTensors *self,
                                 const float *masters,
                                 const float *values,
                                 gsize first,
                                 gsize end,
                                 double factor,
                                 float *out)
{
  double total = 0.0;
  float twice = (float)(2.0 * factor);
  for (guint i = 0; i < self->parameters->items->len; i++) {
    const GemParameter *parameter = self->parameters->items->pdata[i];
    gsize from = MAX(parameter->offset, first),
          to = MIN(parameter->offset + parameter->rows * parameter->cols, end);
    for (gsize j = from; j < to; j++) {
      float difference = masters[j] - values[self->from[i] + j - parameter->offset];
      total += (double)difference * (double)difference;
      out[j] += twice * difference;
    }
  }
  return total;
}
