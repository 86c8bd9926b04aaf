#include "plugins/backends/npu-ort/gem-npu-graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gem-types.h"
#include "plugins/backends/npu-ort/gem-npu-levels.h"
#include "plugins/backends/npu-ort/gem-onnx-writer.h"
#include "plugins/backends/npu-ort/gem-ort-api.h"
#include "plugins/support/gem-plugin-support.h"

static const struct {
  const char *provider;
  GemNpuForm form;
} forms[] = {
    {"CPUExecutionProvider", GEM_NPU_FORM_MATMUL_N_BITS},
    {"OpenVINOExecutionProvider", GEM_NPU_FORM_CHANNELS},
    {"QNNExecutionProvider", GEM_NPU_FORM_MATMUL_N_BITS},
    {"VitisAIExecutionProvider", GEM_NPU_FORM_MATMUL_N_BITS},
};

const char *
gem_npu_form_name(GemNpuForm form)
{
  switch (form) {
  case GEM_NPU_FORM_MATMUL_N_BITS:
    return "MatMulNBits";
  case GEM_NPU_FORM_BLOCKS:
    return "blocks";
  case GEM_NPU_FORM_CHANNELS:
    return "channels";
  case GEM_NPU_FORM_FLOATS:
    return "floats";
  }
  return "";
}

GemNpuForm
gem_npu_form_of_provider(const char *provider)
{
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    if (strcmp(forms[i].provider, provider) == 0) {
      return forms[i].form;
    }
  }
  return GEM_NPU_FORM_CHANNELS; /* the plainest quantized form of ONNX */
}

/* Qualcomm's has 2 and 4 bits alone, and ONNX Runtime's own learned of 8 late. */
bool
gem_npu_has_bytes(const char *provider, uint32_t api_version)
{
  return api_version >= GEM_ORT_API_BYTES && strcmp(provider, "QNNExecutionProvider") != 0;
}

/* One product: its matrix's levels, the value that it reads, the value that it makes. */
typedef struct {
  GemOnnxWriter *graph;
  const GemNpuLevels *levels;
  const char *input, *output;
  char weights[32], scales[32], matrix[32]; /* names of its tensors, made of the output's */
} Product;

/* 4-bit levels, two a byte, the first in the low bits; in order. `offset` makes them unsigned. */
static void
pack_nibbles(const int8_t *levels, size_t n, int offset, uint8_t *to)
{
  for (size_t i = 0; i < n; i += 2) {
    to[i / 2] = (uint8_t)(((levels[i] + offset) & 0xf) | ((levels[i + 1] + offset) & 0xf) << 4);
  }
}

/* B [rows][blocks][bytes of a block], unsigned levels; without zero points 2^(bits - 1) is taken off. */
static bool
write_n_bits(Product *product)
{
  const GemNpuLevels *levels = product->levels;
  size_t values = levels->rows * levels->cols, blocks = levels->cols / levels->block;
  size_t bytes = values * levels->bits / 8;
  uint8_t *packed = malloc(bytes);
  if (packed == NULL) {
    return false;
  }
  if (levels->bits == 4) {
    pack_nibbles(levels->levels, values, 8, packed);
  } else {
    for (size_t i = 0; i < values; i++) {
      packed[i] = (uint8_t)(levels->levels[i] + 128);
    }
  }
  const int64_t shape[] = {(int64_t)levels->rows, (int64_t)blocks,
                           (int64_t)(levels->block * levels->bits / 8)};
  gem_onnx_write_tensor(product->graph, product->weights, GEM_ONNX_UINT8, shape, 3, packed, bytes);
  free(packed);
  const int64_t scales = (int64_t)(levels->rows * blocks);
  gem_onnx_write_tensor(product->graph, product->scales, GEM_ONNX_FLOAT, &scales, 1, levels->scales,
                        (size_t)scales * sizeof(float));
  const GemOnnxAttribute attributes[] = {{"K", (int64_t)levels->cols},
                                         {"N", (int64_t)levels->rows},
                                         {"bits", levels->bits},
                                         {"block_size", (int64_t)levels->block}};
  gem_onnx_write_node(product->graph,
                      &(GemOnnxNode){.operator_name = "MatMulNBits",
                                     .op_domain = "com.microsoft",
                                     .inputs = {product->input, product->weights, product->scales},
                                     .output = product->output},
                      attributes, 4);
  return true;
}

