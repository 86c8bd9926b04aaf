#include "plugins/router/bert/gem-bert.h"

#include <stdlib.h>
#include <string.h>

/* One turn on its way through the encoder. */
typedef struct {
  GemRouter *router;
  GemRouterState *state; /* has room for the turn; `next` is its first token's position */
  const uint32_t *tokens;
  size_t n;
  bool causal;
  float *x;       /* [n][D], the residual stream */
  float *queries; /* [n][D], of the layer at hand */
} Turn;

static size_t
block_rows(const Turn *turn, size_t first)
{
  return turn->n - first < GEM_BERT_BLOCK ? turn->n - first : GEM_BERT_BLOCK;
}

static void
add_rows(float *x, const float *addend, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    x[i] += addend[i];
  }
}

/* x = E[tokens], projected to the width where the embedding is narrower. */
static void
embed_block(const Turn *turn, size_t first)
{
  GemRouter *self = turn->router;
  const GemBackendFunctions *backend = self->backend.functions;
  size_t rows = block_rows(turn, first);
  float *x = turn->x + first * self->width;
  float *embedded = self->projection != NULL ? self->scratch.hidden : x;

  for (size_t i = 0; i < rows; i++) {
    backend->matrix_row(self->backend.state, self->embeddings, turn->tokens[first + i],
                        embedded + i * self->embedding);
  }
  if (self->projection != NULL) {
    gem_backend_linear(&self->backend, self->projection, embedded, rows, x);
  }
}

/* u = RMSNorm(x) into scratch.normed. */
static void
norm_block(const Turn *turn, size_t first, size_t rows, const float *weight)
{
  GemRouter *self = turn->router;
  self->backend.functions->rms_norm(self->backend.state, turn->x + first * self->width, weight, rows,
                                    self->width, self->rms_epsilon, self->scratch.normed);
}

static void
rotate_block(const Turn *turn, size_t first, size_t rows, float *heads)
{
  GemRouter *self = turn->router;
  for (size_t i = 0; i < rows; i++) {
    self->scratch.positions[i] = turn->state->next + (uint32_t)(first + i);
  }
  self->backend.functions->rope(self->backend.state, heads, self->scratch.positions, rows, self->heads,
                                self->head_dim, self->head_dim, self->rope_base);
}

/* The block's rotated queries, and its rotated keys and values, behind those of earlier tokens. */
static void
project_block(const Turn *turn, uint32_t layer, size_t first)
{
  GemRouter *self = turn->router;
  const GemBertLayer *weights = &self->layers[layer];
  GemBertScratch *scratch = &self->scratch;
  size_t rows = block_rows(turn, first);
  float *queries = turn->queries + first * self->width;
  const GemMatrix *const matrices[] = {weights->query, weights->key, weights->value};
  float *const results[] = {queries, scratch->keys, scratch->attended};

  norm_block(turn, first, rows, weights->attention_norm);
  self->backend.functions->linear(self->backend.state, matrices, 3, scratch->normed, rows, results);
  rotate_block(turn, first, rows, queries);
  rotate_block(turn, first, rows, scratch->keys);
  for (size_t i = 0; i < rows; i++) {
    uint32_t position = turn->state->next + (uint32_t)(first + i);
    scratch->targets[i] = gem_bert_state_tile(turn->state, layer, position);
    scratch->places[i] = position % GEM_KEY_VALUE_TILE;
  }
  self->backend.functions->kv_store(self->backend.state, &self->form, scratch->keys, scratch->attended, rows,
                                    scratch->targets, scratch->places);
}

/* What a token sees lies inside the window: earlier tokens, and later ones of its own turn unless the turn is
 * causal. */
static void
see(const Turn *turn, size_t token, uint32_t *from, uint32_t *to)
{
  uint32_t own = turn->state->next + (uint32_t)token;
  uint32_t turn_end = turn->state->next + (uint32_t)turn->n;
  uint32_t window = turn->router->window;
  *from = own + 1 > window ? own + 1 - window : 0;
  *to = turn->causal ? own + 1 : turn_end - own < window ? turn_end : own + window;
}

/* What the block's tokens attend to, into scratch. */
static void
attend_block(const Turn *turn, uint32_t layer, size_t first)
{
  GemRouter *self = turn->router;
  GemBertScratch *scratch = &self->scratch;
  GemKeyValuePart part = {
      .tiles = turn->state->tiles + (size_t)layer * turn->state->capacity,
      .first_tile = turn->state->first_tile,
      .from = scratch->from,
      .to = scratch->to,
  };
  GemKeyValueGroup group = {.n = (uint32_t)block_rows(turn, first), .n_parts = 1, .parts = &part};
  for (size_t i = 0; i < group.n; i++) {
    see(turn, first + i, &scratch->from[i], &scratch->to[i]);
  }
  self->backend.functions->attend(self->backend.state, &self->form, self->heads,
                                  turn->queries + first * self->width, &group, 1, scratch->attended);
}

