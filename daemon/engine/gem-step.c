#include "daemon/engine/gem-step.h"

#include <math.h>
#include <string.h>

/* Rows whose logits are computed at a time. */
#define OUTPUT_ROWS 32u

/* Where a pathway runs a row. */
typedef enum { HERE, ON_DEVICE, SIDES, NOWHERE = SIDES } Side;

/* The rows of a step, and scratch for them. Widths: D = shape->width, Q = heads * head_dim, K = kv_heads *
 * head_dim. */
struct GemStep {
  GemRuntime *runtime;
  GemBeat *beat;
  guint capacity; /* rows */
  guint failed;   /* see gem_step_get_failed */

  guint rows;
  GemPathwaySet pathways;      /* of all rows, from the first layer's feed-forward on */
  GemAttentionSpan *attention; /* [rows] of each span */
  guint8 *clusters;            /* [rows] */
  GemKvPlaces places;          /* [rows] of the layer that runs */
  guint8 *routes;              /* [rows]; general where the pathway is not to be had */
  GemTextRows *text_rows;      /* [rows] */
  guint8 *sides;               /* [rows] of the pathway that runs: a Side */
  guint32 *positions;          /* [rows] */
  guint32 *gathered;           /* [rows] row numbers of one domain */
  float *x;                    /* [rows][D] the residual stream */
  float *normed;               /* [rows][D] */
  float *query;                /* [rows][Q] */
  float *key;                  /* [rows][K] */
  float *value;                /* [rows][K] */
  float *attended;             /* [rows][Q] in the place of `normed`, which nobody reads any more then */
  float *projected;            /* [rows][D] in the place of `query` */
  float *domain_input;         /* [rows][D] gathered rows of `normed` */
  float *domain_sum;           /* [rows][D] gathered rows of `x` */
  float *logits;               /* [OUTPUT_ROWS][vocab] */
};

GemStep *
gem_step_new(GemRuntime *runtime, GemBeat *beat)
{
  GemStep *self = g_new0(GemStep, 1);

  self->runtime = runtime;
  self->beat = beat;
  self->logits = g_new(float, (gsize)OUTPUT_ROWS * runtime->shape->vocab);
  return self;
}

static void
free_rows(GemStep *self)
{
  g_free(self->attention);
  g_free(self->clusters);
  g_free(self->places.tiles);
  g_free(self->places.places);
  g_free(self->places.list_tiles);
  g_free(self->places.list_places);
  g_free(self->routes);
  g_free(self->text_rows);
  g_free(self->sides);
  g_free(self->positions);
  g_free(self->gathered);
  g_free(self->x);
  g_free(self->normed);
  g_free(self->query);
  g_free(self->key);
  g_free(self->value);
  g_free(self->domain_input);
  g_free(self->domain_sum);
}

void
gem_step_free(GemStep *self)
{
  if (self == NULL) {
    return;
  }
  free_rows(self);
  g_free(self->logits);
  g_free(self);
}

static void
make_room(GemStep *self, guint rows)
{
  const GemModelShape *shape = self->runtime->shape;
  gsize width = shape->width;
  gsize query = (gsize)shape->heads * shape->head_dim;
  gsize key = (gsize)shape->kv_heads * shape->head_dim;
  gsize widest = MAX(width, query);

  if (rows <= self->capacity) {
    return;
  }
  free_rows(self);
  self->capacity = rows;
  self->attention = g_new(GemAttentionSpan, rows);
  self->clusters = g_new(guint8, rows);
  self->places = (GemKvPlaces){
      .tiles = g_new(guint8 *, rows),
      .places = g_new(guint8, rows),
      .list_tiles = g_new(guint8 *, rows),
      .list_places = g_new(guint8, rows),
  };
  self->routes = g_new(guint8, rows);
  self->text_rows = g_new(GemTextRows, rows);
  self->sides = g_new(guint8, rows);
  self->positions = g_new(guint32, rows);
  self->gathered = g_new(guint32, rows);
  self->x = g_new(float, rows *width);
  self->normed = self->attended = g_new(float, rows *widest);
  self->query = self->projected = g_new(float, rows *widest);
  self->key = g_new(float, rows *key);
  self->value = g_new(float, rows *key);
  self->domain_input = g_new(float, rows *width);
  self->domain_sum = g_new(float, rows *width);
}

/* One to a pathway that is gone is to general, and counted as degraded. */
static guint8
route_at(const GemSequenceState *sequence, guint position)
{
  guint8 route = sequence->routes->data[position];

  return gem_pathway_set_of(route) != 0 ? route : GEM_ROUTE_GENERAL;
}

