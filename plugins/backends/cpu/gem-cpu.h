/*
 * The CPU backend: what its files share. Functions of the table without a description are those of
 * gem-plugin.h.
 */
#pragma once

#include "kernels/gem-kernels.h"
#include "plugins/backends/cpu/gem-cpu-keeping.h"
#include "plugins/backends/cpu/gem-cpu-memory.h"
#include "plugins/backends/cpu/gem-cpu-pool.h"
#include "plugins/gem-plugin.h"

/* Memory that grows to what the largest call needed. The engine thread is the only one that asks for it. */
typedef struct {
  void *data; /* aligned to GEM_PACKED_ALIGNMENT */
  size_t bytes;
} GemCpuScratch;

struct GemBackendState {
  const GemKernels *kernels;
  GemCpuPool *pool;
  GemCpuGroup *group;         /* that new matrices go to; NULL: none */
  bool fetched;               /* its pages are there before they are packed into */
  GemCpuKeeping keeping;      /* of packed matrices on disk */
  GemCpuScratch inputs;       /* of a matrix: levels, scales and sums */
  GemCpuScratch feed_forward; /* what lies between its matrices */
  GemCpuScratch attention;    /* groups of rows, as the kernels take them */
};

struct GemMatrix {
  GemPacked packed;
  uint8_t *data;      /* of `packed`; NULL: they are kept on disk */
  GemCpuGroup *group; /* whose memory that is; NULL: its own */
  GemCpuKept *kept;   /* what is mapped there; NULL: nothing */
};

/* At least that many bytes; what they held is lost. There is no way to fail: out of memory ends the process,
 * as it does for an allocation of the daemon's own. */
void *
gem_cpu_scratch_reserve(GemCpuScratch *self, size_t bytes);
void
gem_cpu_scratch_clear(GemCpuScratch *self);

/* ---- gem-cpu-matrix.c ---- */
GemMatrix *
gem_cpu_matrix_new(GemBackendState *self, const GemTensorView *tensor, GemPluginError *error);
void
gem_cpu_group_begin(GemBackendState *self, size_t bytes);
void
gem_cpu_group_finish(GemBackendState *self);
void
gem_cpu_matrix_free(GemBackendState *self, GemMatrix *matrix);
size_t
gem_cpu_matrix_bytes(const GemMatrix *matrix);
void
gem_cpu_matrix_row(GemBackendState *self, const GemMatrix *matrix, size_t row, float *values);

/* ---- gem-cpu-linear.c ---- */
void
gem_cpu_linear(GemBackendState *self,
               const GemMatrix *const *matrices,
               size_t count,
               const float *x,
               size_t n,
               float *const *y);

void
gem_cpu_linear_add(
    GemBackendState *self, const GemMatrix *matrix, const float *x, size_t n, float *product, float *y);

/* ---- gem-cpu-feed-forward.c ---- */
/* Rows that one pass of a feed-forward takes: enough to use each weight often, few enough for the caches. A
 * prompt's block with the rows of some answers beside it is one pass. */
enum { GEM_CPU_PASS_ROWS = 160 };

/* The rows of each pass over n but the last, which may have fewer: passes are about as large, since each
 * reads all weights. */
static inline size_t
gem_cpu_pass_rows(size_t n)
{
  size_t passes = (n + GEM_CPU_PASS_ROWS - 1) / GEM_CPU_PASS_ROWS;
  return passes < 2 ? n : (n + passes - 1) / passes;
}

void
gem_cpu_feed_forward(GemBackendState *self, const GemFeedForward *ffn, const float *x, size_t n, float *y);

/* ---- gem-cpu-rows.c ---- */
void
gem_cpu_rms_norm(
    GemBackendState *self, const float *x, const float *weight, size_t n, size_t d, float epsilon, float *y);
void
gem_cpu_rope(GemBackendState *self,
             float *x,
             const uint32_t *positions,
             size_t n,
             size_t heads,
             size_t head_dim,
             size_t rope_dim,
             float base);
void
gem_cpu_gelu(GemBackendState *self, float *x, size_t count);

/* ---- gem-cpu-attend.c ---- */
size_t
gem_cpu_kv_tile_bytes(GemBackendState *self, const GemKeyValueForm *form);
void
gem_cpu_kv_store(GemBackendState *self,
                 const GemKeyValueForm *form,
                 const float *keys,
                 const float *values,
                 size_t n,
                 uint8_t *const *tiles,
                 const uint8_t *places);
void
gem_cpu_kv_copy(GemBackendState *self,
                const GemKeyValueForm *form,
                const uint8_t *from,
                size_t from_place,
                uint8_t *to,
                size_t to_place);
void
gem_cpu_attend(GemBackendState *self,
               const GemKeyValueForm *form,
               size_t heads,
               const float *q,
               const GemKeyValueGroup *groups,
               size_t n_groups,
               float *out);
