/* What the parts of the GGUF reader share. Not for others. */
#pragma once

#include "format/gem-gguf.h"

/* Ids of value types as they stand in a file. */
typedef enum {
  GGUF_VALUE_UINT8 = 0,
  GGUF_VALUE_INT8 = 1,
  GGUF_VALUE_UINT16 = 2,
  GGUF_VALUE_INT16 = 3,
  GGUF_VALUE_UINT32 = 4,
  GGUF_VALUE_INT32 = 5,
  GGUF_VALUE_FLOAT32 = 6,
  GGUF_VALUE_BOOL = 7,
  GGUF_VALUE_STRING = 8,
  GGUF_VALUE_ARRAY = 9,
  GGUF_VALUE_UINT64 = 10,
  GGUF_VALUE_INT64 = 11,
  GGUF_VALUE_FLOAT64 = 12,
} GgufValueType;

#define GGUF_MAGIC             "GGUF"
#define GGUF_VERSION           3
#define GGUF_DEFAULT_ALIGNMENT 32
#define GGUF_MAX_KEY_BYTES     65535
#define GGUF_MAX_TENSOR_NAME   64 /* bytes */
#define GGUF_MAX_DIMENSIONS    4

/* One key's value, checked to lie inside the file. */
typedef struct {
  char *key;
  GgufValueType type; /* of the elements, when it is an array */
  gboolean is_array;
  guint64 count;      /* elements of an array; 1 for a scalar */
  const guint8 *data; /* first element; a string starts with its 64-bit length */
} GgufValue;

struct _GemGguf {
  gatomicrefcount references;
  char *name;            /* as it was given */
  char *display_name;    /* the same as UTF-8, for messages */
  GBytes *bytes;         /* the file; with a reader only the first `loaded` of them are there */
  GemFileReader *reader; /* of a file whose tensors stay on disk; NULL otherwise */
  gsize loaded;
  GArray *values;             /* GgufValue, in file order */
  GHashTable *value_indices;  /* key (borrowed) -> index */
  GArray *tensors;            /* GemTensor, in file order; names owned */
  GHashTable *tensor_indices; /* name (borrowed) -> index */
  void *buffer;               /* bytes of the tensor that was read last, when there is a reader */
  gsize buffer_bytes;
};

/* Fills values and tensors from the bytes, or says what is wrong with them. */
gboolean
gem_gguf_parse(GemGguf *self, GError **error);

/* Reads the head of a file on disk at least up to `end`, which lies inside the file. */
gboolean
gem_gguf_load_head(GemGguf *self, gsize end, GError **error);

/* "FILE: FIELD: MESSAGE" into `error`; always FALSE. */
gboolean
gem_gguf_fail(GemGguf *self, GError **error, GemFormatError code, const char *field, const char *format, ...)
    G_GNUC_PRINTF(5, 6);

/* Bytes of a number or truth value of that type; 0 for strings, arrays and unknown types. */
gsize
gem_gguf_value_size(guint32 type);
/* "u32", "string", ...; "unknown type" for others. */
const char *
gem_gguf_value_type_name(guint32 type);

/* Little-endian integers at any address. */
static inline guint32
gem_gguf_load_u32(const guint8 *data)
{
  return (guint32)data[0] | (guint32)data[1] << 8 | (guint32)data[2] << 16 | (guint32)data[3] << 24;
}

static inline guint64
gem_gguf_load_u64(const guint8 *data)
{
  return gem_gguf_load_u32(data) | (guint64)gem_gguf_load_u32(data + 4) << 32;
}