/* Looks up embeddings, positions and routes of all rows. */
static void
place_rows(GemStep *self, const GemStepSpan *spans, guint n)
{
  GemRuntime *runtime = self->runtime;
  const GemBackend *backend = runtime->backend;
  guint row = 0;

  for (guint i = 0; i < n; i++) {
    const GemSequenceState *sequence = spans[i].sequence;

    for (guint j = 0; j < spans[i].rows; j++, row++) {
      guint position = sequence->cached + j;

      self->routes[row] = route_at(sequence, position);
      self->text_rows[row] = g_array_index(sequence->text_rows, GemTextRows, position);
      self->positions[row] = position;
      backend->functions->matrix_row(backend->state, runtime->model->embedding,
                                     g_array_index(sequence->tokens, guint32, position),
                                     self->x + (gsize)row * runtime->shape->width);
    }
  }
  self->rows = row;
}

/* Whether a row has the pathway that it is routed to; paged in for it, unless it can do without. */
static gboolean
has_pathway(GemRuntime *runtime, guint8 route, gboolean degrade)
{
  GemPathwaySet bit = gem_pathway_set_of(route);

  if ((gem_pager_get_resident(runtime->pager) & bit) == 0) {
    if (degrade) {
      runtime->wanted |= bit;
      return FALSE;
    }
    if (!gem_pager_need(runtime->pager, route, NULL)) {
      return FALSE;
    }
  }
  gem_pager_touch(runtime->pager, route, runtime->step);
  return TRUE;
}

/* For the spans that degrade, or for the others; their rows that lack a pathway have general alone. */
static void
need_pathways(GemStep *self, const GemStepSpan *spans, guint n, gboolean degrade)
{
  guint row = 0;

  for (guint i = 0; i < n; i++) {
    guint end = row + spans[i].rows;

    for (; row < end; row++) {
      if (spans[i].degrade == degrade && self->routes[row] != GEM_ROUTE_GENERAL &&
          !has_pathway(self->runtime, self->routes[row], degrade)) {
        self->routes[row] = GEM_ROUTE_GENERAL;
      }
    }
  }
}

/* Has them paged in, as late as can be: up to here they were read ahead, since they were routed. */
static void
find_pathways(GemStep *self, const GemStepSpan *spans, guint n)
{
  need_pathways(self, spans, n, FALSE);
  need_pathways(self, spans, n, TRUE);
  self->pathways = 0;
  for (guint row = 0; row < self->rows; row++) {
    self->pathways |= gem_pathway_set_of(self->routes[row]);
  }
}

static void
norm(const GemStep *self, const float *weight)
{
  const GemModelShape *shape = self->runtime->shape;

  self->runtime->backend->functions->rms_norm(self->runtime->backend->state, self->x, weight, self->rows,
                                              shape->width, shape->rms_epsilon, self->normed);
}

static void
rotate(const GemStep *self, float *x, guint heads)
{
  const GemModelShape *shape = self->runtime->shape;

  self->runtime->backend->functions->rope(self->runtime->backend->state, x, self->positions, self->rows,
                                          heads, shape->head_dim, shape->rope_dim, shape->rope_base);
}

/* Finds places in its cache for the span's keys and values, which are rows first_row.. of the step, by their
 * clusters. */
static void
place_span(GemStep *self, const GemStepSpan *span, guint layer, guint first_row)
{
  const GemRuntime *runtime = self->runtime;
  GemKvPlaces places = {
      .tiles = self->places.tiles + first_row,
      .places = self->places.places + first_row,
      .list_tiles = self->places.list_tiles + first_row,
      .list_places = self->places.list_places + first_row,
  };
  const guint8 *clusters = NULL;

  if (runtime->clusters_needed) {
    runtime->attention_functions->assign(runtime->attention, layer, span->sequence->cluster_set,
                                         self->normed + (gsize)first_row * runtime->shape->width, span->rows,
                                         self->clusters + first_row);
    clusters = self->clusters + first_row;
  }
  gem_kv_cache_place(span->sequence->cache, layer, span->sequence->cached, span->rows, clusters, &places);
}

static gboolean
attend(GemStep *self, const GemStepSpan *spans, guint n, guint layer)
{
  const GemRuntime *runtime = self->runtime;
  const GemKvCache *cache = spans[0].sequence->cache; /* all are of one form, and have clusters or not */
  guint row = 0;

  for (guint i = 0; i < n; i++) {
    place_span(self, &spans[i], layer, row);
    self->attention[i] = gem_kv_cache_get_span(spans[i].sequence->cache, layer, spans[i].rows);
    row += spans[i].rows;
  }
  gem_kv_cache_store(cache, &self->places, row, self->key, self->value);
  return runtime->attention_functions->attend(runtime->attention, gem_kv_cache_get_form(cache),
                                              self->attention, n, self->query, self->attended) >= 0;
}

