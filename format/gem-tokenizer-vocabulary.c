/*
 * From a list of pieces to the tables that encoding looks into.
 */
#include "format/gem-tokenizer-private.h"

#include <math.h>
#include <string.h>

/* SentencePiece's trainer goes no further than 512 characters; a bound keeps the making of the tables cheap.
 */
#define MAX_PIECE_BYTES 2048

GemTokenizer *
gem_tokenizer_new_empty(void)
{
  GemTokenizer *self = g_new0(GemTokenizer, 1);

  g_atomic_ref_count_init(&self->ref_count);
  self->strings = g_string_chunk_new(1 << 14);
  self->tokens = g_array_new(FALSE, FALSE, sizeof(GemToken));
  self->by_piece = g_hash_table_new(g_str_hash, g_str_equal);
  self->controls = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < G_N_ELEMENTS(self->byte_tokens); i++) {
    self->byte_tokens[i] = GEM_NONE;
  }
  self->bos = self->eos = self->unknown = GEM_NONE;
  gem_pair_table_init(&self->characters);
  for (guint i = 0; i < G_N_ELEMENTS(self->ascii_symbols); i++) {
    self->ascii_symbols[i] = GEM_NONE;
  }
  gem_pair_table_init(&self->merges);
  gem_pair_table_init(&self->user_edges);
  self->user_tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  return self;
}

/* "<0x0A>" -> 10; -1 for anything else. */
static int
byte_of_piece(const char *piece)
{
  if (strlen(piece) != 6 || !g_str_has_prefix(piece, "<0x") || piece[5] != '>') {
    return -1;
  }
  for (guint i = 3; i < 5; i++) {
    if (!g_ascii_isdigit(piece[i]) && !(piece[i] >= 'A' && piece[i] <= 'F')) {
      return -1;
    }
  }
  return g_ascii_xdigit_value(piece[3]) << 4 | g_ascii_xdigit_value(piece[4]);
}

static void
set_token_bytes(GemTokenizer *self, GemToken *token)
{
  g_autofree char *spaced = NULL;
  char byte;
  const char *bytes = "";
  gsize n_bytes = 0;

  switch (token->type) {
  case GEM_PIECE_CONTROL:
    break;
  case GEM_PIECE_UNKNOWN:
    bytes = GEM_TOKENIZER_UNKNOWN_TEXT;
    n_bytes = strlen(bytes);
    break;
  case GEM_PIECE_BYTE:
    byte = (char)byte_of_piece(token->piece);
    bytes = &byte;
    n_bytes = 1;
    break;
  default: {
    g_auto(GStrv) parts = g_strsplit(token->piece, GEM_TOKENIZER_SPACE, -1);

    spaced = g_strjoinv(" ", parts);
    bytes = spaced;
    n_bytes = strlen(spaced);
  }
  }
  token->bytes = g_string_chunk_insert_len(self->strings, bytes, (gssize)n_bytes);
  token->n_bytes = (guint32)n_bytes;
}

static gboolean
check_piece(GemTokenizer *self, const char *piece, gsize length, float score, guint64 type, GError **error)
{
  const guint id = self->tokens->len;
  const gboolean can_merge = type == GEM_PIECE_NORMAL || type == GEM_PIECE_UNUSED;

  if (length == 0 || !g_utf8_validate_len(piece, length, NULL)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, "token %u: the piece is %s", id,
                length == 0 ? "empty" : "no valid UTF-8");
    return FALSE;
  }
  if (type < GEM_PIECE_NORMAL || type > GEM_PIECE_BYTE) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "token %u: type %" G_GUINT64_FORMAT " is unknown", id, type);
    return FALSE;
  }
  if (!isfinite(score)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "token %u: the score is no finite number", id);
    return FALSE;
  }
  if (can_merge && length > MAX_PIECE_BYTES) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                "token %u: the piece has %" G_GSIZE_FORMAT " bytes, more than %d", id, length,
                MAX_PIECE_BYTES);
    return FALSE;
  }
  return TRUE;
}

