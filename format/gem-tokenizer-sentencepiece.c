/*
 * SentencePiece's .model files: a protocol buffer (sentencepiece_model.proto) read field by field, every
 * length checked.
 */
#include "format/gem-tokenizer-private.h"

#include <string.h>

/* Fields of the messages that are read. */
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3, MODEL_DENORMALIZER = 5 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum {
  TRAINER_MODEL_TYPE = 3,
  TRAINER_WHITESPACE_SUFFIX = 24,
  TRAINER_BYTE_FALLBACK = 35,
  TRAINER_BOS_ID = 41,
  TRAINER_EOS_ID = 42,
  TRAINER_UNK_SURFACE = 44,
};
enum {
  NORMALIZER_CHARSMAP = 2,
  NORMALIZER_DUMMY_PREFIX = 3,
  NORMALIZER_REMOVE_SPACES = 4,
  NORMALIZER_ESCAPE_SPACES = 5
};

#define MODEL_TYPE_UNIGRAM 1
#define MODEL_TYPE_BPE     2

/* How a field is stored. */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

typedef struct {
  const guint8 *data;
  gsize length;
} Span;

typedef struct {
  guint64 number;
  guint wire;
  guint64 value; /* of a varint or fixed field */
  Span bytes;    /* of a field of bytes */
} Field;

/* What decides how text is to be encoded, with the format's defaults. */
typedef struct {
  guint64 model_type;
  gboolean whitespace_suffix;
  gboolean byte_fallback;
  gint32 bos, eos;
  Span unk_surface;
  Span charsmap;
  gboolean dummy_prefix;
  gboolean remove_spaces;
  gboolean escape_spaces;
  Span denormalizer_charsmap;
} Settings;

static gboolean
set_malformed(GError **error, const char *what)
{
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, "no SentencePiece model: %s", what);
  return FALSE;
}

static gboolean
read_varint(Span *span, guint64 *ret_value, GError **error)
{
  guint64 value = 0;

  for (gsize i = 0; i < span->length && i < 10; i++) {
    value |= (guint64)(span->data[i] & 0x7f) << (7 * i);
    if (span->data[i] < 0x80) {
      span->data += i + 1;
      span->length -= i + 1;
      *ret_value = value;
      return TRUE;
    }
  }
  return set_malformed(error, "a number is cut short or too long");
}

/* Takes `n` bytes off the front of `span`. */
static gboolean
read_bytes(Span *span, guint64 n, Span *ret_bytes, GError **error)
{
  if (n > span->length) {
    return set_malformed(error, "a field reaches past the end");
  }
  *ret_bytes = (Span){span->data, (gsize)n};
  span->data += n;
  span->length -= (gsize)n;
  return TRUE;
}

/* Little-endian, `n` of at most 8 bytes. */
static gboolean
read_fixed(Span *span, gsize n, guint64 *ret_value, GError **error)
{
  Span bytes;
  guint64 value = 0;

  if (!read_bytes(span, n, &bytes, error)) {
    return FALSE;
  }
  for (gsize i = 0; i < n; i++) {
    value |= (guint64)bytes.data[i] << (8 * i);
  }
  *ret_value = value;
  return TRUE;
}

static gboolean
read_field(Span *span, Field *ret_field, GError **error)
{
  Field field = {0};
  guint64 key, length;

  if (!read_varint(span, &key, error)) {
    return FALSE;
  }
  field.number = key >> 3;
  field.wire = key & 7;
  switch (field.wire) {
  case WIRE_VARINT:
    if (!read_varint(span, &field.value, error)) {
      return FALSE;
    }
    break;
  case WIRE_FIXED64:
    if (!read_fixed(span, 8, &field.value, error)) {
      return FALSE;
    }
    break;
  case WIRE_FIXED32:
    if (!read_fixed(span, 4, &field.value, error)) {
      return FALSE;
    }
    break;
  case WIRE_BYTES:
    if (!read_varint(span, &length, error) || !read_bytes(span, length, &field.bytes, error)) {
      return FALSE;
    }
    break;
  default:
    return set_malformed(error, "a field is of no known wire type");
  }
  *ret_field = field;
  return TRUE;
}

static gboolean
read_piece(GemTokenizer *tokenizer, Span span, GError **error)
{
  Field field;
  Span piece = {(const guint8 *)"", 0};
  guint64 type = GEM_PIECE_NORMAL;
  guint32 bits;
  float score = 0;

  while (span.length > 0) {
    if (!read_field(&span, &field, error)) {
      return FALSE;
    }
    if (field.number == PIECE_TEXT && field.wire == WIRE_BYTES) {
      piece = field.bytes;
    } else if (field.number == PIECE_SCORE && field.wire == WIRE_FIXED32) {
      bits = (guint32)field.value;
      memcpy(&score, &bits, sizeof(score));
    } else if (field.number == PIECE_TYPE && field.wire == WIRE_VARINT) {
      type = field.value;
    }
  }
  return gem_tokenizer_add_piece(tokenizer, (const char *)piece.data, piece.length, score, type, error);
}

