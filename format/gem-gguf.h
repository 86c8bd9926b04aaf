/*
 * GGUF files: a bounds-checked reader and a writer.
 *
 * Every count, length, offset, type and string of the file is checked before it is used; what does not hold
 * is a GEM_FORMAT_ERROR whose message names the file and the field. GGUF versions 2 and 3, little-endian.
 */
#pragma once

#include <gio/gio.h>

#include "format/gem-file-reader.h"
#include "kernels/gem-types.h"

#define GEM_FORMAT_ERROR (gem_format_error_quark())
GQuark
gem_format_error_quark(void);

typedef enum {
  GEM_FORMAT_ERROR_IO,          /* cannot be opened, read or written */
  GEM_FORMAT_ERROR_MALFORMED,   /* breaks the format */
  GEM_FORMAT_ERROR_UNSUPPORTED, /* well-formed, but of a version, type or shape that is not known here */
  GEM_FORMAT_ERROR_MISSING,     /* a needed key, tensor or file is not there */
  GEM_FORMAT_ERROR_MISMATCH, /* size or SHA-256 differ from the manifest; parts that do not fit each other */
  GEM_FORMAT_ERROR_INVALID,  /* an argument that a caller gave: text that cannot be tokenized, a value out of
                                range */
} GemFormatError;

typedef struct {
  const char *name;
  GemType type;
  size_t rows;    /* product of all dimensions but the first; 1 for a vector */
  size_t cols;    /* the first dimension of the file: the contiguous one */
  guint64 offset; /* in the file, of its first byte */
  size_t bytes;   /* rows * row_bytes */
} GemTensor;

/* ---- reader ---- */
/* Reference-counted. Keys and the list of tensors never change and may be read from any thread; the bytes of
 * tensors from one at a time. */
typedef struct _GemGguf GemGguf;

/* Maps and checks the whole structure (not the tensors' values). */
GemGguf *
gem_gguf_open(const char *path, GError **error);
/* The same over bytes in memory; `name` stands in error messages. Keeps a reference on `bytes`. */
GemGguf *
gem_gguf_new_from_bytes(GBytes *bytes, const char *name, GError **error);
/* The same over an open file that is trusted to stay what it is: keys are read now, a tensor when it is asked
 * for. Keeps a reference on `reader`. */
GemGguf *
gem_gguf_new_from_reader(GemFileReader *reader, const char *name, GError **error);
GemGguf *
gem_gguf_ref(GemGguf *self);
void
gem_gguf_unref(GemGguf *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemGguf, gem_gguf_unref)

const char *
gem_gguf_get_name(GemGguf *self); /* the path or name that it was opened by */
gsize
gem_gguf_get_size(GemGguf *self); /* bytes of the file */

gboolean
gem_gguf_has_key(GemGguf *self, const char *key);
/* Number of keys, and the i-th key's name, in file order. */
guint
gem_gguf_n_keys(GemGguf *self);
const char *
gem_gguf_key_name(GemGguf *self, guint index);
/* The value as a person reads it (a long array shortened, with its length): for `inspect`. Transfer full. */
char *
gem_gguf_key_to_string(GemGguf *self, const char *key);

/* Scalars: any integer type of the file is taken when the value fits; error MISSING or MALFORMED, naming file
 * and key. */
gboolean
gem_gguf_get_uint(GemGguf *self, const char *key, guint64 *ret_value, GError **error);
gboolean
gem_gguf_get_float(GemGguf *self, const char *key, double *ret_value, GError **error);
gboolean
gem_gguf_get_bool(GemGguf *self, const char *key, gboolean *ret_value, GError **error);
/* UTF-8, without NUL; owned by the caller. */
char *
gem_gguf_get_string(GemGguf *self, const char *key, GError **error);

/* The strings of an array one after the other, as they lie in the file: any bytes, no NUL at the end. `left`:
 * how many are still to come. */
typedef struct {
  const guint8 *next;
  guint left;
} GemGgufStrings;

gboolean
gem_gguf_get_strings(GemGguf *self, const char *key, GemGgufStrings *ret_strings, GError **error);
/* FALSE: that was the last one. */
gboolean
gem_gguf_strings_next(GemGgufStrings *self, const char **ret_string, gsize *ret_length);

/* Arrays; each returned array is owned by the caller. Strings as GPtrArray of GBytes (they may hold any
 * bytes). */