/* Query, key and value share their input. */
static void
run_projections(GemStep *self, const GemModelLayer *weights)
{
  const GemBackend *backend = self->runtime->backend;
  const GemMatrix *const matrices[] = {weights->query, weights->key, weights->value};
  float *const results[] = {self->query, self->key, self->value};

  backend->functions->linear(backend->state, matrices, G_N_ELEMENTS(matrices), self->normed, self->rows,
                             results);
}

static gboolean
run_attention(GemStep *self, const GemStepSpan *spans, guint n, guint layer)
{
  const GemModelShape *shape = self->runtime->shape;
  const GemModelLayer *weights = &self->runtime->model->layers[layer];

  norm(self, weights->attention_norm);
  run_projections(self, weights);
  rotate(self, self->query, shape->heads);
  rotate(self, self->key, shape->kv_heads);
  if (!attend(self, spans, n, layer)) {
    return FALSE;
  }
  gem_backend_linear_add(self->runtime->backend, weights->output, shape->width, self->attended, self->rows,
                         self->projected, self->x);
  return TRUE;
}

/* Finds the side of each row of a pathway, before a device may fail and leave none. */
static void
choose_sides(GemStep *self, guint index, guint ret_counts[SIDES])
{
  gboolean is_general = index == self->runtime->shape->n_domains;

  memset(ret_counts, 0, SIDES * sizeof *ret_counts);
  for (guint row = 0; row < self->rows; row++) {
    const GemTextRows *rows = &self->text_rows[row];

    self->sides[row] = NOWHERE;
    if (is_general || self->routes[row] == index) {
      guint n = is_general ? rows->general : rows->routed;

      self->sides[row] = gem_pager_goes_to_device(self->runtime->pager, index, n) ? ON_DEVICE : HERE;
      ret_counts[self->sides[row]]++;
    }
  }
}

/* Gathers the rows of one side, applies the pathway's feed-forward to them and puts them back. */
static void
run_gathered(GemStep *self, guint index, guint layer, Side side)
{
  gsize width = self->runtime->shape->width;
  gsize row_bytes = width * sizeof(float);
  guint count = 0;

  for (guint row = 0; row < self->rows; row++) {
    if (self->sides[row] == side) {
      memcpy(self->domain_input + count * width, self->normed + row * width, row_bytes);
      memcpy(self->domain_sum + count * width, self->x + row * width, row_bytes);
      self->gathered[count++] = row;
    }
  }
  gem_pager_apply(self->runtime->pager, index, layer, side == ON_DEVICE, self->domain_input, count,
                  self->domain_sum);
  for (guint i = 0; i < count; i++) {
    memcpy(self->x + self->gathered[i] * width, self->domain_sum + i * width, row_bytes);
  }
}

/* A pathway of all rows that are its own, on the side of each. */
static void
run_pathway(GemStep *self, guint index, guint layer)
{
  guint counts[SIDES];

  choose_sides(self, index, counts);
  for (guint side = 0; side < SIDES; side++) {
    if (counts[side] == self->rows) {
      gem_pager_apply(self->runtime->pager, index, layer, side == ON_DEVICE, self->normed, self->rows,
                      self->x);
    } else if (counts[side] > 0) {
      run_gathered(self, index, layer, (Side)side);
    }
  }
}

static void
run_feed_forward(GemStep *self, const GemStepSpan *spans, guint n, guint layer)
{
  GemPathwaySet pathways;

  norm(self, self->runtime->model->layers[layer].ffn_norm);
  run_pathway(self, self->runtime->shape->n_domains, layer);
  if (layer == 0) {
    find_pathways(self, spans, n);
  }
  for (pathways = self->pathways; pathways != 0;) {
    run_pathway(self, gem_pathway_set_take(&pathways), layer);
  }
}

/* Whether the row's final state and what the norm made of it are numbers. A state that has overflowed would
 * leave the norm as zeros, of which rounding makes logits that are numbers, and all the same. */
static gboolean
has_finite_state(const GemStep *self, guint row)
{
  gsize width = self->runtime->shape->width;
  const float *x = self->x + row * width, *normed = self->normed + row * width;
  float squares = 0;

  for (gsize i = 0; i < width; i++) {
    squares += x[i] * x[i] + 0.0f * normed[i];
  }
  return isfinite(squares);
}

static void
fill_with_no_number(float *values, gsize n)
{
  for (gsize i = 0; i < n; i++) {
    values[i] = NAN;
  }
}