/* Enters the token's piece, and its byte if it is a byte piece, where they are found again. */
static gboolean
index_token(GemTokenizer *self, guint id, const GemToken *token, GError **error)
{
  const int byte = token->type == GEM_PIECE_BYTE ? byte_of_piece(token->piece) : 0;

  if (byte < 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "token %u: a byte piece that does not read \"<0xHH>\"", id);
    return FALSE;
  }
  if (g_hash_table_contains(self->by_piece, token->piece)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "token %u: the piece is the same as token %u's", id,
                GPOINTER_TO_UINT(g_hash_table_lookup(self->by_piece, token->piece)));
    return FALSE;
  }
  g_hash_table_insert(self->by_piece, (gpointer)token->piece, GUINT_TO_POINTER(id));
  if (token->type == GEM_PIECE_BYTE) {
    self->byte_tokens[byte] = id;
  }
  return TRUE;
}

gboolean
gem_tokenizer_add_piece(
    GemTokenizer *self, const char *piece, gsize length, float score, guint64 type, GError **error)
{
  const guint32 id = self->tokens->len;
  GemToken token = {.score = score, .type = (GemPieceType)type};

  if (!check_piece(self, piece, length, score, type, error)) {
    return FALSE;
  }

  token.piece = g_string_chunk_insert_len(self->strings, piece, (gssize)length);
  token.n_characters = (guint32)g_utf8_strlen(token.piece, (gssize)length);
  if (!index_token(self, id, &token, error)) {
    return FALSE;
  }

  set_token_bytes(self, &token);
  if (token.type == GEM_PIECE_UNKNOWN && self->unknown == GEM_NONE) {
    self->unknown = id;
  }
  if (token.type == GEM_PIECE_CONTROL) {
    g_array_append_val(self->controls, id);
  }
  self->has_unused |= token.type == GEM_PIECE_UNUSED;
  g_array_append_val(self->tokens, token);
  return TRUE;
}

/* ---- tables ---- */

/* The token that a run of text may merge to, or GEM_NONE. */
static guint32
find_mergeable(GemTokenizer *self, const char *piece)
{
  gpointer value;
  GemPieceType type;

  if (!g_hash_table_lookup_extended(self->by_piece, piece, NULL, &value)) {
    return GEM_NONE;
  }
  type = gem_tokenizer_token(self, GPOINTER_TO_UINT(value))->type;
  return type == GEM_PIECE_NORMAL || type == GEM_PIECE_UNUSED ? GPOINTER_TO_UINT(value) : GEM_NONE;
}

/* The symbol of a piece's character, made if it is new. */
static guint32
intern_character(GemTokenizer *self, gunichar character)
{
  char utf8[7] = "";
  guint32 symbol = gem_pair_table_get(&self->characters, 0, character);

  if (symbol != GEM_NONE) {
    return symbol;
  }

  g_unichar_to_utf8(character, utf8);
  symbol = find_mergeable(self, utf8);
  if (symbol == GEM_NONE) {
    symbol = self->tokens->len + (guint32)self->characters.n_used;
  }
  gem_pair_table_set(&self->characters, 0, character, symbol);
  return symbol;
}

/* The symbol of a part of a piece, or GEM_NONE when text cannot come to it. */
static guint32
symbol_of_part(GemTokenizer *self, const char *part)
{
  if (*g_utf8_next_char(part) == '\0') {
    return intern_character(self, g_utf8_get_char(part));
  }
  return find_mergeable(self, part);
}

/* Makes the token's characters known. Every pair of symbols that spells it merges to it, and no cut may be
 * made between its characters. */
static void
add_merges(GemTokenizer *self, guint32 id)
{
  const char *piece = gem_tokenizer_token(self, id)->piece;
  g_autofree char *head = g_strdup(piece);
  const char *before = piece;

  intern_character(self, g_utf8_get_char(piece));
  for (const char *cut = g_utf8_next_char(piece); *cut; cut = g_utf8_next_char(cut)) {
    const guint32 last = intern_character(self, g_utf8_get_char(before));
    const guint32 first = intern_character(self, g_utf8_get_char(cut));
    const gsize n = (gsize)(cut - piece);
    guint32 left, right;

    if (!gem_pair_table_find(&self->merges, last, first)) {
      gem_pair_table_set(&self->merges, last, first, GEM_NONE);
    }

    head[n] = '\0';
    left = symbol_of_part(self, head);
    right = symbol_of_part(self, cut);
    head[n] = piece[n];
    if (left != GEM_NONE && right != GEM_NONE) {
      gem_pair_table_set(&self->merges, left, right, id);
    }
    before = cut;
  }
}