GArray *
gem_gguf_get_uint_array(GemGguf *self, const char *key, GError **error); /* guint64 */
GArray *
gem_gguf_get_float_array(GemGguf *self, const char *key, GError **error); /* float */
GPtrArray *
gem_gguf_get_bytes_array(GemGguf *self, const char *key, GError **error); /* GBytes */
GStrv
gem_gguf_get_string_array(GemGguf *self, const char *key, GError **error); /* UTF-8 */

/* Entries of the list stay valid while the file is referenced. */
guint
gem_gguf_n_tensors(GemGguf *self);
const GemTensor *
gem_gguf_tensor(GemGguf *self, guint index);
/* NULL when there is none. */
const GemTensor *
gem_gguf_find_tensor(GemGguf *self, const char *name);
/* Find with the shape it must have; MISSING, or MISMATCH with both shapes in the message. */
const GemTensor *
gem_gguf_require_tensor(GemGguf *self, const char *name, size_t rows, size_t cols, GError **error);

/* Reads `n` doubles, whose bytes stand in a tensor [1][2 n] of F32, as checkpoints keep them. MISSING,
 * MISMATCH, UNSUPPORTED for another type, which has fewer bytes, or IO; `ret_values` is as it was then, but
 * for IO. */
gboolean
gem_gguf_read_doubles(GemGguf *self, const char *name, gsize n, double *ret_values, GError **error);

/* Bytes of all tensors. */
guint64
gem_gguf_tensor_bytes(GemGguf *self);

/* The bytes of a tensor of this file, without any alignment; NULL when the file stays on disk. */
const void *
gem_gguf_get_data(GemGguf *self, const GemTensor *tensor);
/* Copies `bytes` of them from `offset` on, wherever they are; from any thread. IO, or MISMATCH when the file
 * on disk has become shorter. */
gboolean
gem_gguf_read(GemGguf *self, const GemTensor *tensor, gsize offset, gsize bytes, void *to, GError **error);
/* All of them, wherever they are; from disk into memory that the next call uses again. Errors as above. */
const void *
gem_gguf_read_tensor(GemGguf *self, const GemTensor *tensor, GError **error);
/* MISMATCH when a file that was read from disk has changed meanwhile: what was made of it must not be used.
 */
gboolean
gem_gguf_check_unchanged(GemGguf *self, GError **error);

/* ---- writer ---- */
typedef struct _GemGgufWriter GemGgufWriter;

GemGgufWriter *
gem_gguf_writer_new(void);
void
gem_gguf_writer_free(GemGgufWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemGgufWriter, gem_gguf_writer_free)

void
gem_gguf_writer_set_uint(GemGgufWriter *self, const char *key, guint32 value);
void
gem_gguf_writer_set_float(GemGgufWriter *self, const char *key, float value);
void
gem_gguf_writer_set_bool(GemGgufWriter *self, const char *key, gboolean value);
void
gem_gguf_writer_set_string(GemGgufWriter *self, const char *key, const char *value);
void
gem_gguf_writer_set_uint_array(GemGgufWriter *self, const char *key, const guint32 *values, gsize n);
void
gem_gguf_writer_set_int_array(GemGgufWriter *self, const char *key, const gint32 *values, gsize n);
void
gem_gguf_writer_set_float_array(GemGgufWriter *self, const char *key, const float *values, gsize n);
/* values: GBytes or, for string arrays, a NULL-terminated list. */
void
gem_gguf_writer_set_bytes_array(GemGgufWriter *self, const char *key, GPtrArray *values);
void
gem_gguf_writer_set_string_array(GemGgufWriter *self, const char *key, const char *const *values);

/* Quantizes `values` [rows][cols] to `type` and keeps the result. rows == 1 writes a one-dimensional tensor.
 * INVALID when cols is no multiple of the type's block or a value is not finite (the message names tensor,
 * row and column). */
gboolean
gem_gguf_writer_add_tensor(GemGgufWriter *self,
                           const char *name,
                           GemType type,
                           size_t rows,
                           size_t cols,
                           const float *values,
                           GError **error);
/* Copies blocks as they are. */
void
gem_gguf_writer_add_tensor_data(
    GemGgufWriter *self, const char *name, GemType type, size_t rows, size_t cols, const void *data);

/* The file's bytes: version 3, alignment 32. Transfer full. */
GBytes *
gem_gguf_writer_to_bytes(GemGgufWriter *self);
/* Writes beside `path`, syncs, then renames: the old file or the whole new one, never a part. A full disk is
 * an IO error that names the path. */
gboolean
gem_gguf_writer_write(GemGgufWriter *self, const char *path, GError **error);
