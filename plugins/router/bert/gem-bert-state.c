#include "plugins/router/bert/gem-bert.h"

#include <stdlib.h>
#include <string.h>

/* Tokens appended one by one before the held ones are moved to the front. */
#define SPARE_ROWS 32

/* Tiles that so many positions may touch, wherever they begin. */
static uint32_t
tiles_for(size_t positions)
{
  return (uint32_t)((positions + 2 * GEM_KEY_VALUE_TILE - 2) / GEM_KEY_VALUE_TILE);
}

static uint32_t
usual_capacity(uint32_t window)
{
  return tiles_for((size_t)window - 1 + SPARE_ROWS);
}

static size_t
memory_bytes(const GemRouterState *state, uint32_t capacity)
{
  return (size_t)state->n_layers * capacity * state->tile_bytes;
}

/* The first tile that later tokens look into. */
static uint32_t
first_needed(const GemRouterState *state)
{
  uint32_t before = state->window - 1;
  return (state->next > before ? state->next - before : 0) / GEM_KEY_VALUE_TILE;
}

/* Tiles that hold something. */
static uint32_t
count_tiles(const GemRouterState *state)
{
  return (state->next + GEM_KEY_VALUE_TILE - 1) / GEM_KEY_VALUE_TILE - state->first_tile;
}

/* Copies what each layer holds from tile `first` on to the front of `target`, which may be the same memory
 * when the capacity is. */
static void
move_tiles(const GemRouterState *state, uint32_t first, uint32_t target_capacity, uint8_t *target)
{
  size_t skipped = first - state->first_tile;
  size_t kept = count_tiles(state) - skipped;
  if (kept == 0) {
    return; /* there may be no memory yet */
  }
  for (size_t layer = 0; layer < state->n_layers; layer++) {
    const uint8_t *from = state->memory + (layer * state->capacity + skipped) * state->tile_bytes;
    memmove(target + layer * target_capacity * state->tile_bytes, from, kept * state->tile_bytes);
  }
}

static void
name_tiles(const GemRouterState *state, uint32_t capacity, const uint8_t *memory, const uint8_t **tiles)
{
  for (size_t tile = 0; tile < (size_t)state->n_layers * capacity; tile++) {
    tiles[tile] = memory + tile * state->tile_bytes;
  }
}

/* Keys and values tell of a caller's text: wiped, not only freed. */
static void
free_tiles(GemRouterState *state)
{
  if (state->memory != NULL) {
    explicit_bzero(state->memory, memory_bytes(state, state->capacity));
  }
  free(state->memory);
  free(state->tiles);
}

/* Drops what stands before tile `first`, and changes the room to `capacity` tiles a layer. */
static bool
resize(GemRouterState *state, uint32_t first, uint32_t capacity)
{
  uint8_t *memory = aligned_alloc(GEM_KEY_VALUE_ALIGNMENT, memory_bytes(state, capacity));
  const uint8_t **tiles = malloc((size_t)state->n_layers * capacity * sizeof *tiles);
  if (memory == NULL || tiles == NULL) {
    free(memory);
    free(tiles);
    return false;
  }
  move_tiles(state, first, capacity, memory);
  name_tiles(state, capacity, memory, tiles);
  free_tiles(state);
  state->memory = memory;
  state->tiles = tiles;
  state->first_tile = first;
  state->capacity = capacity;
  return true;
}

GemRouterState *
gem_bert_state_new(GemRouter *self)
{
  GemRouterState *state = calloc(1, sizeof *state);
  if (state == NULL) {
    return NULL;
  }
  state->n_layers = self->n_layers;
  state->window = self->window;
  state->tile_bytes = self->backend.functions->kv_tile_bytes(self->backend.state, &self->form);
  if (!resize(state, 0, usual_capacity(self->window))) {
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
  copy->first_tile = first_needed(state);
  copy->next = state->next;
  move_tiles(state, copy->first_tile, copy->capacity, copy->memory);
  return copy;
}

void
gem_bert_state_free(GemRouter *self, GemRouterState *state)
{
  free_tiles(state);
  free(state);
}

size_t
gem_bert_state_bytes(const GemRouter *self)
{
  size_t tile_bytes = self->backend.functions->kv_tile_bytes(self->backend.state, &self->form);
  return sizeof(GemRouterState) +
         (size_t)self->n_layers * usual_capacity(self->window) * (tile_bytes + sizeof(uint8_t *));
}

bool
gem_bert_state_reserve(GemRouterState *state, size_t n)
{
  size_t end = (state->next + n + GEM_KEY_VALUE_TILE - 1) / GEM_KEY_VALUE_TILE;
  if (end - state->first_tile <= state->capacity) {
    return true;
  }
  uint32_t first = first_needed(state);
  if (end - first <= state->capacity) {
    move_tiles(state, first, state->capacity, state->memory);
    state->first_tile = first;
    return true;
  }
  return resize(state, first, (uint32_t)(end - first));
}

void
gem_bert_state_trim(GemRouterState *state)
{
  uint32_t usual = usual_capacity(state->window);
  if (state->capacity > usual) {
    resize(state, first_needed(state), usual); /* where that fails the larger room does as well */
  }
}

uint8_t *
gem_bert_state_tile(const GemRouterState *state, uint32_t layer, uint32_t position)
{
  size_t tile = position / GEM_KEY_VALUE_TILE - state->first_tile;
  return state->memory + (layer * state->capacity + tile) * state->tile_bytes;
}
