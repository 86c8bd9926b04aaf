/*
 * The two small open-addressing hash tables of the tokenizer: from a pair of 32-bit numbers to a third, the
 * one look-up in its inner loop; and from a piece's text to its token, while the first is made.
 */
#pragma once

#include <glib.h>

#define GEM_NONE G_MAXUINT32

/* ---- pairs ---- */

typedef struct {
  guint32 first, second; /* both GEM_NONE: free */
  guint32 value;
} GemPairSlot;

typedef struct {
  GemPairSlot *slots;
  gsize n_slots; /* a power of two, at most half of them used */
  guint shift;   /* 64 - log2(n_slots): the hash's top bits are the place */
  gsize n_used;
} GemPairTable;

/* With room for so many pairs; it grows when there are more. */
void
gem_pair_table_init(GemPairTable *self, gsize n_expected);
void
gem_pair_table_clear(GemPairTable *self);
/* The pair (GEM_NONE, GEM_NONE) is reserved. */
void
gem_pair_table_set(GemPairTable *self, guint32 first, guint32 second, guint32 value);
/* The same, unless the pair has a value. */
void
gem_pair_table_add(GemPairTable *self, guint32 first, guint32 second, guint32 value);

/* Where the search for a pair begins. */
static inline gsize
gem_pair_table_start(const GemPairTable *self, guint32 first, guint32 second)
{
  return (gsize)((((guint64)first << 32 | second) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) >> self->shift);
}

static inline gboolean
gem_pair_slot_is_free(const GemPairSlot *slot)
{
  return slot->first == GEM_NONE && slot->second == GEM_NONE;
}

/* The slot of the pair, or NULL. */
static inline const GemPairSlot *
gem_pair_table_find(const GemPairTable *self, guint32 first, guint32 second)
{
  const gsize mask = self->n_slots - 1;
  gsize i = gem_pair_table_start(self, first, second);

  /* The free slot is looked for first: two unknown characters make the reserved pair. */
  for (; !gem_pair_slot_is_free(&self->slots[i]); i = (i + 1) & mask) {
    if (self->slots[i].first == first && self->slots[i].second == second) {
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

/* ---- pieces ---- */

/* A hash of text as a polynomial of its bytes: that of a part follows from those of the text up to its begin
 * and up to its end, so that all parts of a piece are looked up without reading them again. */
#define GEM_TEXT_HASH_BASE G_GUINT64_CONSTANT(0x100000001b3)

/* The hash of a text that goes on with so many bytes; 0 is that of the empty text. */
static inline guint64
gem_text_hash(guint64 before, const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++) {
    before = before * GEM_TEXT_HASH_BASE + (guchar)text[i] + 1;
  }
  return before;
}

typedef struct {
  const char *text; /* borrowed; NULL: free */
  guint32 length;
  guint32 id;
} GemPieceSlot;

typedef struct {
  GemPieceSlot *slots;
  gsize n_slots; /* a power of two, at most half of them used */
  guint shift;
  gsize n_used;
} GemPieceTable;

void
gem_piece_table_init(GemPieceTable *self, gsize n_expected);
void
gem_piece_table_clear(GemPieceTable *self);
/* The id of a text by its hash; GEM_NONE when it is not there. */
guint32
gem_piece_table_get(const GemPieceTable *self, guint64 hash, const char *text, gsize length);
/* Enters a text that is not there; it must stay where it is. */
void
gem_piece_table_insert(GemPieceTable *self, guint64 hash, const char *text, gsize length, guint32 id);
