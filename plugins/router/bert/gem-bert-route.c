#include "plugins/router/bert/gem-bert.h"

#include <stdlib.h>
#include <string.h>

/* Turns on their way through the encoder together: their rows, one turn's after the other's. */
typedef struct {
  GemRouter *router;
  const GemRouterTurn *turns;             /* states have room for them; `next` is a turn's first position */
  const GemRouterClasses *const *classes; /* [count]; NULL: all turns have the model's */
  size_t count;
  size_t n;       /* rows of all turns */
  float *x;       /* [n][D], the residual stream */
  float *queries; /* [n][D], of the layer at hand */
} Batch;

static size_t
block_rows(const Batch *batch, size_t first)
{
  return batch->n - first < GEM_BERT_BLOCK ? batch->n - first : GEM_BERT_BLOCK;
}

/* What of each turn lies in the block that begins at row `first`, into scratch.pieces; how many do. */
static size_t
cut_block(const Batch *batch, size_t first)
{
  GemBertPiece *pieces = batch->router->scratch.pieces;
  size_t end = first + block_rows(batch, first), begin = 0, count = 0;
  for (size_t i = 0; i < batch->count && begin < end; i++) {
    const GemRouterTurn *turn = &batch->turns[i];
    size_t from = begin > first ? begin : first;
    size_t to = begin + turn->n < end ? begin + turn->n : end;
    if (from < to) {
      pieces[count++] = (GemBertPiece){.turn = turn,
                                       .classes = batch->classes != NULL ? batch->classes[i] : NULL,
                                       .token = from - begin,
                                       .row = from - first,
                                       .n = to - from};
    }
    begin += turn->n;
  }
  return count;
}

/* Position in its sequence of a piece's i-th row. */
static uint32_t
piece_position(const GemBertPiece *piece, size_t i)
{
  return piece->turn->state->next + (uint32_t)(piece->token + i);
}

/* x = E[tokens], projected to the width where the embedding is narrower. */
static void
embed_block(const Batch *batch, size_t first)
{
  GemRouter *self = batch->router;
  const GemBackendFunctions *backend = self->backend.functions;
  const GemBertPiece *pieces = self->scratch.pieces;
  size_t count = cut_block(batch, first);
  float *x = batch->x + first * self->width;
  float *embedded = self->projection != NULL ? self->scratch.hidden : x;

  for (size_t p = 0; p < count; p++) {
    for (size_t i = 0; i < pieces[p].n; i++) {
      backend->matrix_row(self->backend.state, self->embeddings, pieces[p].turn->tokens[pieces[p].token + i],
                          embedded + (pieces[p].row + i) * self->embedding);
    }
  }
  if (self->projection != NULL) {
    gem_backend_linear(&self->backend, self->projection, embedded, block_rows(batch, first), x);
  }
}

/* u = RMSNorm(x) into scratch.normed. */
static void
norm_block(const Batch *batch, size_t first, size_t rows, const float *weight)
{
  GemRouter *self = batch->router;
  self->backend.functions->rms_norm(self->backend.state, batch->x + first * self->width, weight, rows,
                                    self->width, self->rms_epsilon, self->scratch.normed);
}

static void
rotate_block(GemRouter *self, size_t rows, float *heads)
{
  self->backend.functions->rope(self->backend.state, heads, self->scratch.positions, rows, self->heads,
                                self->head_dim, self->head_dim, self->rope_base);
}

/* Where each row of the block stands, and where its keys and values go, into scratch. */
static void
place_block(const Batch *batch, uint32_t layer, size_t first)
{
  GemBertScratch *scratch = &batch->router->scratch;
  size_t count = cut_block(batch, first);

  for (size_t p = 0; p < count; p++) {
    const GemBertPiece *piece = &scratch->pieces[p];
    for (size_t i = 0; i < piece->n; i++) {
      uint32_t position = piece_position(piece, i);
      scratch->positions[piece->row + i] = position;
      scratch->targets[piece->row + i] = gem_bert_state_tile(piece->turn->state, layer, position);
      scratch->places[piece->row + i] = position % GEM_KEY_VALUE_TILE;
    }
  }
}

