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
gem_tokenizer_new_empty(gsize n_expected)
{
  GemTokenizer *self = g_new0(GemTokenizer, 1);

  g_atomic_ref_count_init(&self->ref_count);
  self->strings = g_string_chunk_new(1 << 14);
  self->tokens = g_array_sized_new(FALSE, FALSE, sizeof(GemToken), (guint)n_expected);
  gem_piece_table_init(&self->by_piece, n_expected);
  self->controls = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < G_N_ELEMENTS(self->byte_tokens); i++) {
    self->byte_tokens[i] = GEM_NONE;
  }
  self->bos = self->eos = self->unknown = GEM_NONE;
  gem_pair_table_init(&self->characters, 0);
  for (guint i = 0; i < G_N_ELEMENTS(self->ascii_symbols); i++) {
    self->ascii_symbols[i] = GEM_NONE;
  }
  gem_pair_table_init(&self->user_edges, 0);
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

/* The piece with each U+2581 as a space; the piece itself when it has none. */
static const char *
spell_with_spaces(GemTokenizer *self, const GemToken *token, guint32 *ret_length)
{
  const gsize n_space = strlen(GEM_TOKENIZER_SPACE);
  const char *from = token->piece, *end = token->piece + token->length;
  char *spelled, *to;

  *ret_length = token->length;
  if (strstr(token->piece, GEM_TOKENIZER_SPACE) == NULL) {
    return token->piece;
  }
  spelled = g_string_chunk_insert_len(self->strings, token->piece, token->length);
  to = spelled;
  while (from < end) {
    if (strncmp(from, GEM_TOKENIZER_SPACE, n_space) == 0) {
      *to++ = ' ';
      from += n_space;
    } else {
      *to++ = *from++;
    }
  }
  *to = '\0';
  *ret_length = (guint32)(to - spelled);
  return spelled;
}

static void
set_token_bytes(GemTokenizer *self, GemToken *token)
{
  char byte;

  switch (token->type) {
  case GEM_PIECE_CONTROL:
    token->bytes = "";
    break;
  case GEM_PIECE_UNKNOWN:
    token->bytes = GEM_TOKENIZER_UNKNOWN_TEXT;
    token->n_bytes = (guint32)strlen(token->bytes);
    break;
  case GEM_PIECE_BYTE:
    byte = (char)byte_of_piece(token->piece);
    token->bytes = g_string_chunk_insert_len(self->strings, &byte, 1);
    token->n_bytes = 1;
    break;
  default:
    token->bytes = spell_with_spaces(self, token, &token->n_bytes);
  }
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
  const guint64 hash = gem_text_hash(0, token->piece, token->length);
  guint32 same;

  if (byte < 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "token %u: a byte piece that does not read \"<0xHH>\"", id);
    return FALSE;
  }
  same = gem_piece_table_get(&self->by_piece, hash, token->piece, token->length);
  if (same != GEM_NONE) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "token %u: the piece is the same as token %u's", id, same);
    return FALSE;
  }
  gem_piece_table_insert(&self->by_piece, hash, token->piece, token->length, id);
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
  token.length = (guint32)length;
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

/* What is needed while the tables are made, and not afterwards. */
typedef struct {
  GemTokenizer *tokenizer;
  guint64 powers[MAX_PIECE_BYTES + 1]; /* of the hash's base */
} Tables;

/* The token that a run of text may merge to, or GEM_NONE. */
static guint32
find_mergeable(GemTokenizer *self, guint64 hash, const char *text, gsize length)
{
  const guint32 id = gem_piece_table_get(&self->by_piece, hash, text, length);
  GemPieceType type;

  if (id == GEM_NONE) {
    return GEM_NONE;
  }
  type = gem_tokenizer_token(self, id)->type;
  return type == GEM_PIECE_NORMAL || type == GEM_PIECE_UNUSED ? id : GEM_NONE;
}

/* The symbol of a piece's character, made if it is new. */
static guint32
intern_character(GemTokenizer *self, gunichar character)
{
  char utf8[6];
  guint32 symbol = gem_tokenizer_character_symbol(self, character);
  gsize length;

  if (symbol != GEM_NONE) {
    return symbol;
  }

  length = (gsize)g_unichar_to_utf8(character, utf8);
  symbol = find_mergeable(self, gem_text_hash(0, utf8, length), utf8, length);
  if (symbol == GEM_NONE) {
    symbol = self->n_symbols++;
  }
  if (character < G_N_ELEMENTS(self->ascii_symbols)) {
    self->ascii_symbols[character] = symbol;
  } else {
    gem_pair_table_set(&self->characters, 0, character, symbol);
  }
  return symbol;
}

