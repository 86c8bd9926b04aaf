/*
 * One feed-forward, y = W_down (silu(W_gate x) * W_up x), as an ONNX model: one emitter, and for each form
 * that providers want weights in, one lowering of a product. Inputs of quantized matrices are rounded to 8
 * bits as all backends do (kernels/gem-packed.h), so that a pathway gives the same wherever it runs.
 */
#pragma once

#include <stdint.h>

#include "plugins/gem-plugin.h"

/* How a provider wants weights. */
typedef enum {
  GEM_NPU_FORM_MATMUL_N_BITS, /* MatMulNBits, which multiplies blocks as they are */
  GEM_NPU_FORM_BLOCKS,        /* DequantizeLinear of 4 or 8 bits, a scale for each block of 16 or 32 */
  GEM_NPU_FORM_CHANNELS,      /* DequantizeLinear of 8 bits, a scale for each output */
  GEM_NPU_FORM_FLOATS,
} GemNpuForm;
#define GEM_NPU_FORMS 4

const char *
gem_npu_form_name(GemNpuForm form);
/* The form that a provider takes, by its name, such as QNNExecutionProvider. */
GemNpuForm
gem_npu_form_of_provider(const char *provider);

#define GEM_NPU_GRAPH_INPUT  "x"
#define GEM_NPU_GRAPH_OUTPUT "y"

/* The model for `rows` rows a call; 0: for any number. x and y are [rows][width]. The bytes are released by
 * free(). */
bool
gem_npu_graph_make(const GemFeedForwardTensors *tensors,
                   GemNpuForm form,
                   uint32_t rows,
                   uint8_t **ret_bytes,
                   size_t *ret_size,
                   GemPluginError *error);