/* x += W_o attention */
static void
attention_block(const Turn *turn, uint32_t layer, size_t first)
{
  GemRouter *self = turn->router;
  const GemBertLayer *weights = &self->layers[layer];
  GemBertScratch *scratch = &self->scratch;
  size_t rows = block_rows(turn, first);

  attend_block(turn, layer, first);
  gem_backend_linear(&self->backend, weights->output, scratch->attended, rows, scratch->normed);
  add_rows(turn->x + first * self->width, scratch->normed, rows * self->width);
}

/* x += W_down gelu(W_up u) */
static void
feed_forward_block(const Turn *turn, uint32_t layer, size_t first)
{
  GemRouter *self = turn->router;
  const GemBackendFunctions *backend = self->backend.functions;
  const GemBertLayer *weights = &self->layers[layer];
  GemBertScratch *scratch = &self->scratch;
  size_t rows = block_rows(turn, first);

  norm_block(turn, first, rows, weights->feed_forward_norm);
  gem_backend_linear(&self->backend, weights->up, scratch->normed, rows, scratch->hidden);
  backend->gelu(self->backend.state, scratch->hidden, rows * self->hidden);
  gem_backend_linear(&self->backend, weights->down, scratch->hidden, rows, scratch->normed);
  add_rows(turn->x + first * self->width, scratch->normed, rows * self->width);
}

/* All projections first: a token may look ahead in its turn, beyond its block. */
static void
run_layer(const Turn *turn, uint32_t layer)
{
  for (size_t first = 0; first < turn->n; first += GEM_BERT_BLOCK) {
    project_block(turn, layer, first);
  }
  for (size_t first = 0; first < turn->n; first += GEM_BERT_BLOCK) {
    attention_block(turn, layer, first);
    feed_forward_block(turn, layer, first);
  }
}

/* P(d | x_i) = softmax(W_r e_i), the paper's routing probability. */
static void
classify_block(const Turn *turn, size_t first, float *probabilities)
{
  GemRouter *self = turn->router;
  size_t rows = block_rows(turn, first);
  norm_block(turn, first, rows, self->output_norm);
  gem_backend_linear(&self->backend, self->classifier, self->scratch.normed, rows,
                     probabilities + first * self->domains);
  for (size_t i = first; i < first + rows; i++) {
    self->backend.functions->softmax(self->backend.state, probabilities + i * self->domains, self->domains);
  }
}

static void
run_turn(const Turn *turn, float *probabilities)
{
  for (size_t first = 0; first < turn->n; first += GEM_BERT_BLOCK) {
    embed_block(turn, first);
  }
  for (uint32_t layer = 0; layer < turn->router->n_layers; layer++) {
    run_layer(turn, layer);
  }
  for (size_t first = 0; first < turn->n; first += GEM_BERT_BLOCK) {
    classify_block(turn, first, probabilities);
  }
}

static bool
tokens_are_known(const GemRouter *self, const uint32_t *tokens, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    if (tokens[i] >= self->vocabulary) {
      return false;
    }
  }
  return true;
}

/* The state has room for it. */
static int
route_one(GemRouter *self, const GemRouterTurn *wanted)
{
  /* A single token, as it comes with each step of an answer, needs no memory of its own. */
  size_t values = wanted->n * self->width;
  float *x = wanted->n <= GEM_BERT_BLOCK ? self->scratch.turn : malloc(2 * values * sizeof *x);
  if (x == NULL) {
    return -1;
  }
  Turn turn = {.router = self,
               .state = wanted->state,
               .tokens = wanted->tokens,
               .n = wanted->n,
               .causal = wanted->causal,
               .x = x,
               .queries = x + values};
  run_turn(&turn, wanted->probabilities);
  /* They tell of a caller's text. */
  explicit_bzero(x, 2 * values * sizeof *x);
  if (x != self->scratch.turn) {
    free(x);
  }
  wanted->state->next += (uint32_t)wanted->n;
  gem_bert_state_trim(wanted->state);
  return 0;
}

int
gem_bert_route(GemRouter *self, const GemRouterTurn *turns, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    if (!tokens_are_known(self, turns[i].tokens, turns[i].n)) {
      return -2;
    }
    if (!gem_bert_state_reserve(turns[i].state, turns[i].n)) {
      return -1;
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (route_one(self, &turns[i]) < 0) {
      return -1;
    }
  }
  return 0;
}
