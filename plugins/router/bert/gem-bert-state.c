#include "plugins/router/bert/gem-bert.h"

#include <stdlib.h>
#include <string.h>

/* Tokens appended one by one before the held ones are moved to the front. */
#define SPARE_ROWS 32

static size_t
usual_capacity(uint32_t window)
{
  return (size_t)window - 1 + SPARE_ROWS;
}

static size_t
data_bytes(const GemRouterState *state, size_t capacity)
{
  return (size_t)state->n_layers * 2 * capacity * state->width * sizeof(float);
}

/* Copies the last `keep` rows of each layer's keys and values to the front of `target`, which may be the same
 * memory when the capacity is. */
static void
move_rows(const GemRouterState *state, size_t keep, size_t target_capacity, float *target)
{
  for (size_t part = 0; part < (size_t)state->n_layers * 2; part++) {
    const float *from = state->data + (part * state->capacity + state->rows - keep) * state->width;
    memmove(target + part * target_capacity * state->width, from, keep * state->width * sizeof(float));
  }
}

/* Keys and values tell of a caller's text: wiped, not only freed. */
static void
free_data(GemRouterState *state)
{
  explicit_bzero(state->data, data_bytes(state, state->capacity));
  free(state->data);
}

GemRouterState *
gem_bert_state_new(GemRouter *self)
{
  GemRouterState *state = calloc(1, sizeof *state);
  if (state == NULL) {
    return NULL;
  }
  state->n_layers = self->n_layers;
  state->width = self->width;
  state->window = self->window;
  state->capacity = usual_capacity(self->window);
  state->data = malloc(data_bytes(state, state->capacity));
  if (state->data == NULL) {
    free(state);
    return NULL;
  }
  return state;
}

GemRouterState *
gem_bert_state_copy(GemRouter *self, const GemRouterState *state)
{
  GemRouterState *copy = gem_bert_state_new(self);
  if (copy == NULL) {
    return NULL;
  }
  /* After a turn that could not be trimmed the original may hold more than the window needs. */
  size_t keep = state->rows < copy->capacity ? state->rows : copy->capacity;
  move_rows(state, keep, copy->capacity, copy->data);
  copy->rows = keep;
  copy->next = state->next;
  return copy;
}

void
gem_bert_state_free(GemRouter *self, GemRouterState *state)
{
  free_data(state);
  free(state);
}

size_t
gem_bert_state_bytes(const GemRouter *self)
{
  return sizeof(GemRouterState) +
         (size_t)self->n_layers * 2 * usual_capacity(self->window) * self->width * sizeof(float);
}

/* Drops all but the last `keep` rows and changes the room to `capacity` rows. */
static bool
resize(GemRouterState *state, size_t keep, size_t capacity)
{
  float *data = malloc(data_bytes(state, capacity));
  if (data == NULL) {
    return false;
  }
  move_rows(state, keep, capacity, data);
  free_data(state);
  state->data = data;
  state->rows = keep;
  state->capacity = capacity;
  return true;
}

bool
gem_bert_state_reserve(GemRouterState *state, size_t n)
{
  if (state->rows + n <= state->capacity) {
    return true;
  }
  size_t keep = state->rows < state->window - 1 ? state->rows : state->window - 1;
  if (keep + n <= state->capacity) {
    move_rows(state, keep, state->capacity, state->data);
    state->rows = keep;
    return true;
  }
  return resize(state, keep, keep + n);
}

void
gem_bert_state_trim(GemRouterState *state)
{
  size_t usual = usual_capacity(state->window);
  if (state->capacity > usual) {
    size_t keep = state->rows < state->window - 1 ? state->rows : state->window - 1;
    resize(state, keep, usual); /* where that fails the larger room does as well */
  }
}

float *
gem_bert_state_keys(const GemRouterState *state, uint32_t layer)
{
  return state->data + (size_t)layer * 2 * state->capacity * state->width;
}

float *
gem_bert_state_values(const GemRouterState *state, uint32_t layer)
{
  return gem_bert_state_keys(state, layer) + state->capacity * state->width;
}