static gboolean
read_trainer(Settings *settings, Span span, GError **error)
{
  Field field;

  while (span.length > 0) {
    if (!read_field(&span, &field, error)) {
      return FALSE;
    }
    if (field.number == TRAINER_UNK_SURFACE && field.wire == WIRE_BYTES) {
      settings->unk_surface = field.bytes;
    }
    if (field.wire != WIRE_VARINT) {
      continue;
    }
    if (field.number == TRAINER_MODEL_TYPE) {
      settings->model_type = field.value;
    } else if (field.number == TRAINER_WHITESPACE_SUFFIX) {
      settings->whitespace_suffix = field.value != 0;
    } else if (field.number == TRAINER_BYTE_FALLBACK) {
      settings->byte_fallback = field.value != 0;
    } else if (field.number == TRAINER_BOS_ID) {
      settings->bos = (gint32)field.value;
    } else if (field.number == TRAINER_EOS_ID) {
      settings->eos = (gint32)field.value;
    }
  }
  return TRUE;
}

static gboolean
read_normalizer(Settings *settings, Span span, GError **error)
{
  Field field;

  while (span.length > 0) {
    if (!read_field(&span, &field, error)) {
      return FALSE;
    }
    if (field.number == NORMALIZER_CHARSMAP && field.wire == WIRE_BYTES) {
      settings->charsmap = field.bytes;
    }
    if (field.wire != WIRE_VARINT) {
      continue;
    }
    if (field.number == NORMALIZER_DUMMY_PREFIX) {
      settings->dummy_prefix = field.value != 0;
    } else if (field.number == NORMALIZER_REMOVE_SPACES) {
      settings->remove_spaces = field.value != 0;
    } else if (field.number == NORMALIZER_ESCAPE_SPACES) {
      settings->escape_spaces = field.value != 0;
    }
  }
  return TRUE;
}

/* Only the denormalizer's map matters. */
static gboolean
read_denormalizer(Settings *settings, Span span, GError **error)
{
  Settings denormalizer = {0};

  if (!read_normalizer(&denormalizer, span, error)) {
    return FALSE;
  }
  if (denormalizer.charsmap.length > 0) {
    settings->denormalizer_charsmap = denormalizer.charsmap;
  }
  return TRUE;
}

static gboolean
check_settings(const Settings *settings, GError **error)
{
  const char *surface = GEM_TOKENIZER_UNKNOWN_TEXT;
  const char *what = NULL;

  if (settings->model_type != MODEL_TYPE_BPE) {
    what = "the model type is not BPE";
  } else if (!settings->byte_fallback) {
    what = "byte_fallback is off";
  } else if (settings->whitespace_suffix) {
    what = "treat_whitespace_as_suffix is on";
  } else if (settings->charsmap.length > 0 || settings->denormalizer_charsmap.length > 0) {
    what = "the normalization is not `identity`";
  } else if (settings->remove_spaces) {
    what = "remove_extra_whitespaces is on";
  } else if (!settings->escape_spaces) {
    what = "escape_whitespaces is off";
  } else if (settings->unk_surface.data &&
             (settings->unk_surface.length != strlen(surface) ||
              memcmp(settings->unk_surface.data, surface, strlen(surface)) != 0)) {
    what = "unk_surface is not the usual one";
  }

  if (what) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                "SentencePiece model not supported: %s", what);
  }
  return what == NULL;
}

static gboolean
read_model(GemTokenizer *tokenizer, Span span, GError **error)
{
  Settings settings = {.model_type = MODEL_TYPE_UNIGRAM,
                       .bos = 1,
                       .eos = 2,
                       .dummy_prefix = TRUE,
                       .remove_spaces = TRUE,
                       .escape_spaces = TRUE};
  Field field;

  while (span.length > 0) {
    gboolean ok = TRUE;

    if (!read_field(&span, &field, error)) {
      return FALSE;
    }
    if (field.wire != WIRE_BYTES) {
      continue;
    }
    if (field.number == MODEL_PIECES) {
      ok = read_piece(tokenizer, field.bytes, error);
    } else if (field.number == MODEL_TRAINER) {
      ok = read_trainer(&settings, field.bytes, error);
    } else if (field.number == MODEL_NORMALIZER) {
      ok = read_normalizer(&settings, field.bytes, error);
    } else if (field.number == MODEL_DENORMALIZER) {
      ok = read_denormalizer(&settings, field.bytes, error);
    }
    if (!ok) {
      return FALSE;
    }
  }
  if (!check_settings(&settings, error)) {
    return FALSE;
  }

  tokenizer->bos = settings.bos < 0 ? GEM_NONE : (guint32)settings.bos;
  tokenizer->eos = settings.eos < 0 ? GEM_NONE : (guint32)settings.eos;
  tokenizer->add_bos = tokenizer->bos != GEM_NONE;
  tokenizer->add_dummy_prefix = settings.dummy_prefix;
  return gem_tokenizer_finish(tokenizer, error);
}

GemTokenizer *
gem_tokenizer_new_from_sentencepiece(const char *path, GError **error)
{
  g_autoptr(GemTokenizer) self = gem_tokenizer_new_empty(0);
  g_autoptr(GError) local_error = NULL;
  g_autofree char *contents = NULL;
  gsize length;

  if (!g_file_get_contents(path, &contents, &length, &local_error)) {
    g_set_error_literal(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO, local_error->message);
    return NULL;
  }
  if (!read_model(self, (Span){(const guint8 *)contents, length}, error)) {
    g_prefix_error(error, "%s: ", path);
    return NULL;
  }
  return g_steal_pointer(&self);
}