/* Rows whose logits wait to be computed together. */
typedef struct {
  const GemStepSpan *span[OUTPUT_ROWS];
  guint row[OUTPUT_ROWS];
  guint n;
} OutputBatch;

static void
flush_logits(GemStep *self, OutputBatch *batch)
{
  const GemBackend *backend = self->runtime->backend;
  gsize width = self->runtime->shape->width, vocab = self->runtime->shape->vocab;

  if (batch->n == 0) {
    return;
  }
  for (guint i = 0; i < batch->n; i++) {
    memcpy(self->projected + i * width, self->normed + batch->row[i] * width, width * sizeof(float));
  }
  gem_backend_linear(backend, self->runtime->model->output, self->projected, batch->n, self->logits);
  for (guint i = 0; i < batch->n; i++) {
    float *logits = self->logits + i * vocab;

    if (isnan(self->projected[i * width])) {
      fill_with_no_number(logits, vocab);
    }
    batch->span[i]->output(batch->span[i]->data, self->positions[batch->row[i]], logits);
  }
  batch->n = 0;
}

/* Gives every span the outputs that it wants. */
static void
give_outputs(GemStep *self, const GemStepSpan *spans, guint n)
{
  gsize width = self->runtime->shape->width;
  OutputBatch batch = {.n = 0};
  guint row = 0;

  norm(self, self->runtime->model->output_norm);
  for (guint i = 0; i < n; i++) {
    for (guint j = 0; j < spans[i].rows; j++, row++) {
      if (self->positions[row] < spans[i].outputs_from) {
        continue;
      }
      if (!has_finite_state(self, row)) {
        fill_with_no_number(self->normed + row * width, width);
      }
      if (spans[i].hidden) {
        spans[i].output(spans[i].data, self->positions[row], self->normed + row * width);
        continue;
      }
      batch.span[batch.n] = &spans[i];
      batch.row[batch.n++] = row;
      if (batch.n == MIN(OUTPUT_ROWS, self->capacity)) {
        flush_logits(self, &batch);
      }
    }
  }
  flush_logits(self, &batch);
}

static void
count_row(GemStep *self, GemSequenceState *sequence, guint row)
{
  guint8 route = self->routes[row];

  sequence->rows_by_pathway[route == GEM_ROUTE_GENERAL ? self->runtime->shape->n_domains : route]++;
  if (route != sequence->routes->data[self->positions[row]]) {
    sequence->degraded_rows++;
    self->runtime->counters.degraded_tokens++;
  }
}

/* The rows are cached now: counts each token the first time that it runs. */
static void
count_rows(GemStep *self, const GemStepSpan *spans, guint n)
{
  guint row = 0;

  for (guint i = 0; i < n; i++) {
    GemSequenceState *sequence = spans[i].sequence;

    for (guint j = 0; j < spans[i].rows; j++, row++) {
      if (self->positions[row] >= sequence->counted) {
        count_row(self, sequence, row);
      }
    }
    sequence->touched = self->runtime->step;
    sequence->cached += spans[i].rows;
    sequence->counted = MAX(sequence->counted, sequence->cached);
  }
}

static guint
count_all_rows(const GemStepSpan *spans, guint n)
{
  guint rows = 0;

  for (guint i = 0; i < n; i++) {
    g_assert(spans[i].rows > 0 && spans[i].rows <= gem_sequence_state_pending(spans[i].sequence));
    rows += spans[i].rows;
  }
  return rows;
}

gboolean
gem_step_run(GemStep *self, const GemStepSpan *spans, guint n, GError **error)
{
  GemRuntime *runtime = self->runtime;

  self->failed = GEM_STEP_ALL;
  runtime->step++;
  runtime->wanted = 0;
  gem_pager_settle(runtime->pager);
  make_room(self, count_all_rows(spans, n));
  for (guint i = 0; i < n; i++) {
    if (!gem_sequence_state_reserve(runtime, spans[i].sequence, spans[i].rows, error)) {
      self->failed = i;
      return FALSE;
    }
  }
  place_rows(self, spans, n);
  for (guint layer = 0; layer < runtime->shape->layers; layer++) {
    if (self->beat != NULL) {
      gem_beat_now(self->beat);
    }
    if (!run_attention(self, spans, n, layer)) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "attention in layer %u ran out of memory", layer);
      return FALSE;
    }
    run_feed_forward(self, spans, n, layer);
  }
  give_outputs(self, spans, n);
  count_rows(self, spans, n);
  return TRUE;
}

guint
gem_step_get_failed(const GemStep *self)
{
  return self->failed;
}
