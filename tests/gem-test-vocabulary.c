#include "tests/gem-test-vocabulary.h"

#include <string.h>

static void
clear_piece(gpointer piece)
{
  g_free(((TestPiece *)piece)->piece);
}

TestVocabulary *
test_vocabulary_new(void)
{
  TestVocabulary *self = g_new0(TestVocabulary, 1);

  self->pieces = g_array_new(FALSE, FALSE, sizeof(TestPiece));
  g_array_set_clear_func(self->pieces, clear_piece);
  test_vocabulary_add(self, "<unk>", 0, UNKNOWN);
  test_vocabulary_add(self, "<s>", 0, CONTROL);
  test_vocabulary_add(self, "</s>", 0, CONTROL);
  test_vocabulary_add(self, "<|user|>", 0, CONTROL);
  test_vocabulary_add(self, "<|model|>", 0, CONTROL);
  for (guint i = 0; i < 256; i++) {
    g_autofree char *piece = g_strdup_printf("<0x%02X>", i);

    test_vocabulary_add(self, piece, 0, BYTE);
  }
  return self;
}

void
test_vocabulary_free(TestVocabulary *self)
{
  g_array_unref(self->pieces);
  g_free(self);
}

guint32
test_vocabulary_add(TestVocabulary *self, const char *piece, float score, gint32 type)
{
  const TestPiece item = {g_strdup(piece), score, type};

  g_array_append_val(self->pieces, item);
  return self->pieces->len - 1;
}

gboolean
test_vocabulary_has(TestVocabulary *self, const char *piece)
{
  for (guint i = 0; i < self->pieces->len; i++) {
    if (strcmp(g_array_index(self->pieces, TestPiece, i).piece, piece) == 0) {
      return TRUE;
    }
  }
  return FALSE;
}

/* ---- GGUF ---- */

GemGgufWriter *
test_vocabulary_write_gguf(TestVocabulary *self)
{
  GemGgufWriter *writer = gem_gguf_writer_new();
  g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  g_autoptr(GArray) scores = g_array_new(FALSE, FALSE, sizeof(float));
  g_autoptr(GArray) types = g_array_new(FALSE, FALSE, sizeof(gint32));

  for (guint i = 0; i < self->pieces->len; i++) {
    const TestPiece *piece = &g_array_index(self->pieces, TestPiece, i);

    g_ptr_array_add(pieces, g_bytes_new(piece->piece, strlen(piece->piece)));
    g_array_append_val(scores, piece->score);
    g_array_append_val(types, piece->type);
  }
  gem_gguf_writer_set_string(writer, "tokenizer.ggml.model", "llama");
  gem_gguf_writer_set_bytes_array(writer, "tokenizer.ggml.tokens", pieces);
  gem_gguf_writer_set_float_array(writer, "tokenizer.ggml.scores", (const float *)scores->data, scores->len);
  gem_gguf_writer_set_int_array(writer, "tokenizer.ggml.token_type", (const gint32 *)types->data, types->len);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.bos_token_id", 1);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.eos_token_id", 2);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.unknown_token_id", 0);
  gem_gguf_writer_set_bool(writer, "tokenizer.ggml.add_space_prefix", self->add_dummy_prefix);
  return writer;
}

GemTokenizer *
test_vocabulary_to_tokenizer(TestVocabulary *self)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGgufWriter) writer = test_vocabulary_write_gguf(self);
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  g_autoptr(GemGguf) file = gem_gguf_new_from_bytes(bytes, "test vocabulary", &error);
  GemTokenizer *tokenizer;

  g_assert_no_error(error);
  tokenizer = gem_tokenizer_new_from_gguf(file, &error);
  g_assert_no_error(error);
  return tokenizer;
}

/* ---- SentencePiece ---- */

static void
append_varint(GByteArray *out, guint64 value)
{
  do {
    const guint8 byte = (guint8)((value & 0x7f) | (value >= 0x80 ? 0x80 : 0));

    g_byte_array_append(out, &byte, 1);
    value >>= 7;
  } while (value > 0);
}

static void
append_number(GByteArray *out, guint field, guint64 value)
{
  append_varint(out, field << 3 | 0);
  append_varint(out, value);
}

static void
append_bytes(GByteArray *out, guint field, const void *data, gsize length)
{
  append_varint(out, field << 3 | 2);
  append_varint(out, length);
  g_byte_array_append(out, data, (guint)length);
}

static void
append_float(GByteArray *out, guint field, float value)
{
  guint32 bits;

  memcpy(&bits, &value, sizeof(bits));
  bits = GUINT32_TO_LE(bits);
  append_varint(out, field << 3 | 5);
  g_byte_array_append(out, (const guint8 *)&bits, sizeof(bits));
}

/* Field numbers from sentencepiece_model.proto. */
GByteArray *
test_vocabulary_to_sentencepiece(TestVocabulary *self)
{
  GByteArray *model = g_byte_array_new();
  g_autoptr(GByteArray) trainer = g_byte_array_new();
  g_autoptr(GByteArray) normalizer = g_byte_array_new();

  for (guint i = 0; i < self->pieces->len; i++) {
    const TestPiece *piece = &g_array_index(self->pieces, TestPiece, i);
    g_autoptr(GByteArray) message = g_byte_array_new();

    append_bytes(message, 1, piece->piece, strlen(piece->piece));
    append_float(message, 2, piece->score);
    append_number(message, 3, (guint64)piece->type);
    append_bytes(model, 1, message->data, message->len);
  }
  append_number(trainer, 3, 2);  /* model_type: BPE */
  append_number(trainer, 35, 1); /* byte_fallback */
  append_bytes(model, 2, trainer->data, trainer->len);
  append_bytes(normalizer, 1, "identity", strlen("identity"));
  append_number(normalizer, 3, (guint64)self->add_dummy_prefix);
  append_number(normalizer, 4, 0); /* remove_extra_whitespaces */
  append_number(normalizer, 5, 1); /* escape_whitespaces */
  append_bytes(model, 3, normalizer->data, normalizer->len);
  return model;
}