/* Makes the token's characters known. Every pair of symbols that spells it merges to it, and no cut may be
 * made between its characters. */
static void
add_merges(const Tables *tables, guint32 id)
{
  GemTokenizer *self = tables->tokenizer;
  const GemToken *token = gem_tokenizer_token(self, id);
  const char *end = token->piece + token->length;
  const char *cut = g_utf8_next_char(token->piece), *next;
  const guint64 whole = gem_text_hash(0, token->piece, token->length);
  guint64 head = gem_text_hash(0, token->piece, (gsize)(cut - token->piece)); /* of what is left of the cut */
  guint32 last = intern_character(self, g_utf8_get_char(token->piece)), left = last;

  for (; cut < end; cut = next) {
    const guint32 first = intern_character(self, g_utf8_get_char(cut));
    const gsize n_rest = (gsize)(end - cut);
    guint32 right;

    next = g_utf8_next_char(cut);
    gem_pair_table_add(&self->merges, last, first, GEM_NONE);
    if (left != GEM_NONE) {
      right = next == end ? first : find_mergeable(self, whole - head * tables->powers[n_rest], cut, n_rest);
      if (right != GEM_NONE) {
        gem_pair_table_set(&self->merges, left, right, id);
      }
    }
    head = gem_text_hash(head, cut, (gsize)(next - cut));
    left = find_mergeable(self, head, token->piece, (gsize)(next - token->piece));
    last = first;
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

/* Ids by their scores, best first. They are in that order as a rule: the trainer gives one id after another.
 */
static guint32 *
order_by_score(GemTokenizer *self)
{
  const guint n = self->tokens->len;
  guint32 *order = g_new(guint32, n);
  gboolean ordered = TRUE;

  for (guint i = 0; i < n; i++) {
    order[i] = i;
    ordered = ordered && (i == 0 || compare_scores(&order[i - 1], &order[i], self) <= 0);
  }
  if (!ordered) {
    g_qsort_with_data(order, (int)n, sizeof(*order), compare_scores, self);
  }
  return order;
}

static void
rank_tokens(GemTokenizer *self)
{
  g_autofree guint32 *order = order_by_score(self);

  for (guint i = 0; i < self->tokens->len; i++) {
    GemToken *token = &g_array_index(self->tokens, GemToken, order[i]);
    const GemToken *before = i > 0 ? gem_tokenizer_token(self, order[i - 1]) : NULL;

    token->rank = before && before->score == token->score ? before->rank : i;
  }
}

/* Pieces are spelled by one or two pairs, most of them: the table grows once where it is two. */
static Tables *
tables_new(GemTokenizer *self)
{
  Tables *tables = g_new(Tables, 1);

  tables->tokenizer = self;
  tables->powers[0] = 1;
  for (guint i = 1; i < G_N_ELEMENTS(tables->powers); i++) {
    tables->powers[i] = tables->powers[i - 1] * GEM_TEXT_HASH_BASE;
  }
  self->n_symbols = self->tokens->len;
  gem_pair_table_init(&self->merges, self->tokens->len);
  return tables;
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
  g_autofree Tables *tables = NULL;

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
  tables = tables_new(self);
  self->space_symbol = intern_character(self, GEM_TOKENIZER_SPACE_CHARACTER);
  g_array_append_val(self->user_tokens, none); /* the root */
  for (guint32 id = 0; id < self->tokens->len; id++) {
    const GemPieceType type = gem_tokenizer_token(self, id)->type;

    if (type == GEM_PIECE_NORMAL || type == GEM_PIECE_UNUSED) {
      add_merges(tables, id);
    } else if (type == GEM_PIECE_USER_DEFINED) {
      add_user_defined(self, id);
    }
  }
  gem_piece_table_clear(&self->by_piece);
  /* The text's spaces are read as U+2581, so that a piece with a plain space in it is never met. */
  self->ascii_symbols[' '] = self->space_symbol;
  return TRUE;
}
