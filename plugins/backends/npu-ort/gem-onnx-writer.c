#include "plugins/backends/npu-ort/gem-onnx-writer.h"

#include <stdlib.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OPERATOR = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INTEGER = 3, ATTRIBUTE_TYPE = 20 };
enum { TENSOR_DIMENSION = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TYPE_ELEMENT = 1, TYPE_SHAPE = 2 };
enum { SHAPE_DIMENSION = 1, DIMENSION_VALUE = 1, DIMENSION_NAME = 2 };

#define ATTRIBUTE_IS_INTEGER 2
/* What ONNX Runtime 1.17 takes, and the first with 4-bit values and scales by block (1.20). */
#define IR_VERSION        9
#define OPSET             20
#define IR_VERSION_BLOCKS 10
#define OPSET_BLOCKS      21

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

void
gem_onnx_writer_clear(GemOnnxWriter *self)
{
  free(self->bytes);
  *self = (GemOnnxWriter){0};
}

static void
append(GemOnnxWriter *self, const void *bytes, size_t size)
{
  if (self->failed) {
    return;
  }
  if (size > self->capacity - self->size) {
    size_t capacity = self->size + size + self->capacity / 2 + 64;
    uint8_t *grown = realloc(self->bytes, capacity);
    if (grown == NULL) {
      self->failed = true;
      return;
    }
    self->bytes = grown;
    self->capacity = capacity;
  }
  if (size > 0) {
    memcpy(self->bytes + self->size, bytes, size);
    self->size += size;
  }
}

static void
append_varint(GemOnnxWriter *self, uint64_t value)
{
  uint8_t bytes[10];
  size_t n = 0;
  do {
    bytes[n++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>= 7;
  } while (value > 0);
  append(self, bytes, n);
}

static void
append_bytes(GemOnnxWriter *self, uint32_t field, const void *bytes, size_t size)
{
  append_varint(self, (uint64_t)field << 3 | WIRE_BYTES);
  append_varint(self, size);
  append(self, bytes, size);
}

void
gem_onnx_write_number(GemOnnxWriter *self, uint32_t field, int64_t value)
{
  append_varint(self, (uint64_t)field << 3 | WIRE_VARINT);
  append_varint(self, (uint64_t)value);
}

void
gem_onnx_write_text(GemOnnxWriter *self, uint32_t field, const char *text)
{
  append_bytes(self, field, text, strlen(text));
}

void
gem_onnx_write_message(GemOnnxWriter *self, uint32_t field, GemOnnxWriter *inner)
{
  self->failed = self->failed || inner->failed;
  append_bytes(self, field, inner->bytes, inner->size);
  gem_onnx_writer_clear(inner);
}

static void
write_attribute(GemOnnxWriter *node, const GemOnnxAttribute *attribute)
{
  GemOnnxWriter message = {0};
  gem_onnx_write_text(&message, ATTRIBUTE_NAME, attribute->name);
  gem_onnx_write_number(&message, ATTRIBUTE_INTEGER, attribute->value);
  gem_onnx_write_number(&message, ATTRIBUTE_TYPE, ATTRIBUTE_IS_INTEGER);
  gem_onnx_write_message(node, NODE_ATTRIBUTE, &message);
}

void
gem_onnx_write_node(GemOnnxWriter *graph,
                    const GemOnnxNode *node,
                    const GemOnnxAttribute *attributes,
                    size_t n)
{
  GemOnnxWriter message = {0};
  for (size_t i = 0; i < sizeof node->inputs / sizeof *node->inputs && node->inputs[i] != NULL; i++) {
    gem_onnx_write_text(&message, NODE_INPUT, node->inputs[i]);
  }
  gem_onnx_write_text(&message, NODE_OUTPUT, node->output);
  if (node->second_output != NULL) {
    gem_onnx_write_text(&message, NODE_OUTPUT, node->second_output);
  }
  gem_onnx_write_text(&message, NODE_OPERATOR, node->operator_name);
  for (size_t i = 0; i < n; i++) {
    write_attribute(&message, &attributes[i]);
  }
  if (node->op_domain != NULL) {
    gem_onnx_write_text(&message, NODE_DOMAIN, node->op_domain);
  }
  gem_onnx_write_message(graph, GRAPH_NODE, &message);
}

void
gem_onnx_write_tensor(GemOnnxWriter *graph,
                      const char *name,
                      GemOnnxType type,
                      const int64_t *shape,
                      size_t n_dims,
                      const void *data,
                      size_t bytes)
{
  GemOnnxWriter message = {0};
  for (size_t i = 0; i < n_dims; i++) {
    gem_onnx_write_number(&message, TENSOR_DIMENSION, shape[i]);
  }
  gem_onnx_write_number(&message, TENSOR_TYPE, type);
  gem_onnx_write_text(&message, TENSOR_NAME, name);
  append_bytes(&message, TENSOR_RAW, data, bytes);
  gem_onnx_write_message(graph, GRAPH_INITIALIZER, &message);
}

static void
write_dimension(GemOnnxWriter *shape, int64_t value)
{
  GemOnnxWriter message = {0};
  if (value > 0) {
    gem_onnx_write_number(&message, DIMENSION_VALUE, value);
  } else {
    gem_onnx_write_text(&message, DIMENSION_NAME, "rows");
  }
  gem_onnx_write_message(shape, SHAPE_DIMENSION, &message);
}

static void
write_port(GemOnnxWriter *graph, uint32_t field, const char *name, int64_t rows, int64_t width)
{
  GemOnnxWriter shape = {0}, tensor = {0}, type = {0}, value = {0};
  write_dimension(&shape, rows);
  write_dimension(&shape, width);
  gem_onnx_write_number(&tensor, TYPE_ELEMENT, GEM_ONNX_FLOAT);
  gem_onnx_write_message(&tensor, TYPE_SHAPE, &shape);
  gem_onnx_write_message(&type, TYPE_TENSOR, &tensor);
  gem_onnx_write_text(&value, VALUE_NAME, name);
  gem_onnx_write_message(&value, VALUE_TYPE, &type);
  gem_onnx_write_message(graph, field, &value);
}

void
gem_onnx_write_ports(GemOnnxWriter *graph, const char *input, const char *output, int64_t rows, int64_t width)
{
  write_port(graph, GRAPH_INPUT, input, rows, width);
  write_port(graph, GRAPH_OUTPUT, output, rows, width);
}

static void
write_opset(GemOnnxWriter *model, const char *op_domain, int64_t version)
{
  GemOnnxWriter message = {0};
  gem_onnx_write_text(&message, OPSET_DOMAIN, op_domain);
  gem_onnx_write_number(&message, OPSET_VERSION, version);
  gem_onnx_write_message(model, MODEL_OPSET, &message);
}

bool
gem_onnx_finish(GemOnnxWriter *graph, bool has_blocks, uint8_t **ret_bytes, size_t *ret_size)
{
  GemOnnxWriter model = {0};
  gem_onnx_write_text(graph, GRAPH_NAME, "pathway");
  gem_onnx_write_number(&model, MODEL_IR_VERSION, has_blocks ? IR_VERSION_BLOCKS : IR_VERSION);
  gem_onnx_write_text(&model, MODEL_PRODUCER, "gemd");
  write_opset(&model, "", has_blocks ? OPSET_BLOCKS : OPSET);
  write_opset(&model, "com.microsoft", 1);
  gem_onnx_write_message(&model, MODEL_GRAPH, graph);
  if (model.failed) {
    gem_onnx_writer_clear(&model);
    return false;
  }
  *ret_bytes = model.bytes;
  *ret_size = model.size;
  return true;
}