static void
write_matmul(Product *product)
{
  gem_onnx_write_node(product->graph,
                      &(GemOnnxNode){.operator_name = "MatMul",
                                     .inputs = {product->input, product->matrix},
                                     .output = product->output},
                      NULL, 0);
}

/* Levels [cols][rows], as MatMul wants its matrix, and scales [cols / block][rows], or [rows] where a row has
 * one. */
static bool
write_dequantized(Product *product)
{
  const GemNpuLevels *levels = product->levels;
  size_t rows = levels->rows, cols = levels->cols, blocks = cols / levels->block;
  int8_t *turned = calloc(rows, cols);
  float *scales = malloc(rows * blocks * sizeof *scales);
  if (turned == NULL || scales == NULL) {
    free(turned);
    free(scales);
    return false;
  }
  for (size_t row = 0; row < rows; row++) {
    for (size_t col = 0; col < cols; col++) {
      turned[col * rows + row] = levels->levels[row * cols + col];
    }
    for (size_t b = 0; b < blocks; b++) {
      scales[b * rows + row] = levels->scales[row * blocks + b];
    }
  }
  bool nibbles = levels->bits == 4 && rows % 2 == 0;
  if (nibbles) {
    pack_nibbles(turned, rows * cols, 0, (uint8_t *)turned);
  }
  const int64_t shape[] = {(int64_t)cols, (int64_t)rows}, scale_shape[] = {(int64_t)blocks, (int64_t)rows};
  gem_onnx_write_tensor(product->graph, product->weights, nibbles ? GEM_ONNX_INT4 : GEM_ONNX_INT8, shape, 2,
                        turned, nibbles ? rows * cols / 2 : rows * cols);
  gem_onnx_write_tensor(product->graph, product->scales, GEM_ONNX_FLOAT,
                        blocks > 1 ? scale_shape : scale_shape + 1, blocks > 1 ? 2 : 1, scales,
                        rows * blocks * sizeof *scales);
  free(turned);
  free(scales);
  const GemOnnxAttribute attributes[] = {{"axis", blocks > 1 ? 0 : 1},
                                         {"block_size", (int64_t)levels->block}};
  gem_onnx_write_node(product->graph,
                      &(GemOnnxNode){.operator_name = "DequantizeLinear",
                                     .inputs = {product->weights, product->scales},
                                     .output = product->matrix},
                      attributes, blocks > 1 ? 2 : 1);
  write_matmul(product);
  return true;
}

static bool
write_floats(Product *product)
{
  const GemNpuLevels *levels = product->levels;
  size_t rows = levels->rows, cols = levels->cols;
  float *turned = malloc(rows * cols * sizeof *turned);
  if (turned == NULL) {
    return false;
  }
  for (size_t row = 0; row < rows; row++) {
    for (size_t col = 0; col < cols; col++) {
      turned[col * rows + row] = levels->values[row * cols + col];
    }
  }
  const int64_t shape[] = {(int64_t)cols, (int64_t)rows};
  gem_onnx_write_tensor(product->graph, product->matrix, GEM_ONNX_FLOAT, shape, 2, turned,
                        rows * cols * sizeof *turned);
  free(turned);
  write_matmul(product);
  return true;
}

/* ---- inputs of quantized matrices: max |x| / 127 is the scale of a chunk of 256 ---- */

#define CHUNK 256

/* Names of values inside a rounding, made of that of its result. */
#define NAME_BYTES 48

static void
write_simple(
    GemOnnxWriter *graph, const char *operator_name, const char *a, const char *b, const char *output)
{
  gem_onnx_write_node(
      graph, &(GemOnnxNode){.operator_name = operator_name, .inputs = {a, b}, .output = output}, NULL, 0);
}

/* The scale of zeros, which must not divide by 0: the least float, nearly, or the least half float that is
 * not subnormal, since devices take those as 0. Chunks whose largest value is below 0.008 are rounded more
 * coarsely there. */
#define LEAST      1e-30f
#define LEAST_HALF 0x1p-14f

/* Constants that roundings share. */
static void
write_rounding_constants(GemOnnxWriter *graph, bool is_half)
{
  static const float most = 127.0f;
  const float least = is_half ? LEAST_HALF : LEAST;
  static const int64_t last_axis = -1, one = 1;
  gem_onnx_write_tensor(graph, "most", GEM_ONNX_FLOAT, NULL, 0, &most, sizeof most);
  gem_onnx_write_tensor(graph, "least", GEM_ONNX_FLOAT, NULL, 0, &least, sizeof least);
  gem_onnx_write_tensor(graph, "last", GEM_ONNX_INT64, &one, 1, &last_axis, sizeof last_axis);
}

