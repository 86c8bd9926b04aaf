/*
 * One feed-forward as a session of ONNX Runtime, with its input and output bound to memory of its own: a call
 * copies rows in, runs, and adds what came out.
 */
#pragma once

#include "plugins/backends/npu-ort/gem-npu-device.h"

/* Rows of one call at most. */
#define GEM_NPU_BLOCK 64

typedef struct {
  OrtSession *session;
  OrtIoBinding *binding;
  OrtValue *x, *y; /* [bound][width] */
  uint32_t rows;   /* that the session is made for; 0: any number up to the block */
  uint32_t bound;  /* rows that are bound now */
  uint32_t width;
  float *input;       /* [rows, or block][width] */
  float *output;      /* the same */
  size_t model_bytes; /* of the model that it was made of: about what the session keeps */
} GemNpuSession;

bool
gem_npu_session_open(GemNpuSession *self,
                     GemNpuDevice *device,
                     const GemNpuLowering *lowering,
                     const GemFeedForwardTensors *tensors,
                     uint32_t rows,
                     GemPluginError *error);
void
gem_npu_session_close(GemNpuSession *self, const GemNpuDevice *device);

/* y[n][width] += FFN(x[n][width]); n is at most what the session was made for. False: it failed, or gave what
 * is no number, and y is as it was. */
bool
gem_npu_session_run(GemNpuSession *self,
                    const GemNpuDevice *device,
                    const float *x,
                    uint32_t n,
                    float *y,
                    GemPluginError *error);
