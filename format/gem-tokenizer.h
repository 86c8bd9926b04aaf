/*
 * SentencePiece BPE with byte fallback, from and to GGUF metadata in the usual "llama" form. The keys under
 * tokenizer.ggml:
 *
 * - model: "llama"
 * - tokens: the pieces, strings
 * - scores: floats; the best merges first
 * - token_type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
 * - bos_token_id, eos_token_id, unknown_token_id: none where they are missing
 * - add_bos_token, add_space_prefix: true where they are missing
 *
 * Equal to spm_encode and spm_decode for models trained with identity normalization and no white-space
 * removal. Immutable after it is made; usable from any thread.
 */
#pragma once

#include "format/gem-gguf.h"

typedef struct _GemTokenizer GemTokenizer; /* reference-counted */

GemTokenizer *
gem_tokenizer_new_from_gguf(GemGguf *file, GError **error);
/* A SentencePiece .model file (protobuf). UNSUPPORTED for another algorithm or normalization than the above.
 */
GemTokenizer *
gem_tokenizer_new_from_sentencepiece(const char *path, GError **error);
/* Writes the tokenizer.ggml.* keys. */
void
gem_tokenizer_write(GemTokenizer *self, GemGgufWriter *writer);
GemTokenizer *
gem_tokenizer_ref(GemTokenizer *self);
void
gem_tokenizer_unref(GemTokenizer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTokenizer, gem_tokenizer_unref)

guint
gem_tokenizer_n_tokens(GemTokenizer *self);
guint32
gem_tokenizer_bos(GemTokenizer *self); /* G_MAXUINT32: none */
guint32
gem_tokenizer_eos(GemTokenizer *self);
gboolean
gem_tokenizer_is_control(GemTokenizer *self, guint32 token);
/* The id of a control token by its piece, e.g. "<|user|>"; G_MAXUINT32: none. */
guint32
gem_tokenizer_find_control(GemTokenizer *self, const char *piece);

/* Appends the ids of `text` (`length` bytes of UTF-8; -1: NUL-terminated) to `tokens` (guint32). No BOS is
 * added. Control tokens spelled out in the text are text. INVALID, with the byte offset, for text that is not
 * UTF-8 or holds a NUL, and for text of 4 GiB or more. `offsets` (gsize; may be NULL) gets each token's byte
 * offset in the text. Linear in the length up to a logarithm. What the text was taken apart into on the way
 * is wiped; `tokens` that are to leave no copy of themselves need room for all of them. */
gboolean
gem_tokenizer_encode(
    GemTokenizer *self, const char *text, gssize length, GArray *tokens, GArray *offsets, GError **error);

/* The text of `n` ids, each below n_tokens, as spm_decode gives it: bytes joined (those that make no
 * character become U+FFFD), control tokens nothing, the space that add_space_prefix put first taken away. A
 * NUL byte, which spm_decode passes on, becomes U+FFFD. Transfer full. */
char *
gem_tokenizer_decode(GemTokenizer *self, const guint32 *tokens, gsize n);

/* The bytes that one token adds to a running text (a space for U+2581, one raw byte for a byte token, none
 * for a control token); may be half a character. Borrowed. */
const char *
gem_tokenizer_token_bytes(GemTokenizer *self, guint32 token, gsize *ret_length);
/* The piece as the vocabulary spells it ("\xe2\x96\x81the", "<0x0A>"). Borrowed. */
const char *
gem_tokenizer_token_piece(GemTokenizer *self, guint32 token);

/* A template is text with control tokens spelled out and one `{text}`, e.g. "<s><|user|>{text}<|model|>".
 * Control tokens in the template become ids; `text` is text, whatever it spells out, and one with the
 * template's own text next to it. NULL: BOS (if the model adds one) and the text. INVALID for a template
 * without `{text}` or with two, and for text that cannot be encoded (the offset is one in `text`). */
gboolean
gem_tokenizer_encode_template(
    GemTokenizer *self, const char *ask_template, const char *text, GArray *tokens, GError **error);