/* Each row of the last axis of `input` rounded by a scale of its own. */
static void
write_rounding(GemOnnxWriter *graph, const char *input, const char *output)
{
  static const char *const parts[] = {"size", "largest", "share", "scale", "wide", "level"};
  char names[sizeof parts / sizeof *parts][NAME_BYTES];
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    snprintf(names[i], sizeof names[i], "%s.%s", output, parts[i]);
  }
  write_simple(graph, "Abs", input, NULL, names[0]);
  write_simple(graph, "ReduceMax", names[0], "last", names[1]);
  write_simple(graph, "Div", names[1], "most", names[2]);
  write_simple(graph, "Max", names[2], "least", names[3]);
  write_simple(graph, "Div", input, names[3], names[4]);
  write_simple(graph, "Round", names[4], NULL, names[5]);
  write_simple(graph, "Mul", names[5], names[3], output);
}

/* The same for `cols` values a row that are whole chunks, or part of one. */
static void
write_rounded_chunks(GemOnnxWriter *graph, const char *input, size_t cols, const char *output)
{
  if (cols <= CHUNK) {
    write_rounding(graph, input, output);
    return;
  }
  char chunks[NAME_BYTES], rounded[NAME_BYTES], apart_name[NAME_BYTES], together_name[NAME_BYTES];
  const int64_t apart[] = {0, (int64_t)(cols / CHUNK), CHUNK}, n_apart = 3;
  const int64_t together[] = {0, (int64_t)cols}, n_together = 2;
  snprintf(chunks, sizeof chunks, "%s.chunks", output);
  snprintf(rounded, sizeof rounded, "%s.rounded", output);
  snprintf(apart_name, sizeof apart_name, "%s.apart", output);
  snprintf(together_name, sizeof together_name, "%s.together", output);
  gem_onnx_write_tensor(graph, apart_name, GEM_ONNX_INT64, &n_apart, 1, apart, sizeof apart);
  gem_onnx_write_tensor(graph, together_name, GEM_ONNX_INT64, &n_together, 1, together, sizeof together);
  write_simple(graph, "Reshape", input, apart_name, chunks);
  write_rounding(graph, chunks, rounded);
  write_simple(graph, "Reshape", rounded, together_name, output);
}

/* Values [rows][cols] as quantized matrices read them: whole chunks, and what is left. */
static void
write_rounded(GemOnnxWriter *graph, const char *input, size_t cols, const char *output)
{
  size_t whole = cols / CHUNK * CHUNK;
  if (whole == 0 || whole == cols) {
    write_rounded_chunks(graph, input, cols, output);
    return;
  }
  char first[NAME_BYTES], rest[NAME_BYTES], sizes_name[NAME_BYTES], a[NAME_BYTES], b[NAME_BYTES];
  const int64_t sizes[] = {(int64_t)whole, (int64_t)(cols - whole)}, n_sizes = 2;
  const GemOnnxAttribute columns = {"axis", 1};
  snprintf(first, sizeof first, "%s.first", output);
  snprintf(rest, sizeof rest, "%s.rest", output);
  snprintf(sizes_name, sizeof sizes_name, "%s.sizes", output);
  snprintf(a, sizeof a, "%s.a", output);
  snprintf(b, sizeof b, "%s.b", output);
  gem_onnx_write_tensor(graph, sizes_name, GEM_ONNX_INT64, &n_sizes, 1, sizes, sizeof sizes);
  gem_onnx_write_node(
      graph,
      &(GemOnnxNode){
          .operator_name = "Split", .inputs = {input, sizes_name}, .output = first, .second_output = rest},
      &columns, 1);
  write_rounded_chunks(graph, first, whole, a);
  write_rounded_chunks(graph, rest, cols - whole, b);
  gem_onnx_write_node(graph, &(GemOnnxNode){.operator_name = "Concat", .inputs = {a, b}, .output = output},
                      &columns, 1);
}

/* What the lowering's form comes to for one matrix. */
static GemNpuForm
form_of(const GemNpuLowering *lowering, const GemNpuLevels *levels)
{
  bool lacks = lowering->form == GEM_NPU_FORM_MATMUL_N_BITS && levels->bits == 8 && !lowering->has_bytes;
  return levels->bits == 0 || lacks ? GEM_NPU_FORM_FLOATS : lowering->form;
}

