/*
 * A small open-addressing hash table from a pair of 32-bit numbers to a third: the one look-up in the
 * tokenizer's inner loop.
 */
#pragma once

#include <glib.h>

#define GEM_NONE G_MAXUINT32

typedef struct {
  guint64 key; /* first << 32 | second; G_MAXUINT64: free */
  guint32 value;
} GemPairSlot;

typedef struct {
  GemPairSlot *slots;
  gsize n_slots; /* a power of two, at most half of them used */
  guint shift;   /* 64 - log2(n_slots): the hash's top bits are the place */
  gsize n_used;
} GemPairTable;

void
gem_pair_table_init(GemPairTable *self);
void
gem_pair_table_clear(GemPairTable *self);
/* The pair (G_MAXUINT32, G_MAXUINT32) is reserved. */
void
gem_pair_table_set(GemPairTable *self, guint32 first, guint32 second, guint32 value);

/* The slot of the pair, or NULL. */
static inline const GemPairSlot *
gem_pair_table_find(const GemPairTable *self, guint32 first, guint32 second)
{
  const guint64 key = (guint64)first << 32 | second;
  const gsize mask = self->n_slots - 1;
  gsize i = (key * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) >> self->shift;

  /* The free slot is looked for first: two unknown characters make the reserved key. */
  for (; self->slots[i].key != G_MAXUINT64; i = (i + 1) & mask) {
    if (self->slots[i].key == key) {
      return &self->slots[i];
    }
  }
  return NULL;
}

/* The value of the pair; GEM_NONE when there is none. */
static inline guint32
gem_pair_table_get(const GemPairTable *self, guint32 first, guint32 second)
{
  const GemPairSlot *slot = gem_pair_table_find(self, first, second);

  return slot ? slot->value : GEM_NONE;
}
