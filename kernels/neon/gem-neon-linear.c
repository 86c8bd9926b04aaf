/* Panels, chunks and inputs, for the steps of any set. */
#include "kernels/neon/gem-neon.h"

#include <math.h>

/* y[lanes] = fma(scale, f, y). */
static inline void
add_scaled(float scale, const float *f, size_t lanes, float *y)
{
  if (lanes < GEM_PANEL_ROWS) {
    for (size_t lane = 0; lane < lanes; lane++) {
      y[lane] = fmaf(scale, f[lane], y[lane]);
    }
    return;
  }
  for (size_t lane = 0; lane < GEM_PANEL_ROWS; lane += GEM_NEON_GROUP_ROWS) {
    vst1q_f32(y + lane, vfmaq_n_f32(vld1q_f32(y + lane), vld1q_f32(f + lane), scale));
  }
}

/* What is the same for all panels of a matrix. */
typedef struct {
  const GemNeonSteps *steps;
  const GemPacked *weights;
  const GemInputs *inputs;
  bool decodes; /* chunks, for many inputs */
  size_t chunks;
  size_t chunk_bytes; /* of all chunks of a panel but the last */
} Product;

/* One chunk of a panel, and where its results go: y[n] stands weights->rows apart. */
typedef struct {
  const uint8_t *data;
  size_t col;
  size_t lanes;
  float *y;
} Place;

static void
add_single(const Product *product, const Place *place)
{
  const GemInputs *inputs = product->inputs;
  size_t width = gem_packed_width(inputs->cols, place->col);
  for (size_t i = 0; i < inputs->n; i++) {
    size_t at = i * inputs->cols + place->col;
    float f[GEM_PANEL_ROWS];
    product->steps->single(product->weights->type, place->data, width, inputs->levels + at,
                           inputs->sums + at / GEM_SUM_COLS, f);
    add_scaled(inputs->scales[i * product->chunks + place->col / GEM_CHUNK_COLS], f, place->lanes,
               place->y + i * product->weights->rows);
  }
}

static void
add_many(const Product *product, const Place *place)
{
  const GemInputs *inputs = product->inputs;
  GemNeonChunk chunk;
  gem_neon_decode(product->weights->type, place->data, gem_packed_width(inputs->cols, place->col), &chunk);
  if (product->steps->arrange != NULL) {
    product->steps->arrange(&chunk);
  }
  size_t done = 0;
  for (size_t i = 0; i < inputs->n; i += done) {
    float f[GEM_NEON_TILE][GEM_PANEL_ROWS];
    const int8_t *levels = inputs->levels + i * inputs->cols + place->col;
    done = product->steps->many(&chunk, levels, inputs->cols, inputs->n - i, f);
    for (size_t j = 0; j < done; j++) {
      add_scaled(inputs->scales[(i + j) * product->chunks + place->col / GEM_CHUNK_COLS], f[j], place->lanes,
                 place->y + (i + j) * product->weights->rows);
    }
  }
}

static void
multiply_panel(const Product *product, Place place)
{
  for (size_t i = 0; i < product->inputs->n; i++) {
    memset(place.y + i * product->weights->rows, 0, place.lanes * sizeof *place.y);
  }
  for (place.col = 0; place.col < product->weights->cols; place.col += GEM_CHUNK_COLS) {
    if (product->decodes) {
      add_many(product, &place);
    } else {
      add_single(product, &place);
    }
    place.data += product->chunk_bytes;
  }
}

void
gem_neon_linear_levels(const GemNeonSteps *steps,
                       const GemPacked *weights,
                       size_t first,
                       size_t end,
                       const GemInputs *inputs,
                       float *y)
{
  size_t panel_bytes = gem_packed_panel_bytes(weights->type, weights->cols);
  Product product = {
      .steps = steps,
      .weights = weights,
      .inputs = inputs,
      .decodes = inputs->n > (weights->type == GEM_TYPE_Q6_K ? 1 : steps->most_single),
      .chunks = gem_packed_chunks(weights->cols),
      .chunk_bytes = gem_packed_chunk_offset(weights->type, GEM_CHUNK_COLS),
  };
  for (size_t panel = first; panel < end; panel++) {
    multiply_panel(&product, (Place){.data = weights->data + panel * panel_bytes,
                                     .lanes = gem_neon_lanes(weights, panel),
                                     .y = y + panel * GEM_PANEL_ROWS});
  }
}