/* The block's rotated queries, and its rotated keys and values, behind those of earlier tokens. */
static void
project_block(const Batch *batch, uint32_t layer, size_t first)
{
  GemRouter *self = batch->router;
  const GemBertLayer *weights = &self->layers[layer];
  GemBertScratch *scratch = &self->scratch;
  size_t rows = block_rows(batch, first);
  float *queries = batch->queries + first * self->width;
  const GemMatrix *const matrices[] = {weights->query, weights->key, weights->value};
  float *const results[] = {queries, scratch->keys, scratch->attended};

  norm_block(batch, first, rows, weights->attention_norm);
  self->backend.functions->linear(self->backend.state, matrices, 3, scratch->normed, rows, results);
  place_block(batch, layer, first);
  rotate_block(self, rows, queries);
  rotate_block(self, rows, scratch->keys);
  self->backend.functions->kv_store(self->backend.state, &self->form, scratch->keys, scratch->attended, rows,
                                    scratch->targets, scratch->places);
}

/* What a token sees lies inside the window: earlier tokens, and later ones of its own turn unless the turn is
 * causal. */
static void
see(const GemRouter *self, const GemRouterTurn *turn, uint32_t own, uint32_t *from, uint32_t *to)
{
  uint32_t turn_end = turn->state->next + (uint32_t)turn->n;
  uint32_t window = self->window;
  *from = own + 1 > window ? own + 1 - window : 0;
  *to = turn->causal ? own + 1 : turn_end - own < window ? turn_end : own + window;
}

/* What the block's tokens attend to, each in its own sequence, into scratch.attended. */
static void
attend_block(const Batch *batch, uint32_t layer, size_t first)
{
  GemRouter *self = batch->router;
  GemBertScratch *scratch = &self->scratch;
  size_t count = cut_block(batch, first);

  for (size_t p = 0; p < count; p++) {
    const GemBertPiece *piece = &scratch->pieces[p];
    const GemRouterState *state = piece->turn->state;
    scratch->parts[p] = (GemKeyValuePart){
        .tiles = state->tiles + (size_t)layer * state->capacity,
        .first_tile = state->first_tile,
        .from = scratch->from + piece->row,
        .to = scratch->to + piece->row,
    };
    scratch->groups[p] = (GemKeyValueGroup){.first_row = (uint32_t)piece->row,
                                            .n = (uint32_t)piece->n,
                                            .n_parts = 1,
                                            .parts = &scratch->parts[p]};
    for (size_t i = 0; i < piece->n; i++) {
      see(self, piece->turn, piece_position(piece, i), &scratch->from[piece->row + i],
          &scratch->to[piece->row + i]);
    }
  }
  self->backend.functions->attend(self->backend.state, &self->form, self->heads,
                                  batch->queries + first * self->width, scratch->groups, count,
                                  scratch->attended);
}

/* x += W_o attention */
static void
attention_block(const Batch *batch, uint32_t layer, size_t first)
{
  GemRouter *self = batch->router;
  GemBertScratch *scratch = &self->scratch;
  size_t rows = block_rows(batch, first);

  attend_block(batch, layer, first);
  gem_backend_linear_add(&self->backend, self->layers[layer].output, self->width, scratch->attended, rows,
                         scratch->normed, batch->x + first * self->width);
}

/* x += W_down gelu(W_up u) */
static void
feed_forward_block(const Batch *batch, uint32_t layer, size_t first)
{
  GemRouter *self = batch->router;
  const GemBertLayer *weights = &self->layers[layer];
  GemBertScratch *scratch = &self->scratch;
  size_t rows = block_rows(batch, first);

  norm_block(batch, first, rows, weights->feed_forward_norm);
  gem_backend_linear(&self->backend, weights->up, scratch->normed, rows, scratch->hidden);
  self->backend.functions->gelu(self->backend.state, scratch->hidden, rows * self->hidden);
  gem_backend_linear_add(&self->backend, weights->down, self->width, scratch->hidden, rows, scratch->normed,
                         batch->x + first * self->width);
}

