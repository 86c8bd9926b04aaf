#include "format/gem-tokenizer-table.h"

#include <string.h>

#define LEAST_SLOTS 1024u

/* A power of two of which `n_expected` take at most half; its hash's shift in `ret_shift`. */
static gsize
choose_size(gsize n_expected, guint *ret_shift)
{
  gsize n_slots = LEAST_SLOTS;
  guint bits = 10;

  while (n_slots / 2 < n_expected) {
    n_slots *= 2;
    bits++;
  }
  *ret_shift = 64 - bits;
  return n_slots;
}

/* ---- pairs ---- */

static GemPairSlot *
pair_slots_new(gsize n)
{
  GemPairSlot *slots = g_new(GemPairSlot, n);

  memset(slots, 0xff, n * sizeof(*slots)); /* all free */
  return slots;
}

void
gem_pair_table_init(GemPairTable *self, gsize n_expected)
{
  *self = (GemPairTable){0};
  self->n_slots = choose_size(n_expected, &self->shift);
  self->slots = pair_slots_new(self->n_slots);
}

void
gem_pair_table_clear(GemPairTable *self)
{
  g_clear_pointer(&self->slots, g_free);
}

/* The slot of the pair, or the free one where it belongs. */
static GemPairSlot *
pair_slot_for(GemPairTable *self, guint32 first, guint32 second)
{
  const gsize mask = self->n_slots - 1;
  gsize i = gem_pair_table_start(self, first, second);

  while (!gem_pair_slot_is_free(&self->slots[i]) &&
         (self->slots[i].first != first || self->slots[i].second != second)) {
    i = (i + 1) & mask;
  }
  return &self->slots[i];
}

static void
grow_pairs(GemPairTable *self)
{
  const gsize n_old = self->n_slots;
  g_autofree GemPairSlot *old = self->slots;

  self->n_slots *= 2;
  self->shift--;
  self->slots = pair_slots_new(self->n_slots);
  for (gsize i = 0; i < n_old; i++) {
    if (!gem_pair_slot_is_free(&old[i])) {
      *pair_slot_for(self, old[i].first, old[i].second) = old[i];
    }
  }
}

static void
put_pair(GemPairTable *self, guint32 first, guint32 second, guint32 value, gboolean replace)
{
  GemPairSlot *slot;

  g_return_if_fail(first != GEM_NONE || second != GEM_NONE);

  slot = pair_slot_for(self, first, second);
  if (!gem_pair_slot_is_free(slot)) {
    slot->value = replace ? value : slot->value;
    return;
  }
  if ((self->n_used + 1) * 2 > self->n_slots) {
    grow_pairs(self);
    slot = pair_slot_for(self, first, second);
  }
  self->n_used++;
  *slot = (GemPairSlot){first, second, value};
}

void
gem_pair_table_set(GemPairTable *self, guint32 first, guint32 second, guint32 value)
{
  put_pair(self, first, second, value, TRUE);
}

void
gem_pair_table_add(GemPairTable *self, guint32 first, guint32 second, guint32 value)
{
  put_pair(self, first, second, value, FALSE);
}

/* ---- pieces ---- */

void
gem_piece_table_init(GemPieceTable *self, gsize n_expected)
{
  *self = (GemPieceTable){0};
  self->n_slots = choose_size(n_expected, &self->shift);
  self->slots = g_new0(GemPieceSlot, self->n_slots);
}

void
gem_piece_table_clear(GemPieceTable *self)
{
  g_clear_pointer(&self->slots, g_free);
}

/* The slot of the text, or the free one where it belongs. */
static GemPieceSlot *
piece_slot_for(const GemPieceTable *self, guint64 hash, const char *text, gsize length)
{
  const gsize mask = self->n_slots - 1;
  gsize i = (gsize)((hash * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) >> self->shift);

  while (self->slots[i].text != NULL &&
         (self->slots[i].length != length || memcmp(self->slots[i].text, text, length) != 0)) {
    i = (i + 1) & mask;
  }
  return &self->slots[i];
}

guint32
gem_piece_table_get(const GemPieceTable *self, guint64 hash, const char *text, gsize length)
{
  const GemPieceSlot *slot = piece_slot_for(self, hash, text, length);

  return slot->text != NULL ? slot->id : GEM_NONE;
}

static void
grow_pieces(GemPieceTable *self)
{
  const gsize n_old = self->n_slots;
  g_autofree GemPieceSlot *old = self->slots;

  self->n_slots *= 2;
  self->shift--;
  self->slots = g_new0(GemPieceSlot, self->n_slots);
  for (gsize i = 0; i < n_old; i++) {
    if (old[i].text != NULL) {
      const guint64 hash = gem_text_hash(0, old[i].text, old[i].length);

      *piece_slot_for(self, hash, old[i].text, old[i].length) = old[i];
    }
  }
}

void
gem_piece_table_insert(GemPieceTable *self, guint64 hash, const char *text, gsize length, guint32 id)
{
  if ((self->n_used + 1) * 2 > self->n_slots) {
    grow_pieces(self);
  }
  self->n_used++;
  *piece_slot_for(self, hash, text, length) = (GemPieceSlot){text, (guint32)length, id};
}
