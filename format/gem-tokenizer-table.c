#include "format/gem-tokenizer-table.h"

#include <string.h>

static GemPairSlot *
slots_new(gsize n)
{
  GemPairSlot *slots = g_new(GemPairSlot, n);

  memset(slots, 0xff, n * sizeof(*slots)); /* all free */
  return slots;
}

void
gem_pair_table_init(GemPairTable *self)
{
  *self = (GemPairTable){.slots = slots_new(1 << 10), .n_slots = 1 << 10, .shift = 64 - 10};
}

void
gem_pair_table_clear(GemPairTable *self)
{
  g_clear_pointer(&self->slots, g_free);
}

/* The slot of `key`, or the free one where it belongs. */
static GemPairSlot *
slot_for(GemPairTable *self, guint64 key)
{
  const gsize mask = self->n_slots - 1;
  gsize i = (key * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) >> self->shift;

  while (self->slots[i].key != key && self->slots[i].key != G_MAXUINT64) {
    i = (i + 1) & mask;
  }
  return &self->slots[i];
}

static void
grow(GemPairTable *self)
{
  const gsize n_old = self->n_slots;
  g_autofree GemPairSlot *old = self->slots;

  self->n_slots *= 2;
  self->shift--;
  self->slots = slots_new(self->n_slots);
  for (gsize i = 0; i < n_old; i++) {
    if (old[i].key != G_MAXUINT64) {
      *slot_for(self, old[i].key) = old[i];
    }
  }
}

void
gem_pair_table_set(GemPairTable *self, guint32 first, guint32 second, guint32 value)
{
  const guint64 key = (guint64)first << 32 | second;
  GemPairSlot *slot;

  g_return_if_fail(key != G_MAXUINT64);

  if ((self->n_used + 1) * 2 > self->n_slots) {
    grow(self);
  }
  slot = slot_for(self, key);
  if (slot->key == G_MAXUINT64) {
    self->n_used++;
  }
  *slot = (GemPairSlot){.key = key, .value = value};
}
