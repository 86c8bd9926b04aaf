/*
 * Writes an ONNX model: a handful of protobuf fields. A message inside another is written into a writer of
 * its own first, since its length comes before it.
 *
 * Where memory ends a writer remembers it, takes nothing more, and gem_onnx_writer_finish says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t *bytes;
  size_t size, capacity;
  bool failed;
} GemOnnxWriter;

void
gem_onnx_writer_clear(GemOnnxWriter *self);

/* Fields of the message that the writer holds. */
void
gem_onnx_write_number(GemOnnxWriter *self, uint32_t field, int64_t value);
void
gem_onnx_write_text(GemOnnxWriter *self, uint32_t field, const char *text);
/* `inner` becomes a field, and is cleared. */
void
gem_onnx_write_message(GemOnnxWriter *self, uint32_t field, GemOnnxWriter *inner);

/* Types of an ONNX tensor's elements. */
typedef enum {
  GEM_ONNX_FLOAT = 1,
  GEM_ONNX_UINT8 = 2,
  GEM_ONNX_INT8 = 3,
  GEM_ONNX_INT64 = 7,
  GEM_ONNX_INT4 = 22, /* two a byte, the first in the low bits */
} GemOnnxType;

/* A node of a graph, field by field: operator and names first, then attributes. */
typedef struct {
  const char *operator_name;
  const char *op_domain; /* NULL: ONNX's own */
  const char *inputs[4]; /* up to the first NULL */
  const char *output;
  const char *second_output; /* NULL: there is one */
} GemOnnxNode;
typedef struct {
  const char *name;
  int64_t value;
} GemOnnxAttribute;

void
gem_onnx_write_node(GemOnnxWriter *graph,
                    const GemOnnxNode *node,
                    const GemOnnxAttribute *attributes,
                    size_t n);
/* An initializer: shape [n_dims], data of `bytes` bytes. */
void
gem_onnx_write_tensor(GemOnnxWriter *graph,
                      const char *name,
                      GemOnnxType type,
                      const int64_t *shape,
                      size_t n_dims,
                      const void *data,
                      size_t bytes);
/* The graph's input and output, both float [rows][width]; rows 0: any number of rows. */
void
gem_onnx_write_ports(
    GemOnnxWriter *graph, const char *input, const char *output, int64_t rows, int64_t width);

/* The model around the graph, which is cleared; `has_blocks`: it has 4-bit values or scales by block, which
 * older releases do not take. False: out of memory. The bytes are released by free(). */
bool
gem_onnx_finish(GemOnnxWriter *graph, bool has_blocks, uint8_t **ret_bytes, size_t *ret_size);
