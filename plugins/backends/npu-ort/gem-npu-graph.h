/*
 * One feed-forward, y = W_down (silu(W_gate x) * W_up x), as an ONNX model: one emitter, and for each form
 * that providers want weights in, one lowering of a product. Inputs of quantized matrices are rounded to 8
 * bits as all backends do (kernels/gem-packed.h), so that a pathway gives the same wherever it runs.
 */
#pragma once

#include <stdint.h>

#include "plugins/gem-plugin.h"

/* How a provider wants weights: the plainer come later. */
typedef enum {
  GEM_NPU_FORM_MATMUL_N_BITS, /* MatMulNBits, which multiplies blocks as they are */
  GEM_NPU_FORM_BLOCKS,        /* DequantizeLinear of 4 or 8 bits, a scale for each block of 32 */
  GEM_NPU_FORM_CHANNELS,      /* DequantizeLinear of 8 bits, a scale for each output */
  GEM_NPU_FORM_FLOATS,
} GemNpuForm;
#define GEM_NPU_FORMS 4

const char *
gem_npu_form_name(GemNpuForm form);
/* The form that a provider takes, by its name, such as QNNExecutionProvider. */
GemNpuForm
gem_npu_form_of_provider(const char *provider);
/* Whether it has MatMulNBits of 8 bits, with an ONNX Runtime that has the table `api_version`. */
bool
gem_npu_has_bytes(const char *provider, uint32_t api_version);

/* How a feed-forward is stated for a provider. */
typedef struct {
  GemNpuForm form;
  bool rounds_inputs; /* as all backends do; else the device reads them as they are */
  bool is_half;       /* it may compute in half floats, whose least is much larger */
  bool has_bytes;     /* MatMulNBits of 8 bits is there; else such matrices are floats */
} GemNpuLowering;

#define GEM_NPU_GRAPH_INPUT  "x"
#define GEM_NPU_GRAPH_OUTPUT "y"

/* The model for `rows` rows a call; 0: for any number. x and y are [rows][width]. The bytes are released by
 * free(). */
bool
gem_npu_graph_make(const GemFeedForwardTensors *tensors,
                   const GemNpuLowering *lowering,
                   uint32_t rows,
                   uint8_t **ret_bytes,
                   size_t *ret_size,
                   GemPluginError *error);
