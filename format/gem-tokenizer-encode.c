/*
 * Text to tokens, as SentencePiece's BPE does it: user-defined pieces are taken out first; then, of all pairs
 * of neighbours that make a piece, the one with the best score merges, the leftmost on ties, until none is
 * left.
 *
 * Two characters that stand side by side in no piece can never end up in one token. The text is cut there, so
 * that ordinary text is merged word by word in a few cache lines; what cannot be cut costs n log n.
 */
#include "format/gem-tokenizer-private.h"
#include "format/gem-wipe.h"

#include <string.h>

/* A piece of the text. previous and next are indices in the segment. */
typedef struct {
  guint32 symbol;   /* DEAD once it was merged into its left neighbour */
  guint32 offset;   /* of its first byte in the text */
  guint32 previous; /* GEM_NONE at either end */
  guint32 next;
} Symbol;

#define DEAD (G_MAXUINT32 - 1)

/* A pair that may merge. It is stale when one of the two has merged otherwise since. */
typedef struct {
  guint64 key; /* rank of the merged token << 32 | index of the left symbol: the least goes first */
  guint32 right;
  guint32 merged;
} Candidate;

/* A binary heap. */
typedef struct {
  Candidate *items;
  gsize n, capacity;
} Heap;

/* How an unused piece came about, and what it is taken apart into again. Nothing outside a piece has a say in
 * the order in which its inside merges, so this is the same wherever it stands. */
typedef struct {
  guint32 left, right;
} Split;

typedef struct {
  GemTokenizer *tokenizer;
  const char *text;
  gsize length;

  /* What tells of the text: wiped when it grows and when it goes. */
  Symbol *segment;
  guint n_symbols;
  gsize capacity;
  Heap candidates;
  Split *splits; /* by token; NULL for a vocabulary without unused pieces */

  GArray *tokens;  /* guint32 */
  GArray *offsets; /* gsize, or NULL */
} Encoder;

/* Where the reading is. */
typedef struct {
  gsize position;
  gboolean dummy_prefix; /* the space before the text is still to come */
} Cursor;

/* ---- growing ---- */

#define LEAST_CAPACITY 64u

/* Room for at least one more of `size` bytes each. */
static gpointer
grow(gpointer items, gsize size, gsize *capacity)
{
  const gsize wanted = MAX(2 * *capacity, LEAST_CAPACITY);

  items = gem_wipe_realloc(items, *capacity * size, wanted * size);
  *capacity = wanted;
  return items;
}

/* ---- heap ---- */