static void
add_user_defined(GemTokenizer *self, guint32 id)
{
  guint32 node = 0;

  for (const char *p = gem_tokenizer_token(self, id)->piece; *p; p = g_utf8_next_char(p)) {
    const guint32 symbol = intern_character(self, g_utf8_get_char(p));
    guint32 next = gem_pair_table_get(&self->user_edges, node, symbol);

    if (next == GEM_NONE) {
      const guint32 none = GEM_NONE;

      next = self->user_tokens->len;
      g_array_append_val(self->user_tokens, none);
      gem_pair_table_set(&self->user_edges, node, symbol, next);
    }
    node = next;
  }
  g_array_index(self->user_tokens, guint32, node) = id;
}

static int
compare_scores(gconstpointer a, gconstpointer b, gpointer user_data)
{
  const float first = gem_tokenizer_token(user_data, *(const guint32 *)a)->score;
  const float second = gem_tokenizer_token(user_data, *(const guint32 *)b)->score;

  return (first < second) - (first > second);
}

static void
rank_tokens(GemTokenizer *self)
{
  const guint n = self->tokens->len;
  g_autofree guint32 *order = g_new(guint32, n);

  for (guint i = 0; i < n; i++) {
    order[i] = i;
  }
  g_qsort_with_data(order, (int)n, sizeof(*order), compare_scores, self);
  for (guint i = 0; i < n; i++) {
    GemToken *token = &g_array_index(self->tokens, GemToken, order[i]);
    const GemToken *before = i > 0 ? gem_tokenizer_token(self, order[i - 1]) : NULL;

    token->rank = before && before->score == token->score ? before->rank : i;
  }
}

static void
fill_ascii_symbols(GemTokenizer *self)
{
  for (guint i = 0; i < G_N_ELEMENTS(self->ascii_symbols); i++) {
    self->ascii_symbols[i] = gem_pair_table_get(&self->characters, 0, i);
  }
  /* The text's spaces are read as U+2581, so that a piece with a plain space in it is never met. */
  self->ascii_symbols[' '] = self->space_symbol;
}

static gboolean
check_special(GemTokenizer *self, const char *name, guint32 id, GError **error)
{
  if (id == GEM_NONE || id < self->tokens->len) {
    return TRUE;
  }
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
              "the %s token is %u, but there are %u tokens", name, id, self->tokens->len);
  return FALSE;
}

gboolean
gem_tokenizer_finish(GemTokenizer *self, GError **error)
{
  const guint32 none = GEM_NONE;

  if (!check_special(self, "beginning-of-sequence", self->bos, error) ||
      !check_special(self, "end-of-sequence", self->eos, error) ||
      !check_special(self, "unknown", self->unknown, error)) {
    return FALSE;
  }
  for (guint i = 0; i < G_N_ELEMENTS(self->byte_tokens); i++) {
    if (self->byte_tokens[i] == GEM_NONE) {
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                  "there is no byte piece <0x%02X>: only vocabularies with byte fallback are supported", i);
      return FALSE;
    }
  }

  rank_tokens(self);
  self->space_symbol = intern_character(self, GEM_TOKENIZER_SPACE_CHARACTER);
  g_array_append_val(self->user_tokens, none); /* the root */
  for (guint32 id = 0; id < self->tokens->len; id++) {
    const GemPieceType type = gem_tokenizer_token(self, id)->type;

    if (type == GEM_PIECE_NORMAL || type == GEM_PIECE_UNUSED) {
      add_merges(self, id);
    } else if (type == GEM_PIECE_USER_DEFINED) {
      add_user_defined(self, id);
    }
  }
  fill_ascii_symbols(self);
  return TRUE;
}
