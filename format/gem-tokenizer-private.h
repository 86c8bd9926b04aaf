/*
 * What the tokenizer's files share: the vocabulary and the tables that are made from it once.
 *
 * Text is taken apart into symbols. Symbols below n_tokens are tokens; those above are characters that occur
 * in some piece but are no piece themselves. A character in no piece at all is GEM_NONE: nothing merges with
 * it.
 */
#pragma once

#include "format/gem-tokenizer-table.h"
#include "format/gem-tokenizer.h"

#define GEM_TOKENIZER_SPACE           "\xe2\x96\x81" /* U+2581, which stands for a space in a piece */
#define GEM_TOKENIZER_SPACE_CHARACTER 0x2581
#define GEM_TOKENIZER_UNKNOWN_TEXT    " \xe2\x81\x87 " /* what <unk> decodes to */

/* As both SentencePiece and GGUF number them. */
typedef enum {
  GEM_PIECE_NORMAL = 1,
  GEM_PIECE_UNKNOWN = 2,
  GEM_PIECE_CONTROL = 3,
  GEM_PIECE_USER_DEFINED = 4,
  GEM_PIECE_UNUSED = 5,
  GEM_PIECE_BYTE = 6,
} GemPieceType;

typedef struct {
  const char *piece; /* valid UTF-8, not empty */
  const char *bytes; /* what it adds to a running text */
  guint32 length;    /* bytes of the piece */
  guint32 n_bytes;
  guint32 n_characters; /* of the piece */
  guint32 rank;         /* place of its score, best first; equal scores have equal ranks */
  float score;
  GemPieceType type;
} GemToken;

struct _GemTokenizer {
  gatomicrefcount ref_count;

  GStringChunk *strings;
  GArray *tokens;         /* GemToken by id */
  GemPieceTable by_piece; /* only while it is made */
  GArray *controls;       /* guint32: the ids of control tokens */
  guint32 byte_tokens[256];
  guint32 bos, eos, unknown; /* GEM_NONE: none */
  gboolean add_bos;
  gboolean add_dummy_prefix; /* a space before the text */

  GemPairTable characters;    /* (0, code point) -> symbol */
  guint32 ascii_symbols[128]; /* the same of the first 128, which are not in the table */
  guint32 n_symbols;          /* tokens, and characters that are none */
  guint32 space_symbol;       /* of U+2581, and so of a space in the text */

  /* (left symbol, right symbol) -> merged token; GEM_NONE for two characters that stand side by side in a
   * piece, but whose pair is no piece. Two characters that are not in the table can never come to stand in
   * one token. */
  GemPairTable merges;
  gboolean has_unused;

  /* The user-defined pieces as a trie over character symbols, with root 0: (node, symbol) -> node. */
  GemPairTable user_edges;
  GArray *user_tokens; /* guint32: the token that ends at a node, or GEM_NONE */
};

static inline const GemToken *
gem_tokenizer_token(GemTokenizer *self, guint32 id)
{
  return &g_array_index(self->tokens, GemToken, id);
}

/* The symbol of a character other than a space; GEM_NONE when it is in no piece. */
static inline guint32
gem_tokenizer_character_symbol(GemTokenizer *self, gunichar character)
{
  return character < 128 ? self->ascii_symbols[character]
                         : gem_pair_table_get(&self->characters, 0, character);
}

/* How a reader makes a tokenizer: new_empty (with the number of pieces, if it is known), add_piece for each
 * id in order, set the fields bos to add_dummy_prefix, finish. */
GemTokenizer *
gem_tokenizer_new_empty(gsize n_expected);
/* MALFORMED, naming the id, for a piece that is empty, no UTF-8, already there, of no known type or scored
 * with no number. */
gboolean
gem_tokenizer_add_piece(
    GemTokenizer *self, const char *piece, gsize length, float score, guint64 type, GError **error);
/* Makes the tables. UNSUPPORTED when a byte has no piece, MALFORMED when bos, eos or unknown is no id. */
gboolean
gem_tokenizer_finish(GemTokenizer *self, GError **error);

/* INVALID, with the byte offset, for text that cannot be encoded. */
gboolean
gem_tokenizer_check_text(const char *text, gsize length, GError **error);