static void
candidate_push(Heap *heap, Candidate candidate)
{
  Candidate *items;
  gsize i = heap->n;

  if (heap->n == heap->capacity) {
    heap->items = grow(heap->items, sizeof(Candidate), &heap->capacity);
  }
  heap->n++;
  items = heap->items;
  while (i > 0 && candidate.key < items[(i - 1) / 2].key) {
    items[i] = items[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  items[i] = candidate;
}

/* The heap must not be empty. */
static Candidate
candidate_pop(Heap *heap)
{
  Candidate *items = heap->items;
  const Candidate top = items[0];
  const gsize n = heap->n - 1;
  const Candidate last = items[n];
  gsize i = 0;

  for (gsize child = 1; child < n; child = 2 * i + 1) {
    if (child + 1 < n && items[child + 1].key < items[child].key) {
      child++;
    }
    if (last.key <= items[child].key) {
      break;
    }
    items[i] = items[child];
    i = child;
  }
  items[i] = last;
  heap->n = n;
  return top;
}

/* ---- output ---- */

static inline void
append_token(Encoder *self, guint32 token, gsize offset)
{
  g_array_append_val(self->tokens, token);
  if (self->offsets) {
    g_array_append_val(self->offsets, offset);
  }
}

/* A character without a piece: a token for each byte. */
static void
append_character_bytes(Encoder *self, guint32 symbol, gsize offset)
{
  const gboolean is_space = symbol == self->tokenizer->space_symbol;
  const char *bytes = is_space ? GEM_TOKENIZER_SPACE : self->text + offset;
  const gsize n = (gsize)(g_utf8_next_char(bytes) - bytes);

  for (gsize i = 0; i < n; i++) {
    append_token(self, self->tokenizer->byte_tokens[(guint8)bytes[i]], is_space ? offset : offset + i);
  }
}

static guint32
count_characters(GemTokenizer *tokenizer, guint32 symbol)
{
  return symbol < tokenizer->tokens->len ? gem_tokenizer_token(tokenizer, symbol)->n_characters : 1;
}

/* `index`: of the symbol's first character in the segment. */
static void
append_symbol(Encoder *self, guint32 symbol, guint index)
{
  const gsize offset = self->segment[index].offset;
  const Split *split = NULL;

  if (symbol >= self->tokenizer->tokens->len) {
    append_character_bytes(self, symbol, offset);
    return;
  }
  if (self->splits) {
    split = &self->splits[symbol];
  }
  if (!split || split->left == GEM_NONE) {
    append_token(self, symbol, offset);
    return;
  }
  append_symbol(self, split->left, index);
  append_symbol(self, split->right, index + count_characters(self->tokenizer, split->left));
}

/* ---- merging ---- */

/* A pair of neighbours that merges into `merged`, or into nothing (GEM_NONE). */
static void
push_pair(Encoder *self, guint32 left, guint32 right, guint32 merged)
{
  const Symbol *symbols = self->segment;
  const GemToken *token;

  if (merged == GEM_NONE) {
    return;
  }
  token = gem_tokenizer_token(self->tokenizer, merged);
  candidate_push(&self->candidates, (Candidate){(guint64)token->rank << 32 | left, right, merged});
  if (self->splits && token->type == GEM_PIECE_UNUSED) {
    self->splits[merged] = (Split){symbols[left].symbol, symbols[right].symbol};
  }
}

static void
consider_pair(Encoder *self, guint32 left, guint32 right)
{
  const Symbol *symbols = self->segment;

  if (left == GEM_NONE || right == GEM_NONE) {
    return;
  }
  push_pair(self, left, right,
            gem_pair_table_get(&self->tokenizer->merges, symbols[left].symbol, symbols[right].symbol));
}

/* Symbols only grow, so a pair of neighbours that is as long as the merged piece is the pair that was meant.
 */
static gboolean
is_current(Encoder *self, const Candidate *candidate, const Symbol *left, const Symbol *right)
{
  return left->symbol != DEAD && left->next == candidate->right &&
         count_characters(self->tokenizer, left->symbol) + count_characters(self->tokenizer, right->symbol) ==
             gem_tokenizer_token(self->tokenizer, candidate->merged)->n_characters;
}

static void
merge_candidates(Encoder *self)
{
  Symbol *symbols = self->segment;

  while (self->candidates.n > 0) {
    const Candidate top = candidate_pop(&self->candidates);
    const guint32 index = (guint32)top.key;
    Symbol *left = &symbols[index];
    Symbol *right = &symbols[top.right];

    if (!is_current(self, &top, left, right)) {
      continue;
    }
    left->symbol = top.merged;
    left->next = right->next;
    if (right->next != GEM_NONE) {
      symbols[right->next].previous = index;
    }
    right->symbol = DEAD;
    consider_pair(self, left->previous, index);
    consider_pair(self, index, left->next);
  }
}

/* Merges and writes out what was gathered since the last cut. */
static void
flush_segment(Encoder *self)
{
  if (self->n_symbols == 0) {
    return;
  }
  merge_candidates(self);
  for (guint32 i = 0; i != GEM_NONE; i = self->segment[i].next) {
    append_symbol(self, self->segment[i].symbol, i);
  }
  self->n_symbols = 0;
}

/* ---- reading ---- */

/* The symbol of the next character, over which `cursor` moves. FALSE at the end. */
static inline gboolean
read_character(const Encoder *self, Cursor *cursor, guint32 *ret_symbol)
{
  const char *p = self->text + cursor->position;

  if (cursor->dummy_prefix) {
    cursor->dummy_prefix = FALSE;
    *ret_symbol = self->tokenizer->space_symbol;
    return TRUE;
  }
  if (cursor->position == self->length) {
    return FALSE;
  }
  *ret_symbol =
      gem_tokenizer_character_symbol(self->tokenizer, (guchar)*p < 128 ? (gunichar)*p : g_utf8_get_char(p));
  cursor->position += (gsize)(g_utf8_next_char(p) - p);
  return TRUE;
}

/* The longest user-defined piece at `cursor`, over which it then moves; GEM_NONE, and `cursor` unmoved, when
 * there is none. */
static guint32
read_user_defined(const Encoder *self, Cursor *cursor)
{
  Cursor ahead = *cursor;
  guint32 node = 0, symbol, found = GEM_NONE;

  while (read_character(self, &ahead, &symbol)) {
    node = gem_pair_table_get(&self->tokenizer->user_edges, node, symbol);
    if (node == GEM_NONE) {
      break;
    }
    if (g_array_index(self->tokenizer->user_tokens, guint32, node) != GEM_NONE) {
      found = g_array_index(self->tokenizer->user_tokens, guint32, node);
      *cursor = ahead;
    }
  }
  return found;
}

/* `merged`: what the symbol and its left neighbour make; GEM_NONE: nothing. */
static void
append_to_segment(Encoder *self, guint32 symbol, gsize offset, guint32 merged)
{
  const guint32 index = self->n_symbols;

  if (self->n_symbols == self->capacity) {
    self->segment = grow(self->segment, sizeof(Symbol), &self->capacity);
  }
  self->segment[index] = (Symbol){symbol, (guint32)offset, index > 0 ? index - 1 : GEM_NONE, GEM_NONE};
  self->n_symbols++;
  if (index > 0) {
    self->segment[index - 1].next = index;
    push_pair(self, index - 1, index, merged);
  }
}

/* The pair of the segment's last symbol and a following `symbol`; NULL when no token can reach from one to
 * the other. */
static const GemPairSlot *
find_border(const Encoder *self, guint32 symbol)
{
  guint32 last;

  if (self->n_symbols == 0) {
    return NULL;
  }
  last = self->segment[self->n_symbols - 1].symbol;
  return last == GEM_NONE || symbol == GEM_NONE ? NULL
                                                : gem_pair_table_find(&self->tokenizer->merges, last, symbol);
}

static void
encode_text(Encoder *self)
{
  const gboolean has_user_defined = self->tokenizer->user_edges.n_used > 0;
  Cursor cursor = {.dummy_prefix = self->tokenizer->add_dummy_prefix && self->length > 0};
  guint32 symbol;

  for (;;) {
    const gsize offset = cursor.position;
    const GemPairSlot *border;

    symbol = has_user_defined ? read_user_defined(self, &cursor) : GEM_NONE;
    if (symbol != GEM_NONE) {
      /* It merges with nothing: the table holds no pair with it. */
      append_to_segment(self, symbol, offset, GEM_NONE);
      continue;
    }
    if (!read_character(self, &cursor, &symbol)) {
      break;
    }
    border = find_border(self, symbol);
    if (!border) {
      flush_segment(self);
    }
    append_to_segment(self, symbol, offset, border ? border->value : GEM_NONE);
  }
  flush_segment(self);
}

gboolean
gem_tokenizer_check_text(const char *text, gsize length, GError **error)
{
  const char *end;

  if (length >= DEAD) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID,
                "the text has %" G_GSIZE_FORMAT " bytes, more than the %u that can be encoded at once",
                length, DEAD - 1);
    return FALSE;
  }
  if (g_utf8_validate_len(text, length, &end)) {
    return TRUE;
  }
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID,
              *end == '\0' ? "the text holds a NUL at byte %" G_GSIZE_FORMAT
                           : "the text is no valid UTF-8 at byte %" G_GSIZE_FORMAT,
              (gsize)(end - text));
  return FALSE;
}

static void
encoder_clear(Encoder *self)
{
  gem_wipe_free(self->segment, self->capacity * sizeof(Symbol));
  gem_wipe_free(self->candidates.items, self->candidates.capacity * sizeof(Candidate));
  gem_wipe_free(self->splits, self->tokenizer->tokens->len * sizeof(Split));
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Encoder, encoder_clear)

gboolean
gem_tokenizer_encode(
    GemTokenizer *self, const char *text, gssize length, GArray *tokens, GArray *offsets, GError **error)
{
  g_auto(Encoder) encoder = {.tokenizer = self, .text = text, .tokens = tokens, .offsets = offsets};

  encoder.length = length < 0 ? strlen(text) : (gsize)length;
  if (!gem_tokenizer_check_text(text, encoder.length, error)) {
    return FALSE;
  }

  if (self->has_unused) {
    encoder.splits = g_new(Split, self->tokens->len);
    memset(encoder.splits, 0xff, self->tokens->len * sizeof(Split)); /* GEM_NONE */
  }
  encode_text(&encoder);
  return TRUE;
}