/* output = input W^T. */
static bool
write_product(GemOnnxWriter *graph,
              const GemTensorView *tensor,
              const GemNpuLowering *lowering,
              const char *input,
              const char *output,
              GemPluginError *error)
{
  GemNpuLevels levels;
  if (!gem_npu_levels_read(&levels, tensor, error)) {
    return false;
  }
  GemNpuForm form = form_of(lowering, &levels);
  bool widens = form == GEM_NPU_FORM_CHANNELS || (form == GEM_NPU_FORM_BLOCKS && levels.block < 32);
  if (widens && !gem_npu_levels_widen(&levels, form == GEM_NPU_FORM_BLOCKS ? 32 : levels.cols, error)) {
    gem_npu_levels_clear(&levels);
    return false;
  }
  Product product = {.graph = graph, .levels = &levels, .input = input, .output = output};
  snprintf(product.weights, sizeof product.weights, "%s.levels", output);
  snprintf(product.scales, sizeof product.scales, "%s.scales", output);
  snprintf(product.matrix, sizeof product.matrix, "%s.matrix", output);
  bool written = form == GEM_NPU_FORM_FLOATS          ? write_floats(&product)
                 : form == GEM_NPU_FORM_MATMUL_N_BITS ? write_n_bits(&product)
                                                      : write_dequantized(&product);
  gem_npu_levels_clear(&levels);
  if (!written) {
    gem_plugin_set_error(error, "out of memory (%zu x %zu values)", tensor->rows, tensor->cols);
  }
  return written;
}

/* The name of what a matrix reads: the values, or what they are rounded to. */
static const char *
input_of(const GemTensorView *tensor, const GemNpuLowering *lowering, const char *values, const char *rounded)
{
  bool is_quantized = tensor->type != GEM_TYPE_F32 && tensor->type != GEM_TYPE_F16;
  return lowering->rounds_inputs && is_quantized ? rounded : values;
}

static bool
write_feed_forward(GemOnnxWriter *graph,
                   const GemFeedForwardTensors *tensors,
                   const GemNpuLowering *lowering,
                   uint32_t rows,
                   GemPluginError *error)
{
  gem_onnx_write_ports(graph, GEM_NPU_GRAPH_INPUT, GEM_NPU_GRAPH_OUTPUT, rows, (int64_t)tensors->gate.cols);
  if (lowering->rounds_inputs) {
    write_rounding_constants(graph, lowering->is_half);
    write_rounded(graph, GEM_NPU_GRAPH_INPUT, tensors->gate.cols, "x.levels");
  }
  const char *gate_input = input_of(&tensors->gate, lowering, GEM_NPU_GRAPH_INPUT, "x.levels");
  const char *up_input = input_of(&tensors->up, lowering, GEM_NPU_GRAPH_INPUT, "x.levels");
  if (!write_product(graph, &tensors->gate, lowering, gate_input, "gate", error) ||
      !write_product(graph, &tensors->up, lowering, up_input, "up", error)) {
    return false;
  }
  write_simple(graph, "Sigmoid", "gate", NULL, "open");
  write_simple(graph, "Mul", "gate", "open", "silu");
  write_simple(graph, "Mul", "silu", "up", "hidden");
  if (lowering->rounds_inputs) {
    write_rounded(graph, "hidden", tensors->down.cols, "hidden.levels");
  }
  const char *down_input = input_of(&tensors->down, lowering, "hidden", "hidden.levels");
  return write_product(graph, &tensors->down, lowering, down_input, GEM_NPU_GRAPH_OUTPUT, error);
}

bool
gem_npu_graph_make(const GemFeedForwardTensors *tensors,
                   const GemNpuLowering *lowering,
                   uint32_t rows,
                   uint8_t **ret_bytes,
                   size_t *ret_size,
                   GemPluginError *error)
{
  GemOnnxWriter graph = {0};
  if (!write_feed_forward(&graph, tensors, lowering, rows, error)) {
    gem_onnx_writer_clear(&graph);
    return false;
  }
  if (!gem_onnx_finish(&graph, lowering->form == GEM_NPU_FORM_BLOCKS, ret_bytes, ret_size)) {
    gem_plugin_set_error(error, "out of memory");
    return false;
  }
  return true;
}