static bool
may_go_on(const GemRouter *self)
{
  return self->go_on == NULL || self->go_on(self->go_on_data);
}

/* All projections first: a token may look ahead in its turn, beyond its block. False: it was stopped. */
static bool
run_layer(const Batch *batch, uint32_t layer)
{
  for (size_t first = 0; first < batch->n; first += GEM_BERT_BLOCK) {
    if (!may_go_on(batch->router)) {
      return false;
    }
    project_block(batch, layer, first);
  }
  for (size_t first = 0; first < batch->n; first += GEM_BERT_BLOCK) {
    if (!may_go_on(batch->router)) {
      return false;
    }
    attention_block(batch, layer, first);
    feed_forward_block(batch, layer, first);
  }
  return true;
}

/* P(d | x_i) = softmax(W_r e_i), the paper's routing probability. */
static void
classify_block(const Batch *batch, size_t first)
{
  GemRouter *self = batch->router;
  GemBertScratch *scratch = &self->scratch;
  size_t rows = block_rows(batch, first), count = cut_block(batch, first);
  norm_block(batch, first, rows, self->output_norm);
  gem_backend_linear(&self->backend, self->classifier, scratch->normed, rows, scratch->hidden);
  for (size_t p = 0; p < count; p++) {
    size_t row = scratch->pieces[p].row;
    gem_bert_classify(self, &scratch->pieces[p], scratch->hidden + row * self->domains,
                      scratch->normed + row * self->width);
  }
}

static bool
run_batch(const Batch *batch)
{
  for (size_t first = 0; first < batch->n; first += GEM_BERT_BLOCK) {
    embed_block(batch, first);
  }
  for (uint32_t layer = 0; layer < batch->router->n_layers; layer++) {
    if (!run_layer(batch, layer)) {
      return false;
    }
  }
  for (size_t first = 0; first < batch->n; first += GEM_BERT_BLOCK) {
    classify_block(batch, first);
  }
  return true;
}

static bool
tokens_are_known(const GemRouter *self, const GemRouterTurn *turn)
{
  for (size_t i = 0; i < turn->n; i++) {
    if (turn->tokens[i] >= self->vocabulary) {
      return false;
    }
  }
  return true;
}

/* What the states of long turns grew by, they give back. */
static int
finish(const GemRouterTurn *turns, size_t count, int status)
{
  for (size_t i = 0; i < count; i++) {
    turns[i].state->next += status == 0 ? (uint32_t)turns[i].n : 0;
    gem_bert_state_trim(turns[i].state);
  }
  return status;
}

int
gem_bert_route(GemRouter *self, const GemRouterTurn *turns, size_t count)
{
  return gem_bert_route_classes(self, turns, NULL, count);
}

int
gem_bert_route_classes(GemRouter *self,
                       const GemRouterTurn *turns,
                       const GemRouterClasses *const *classes,
                       size_t count)
{
  Batch batch = {.router = self, .turns = turns, .classes = classes, .count = count};
  for (size_t i = 0; i < count; i++) {
    if (!tokens_are_known(self, &turns[i])) {
      return finish(turns, i, -2);
    }
    if (!gem_bert_state_reserve(turns[i].state, turns[i].n)) {
      return finish(turns, i, -1);
    }
    batch.n += turns[i].n;
  }
  /* Single tokens, as they come with each step of answers, need no memory of their own. */
  size_t values = batch.n * self->width;
  batch.x = batch.n <= GEM_BERT_BLOCK ? self->scratch.turn : malloc(2 * values * sizeof *batch.x);
  if (batch.x == NULL) {
    return finish(turns, count, -1);
  }
  batch.queries = batch.x + values;
  bool ran = run_batch(&batch);
  /* They tell of callers' texts. */
  explicit_bzero(batch.x, 2 * values * sizeof *batch.x);
  if (batch.x != self->scratch.turn) {
    free(batch.x);
  }
  return finish(turns, count, ran ? 0 : GEM_ROUTER_STOPPED);
}

void
gem_bert_set_go_on(GemRouter *self, bool (*go_on)(void *data), void *data)
{
  self->go_on = go_on;
  self->go_on_data = data;
}
