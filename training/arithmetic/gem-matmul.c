#include "training/arithmetic/gem-matmul.h"

#include <gio/gio.h>
#include <cblas.h>
#include <string.h>
#include <unistd.h>

#include "training/arithmetic/gem-matmul-amx.h"
#include "training/arithmetic/gem-matmul-vector.h"

/* OpenBLAS's own entry points; cblas.h of other BLAS libraries lacks them. */
void
openblas_set_num_threads(int threads);
char *
openblas_get_corename(void);
char *
openblas_get_config(void);

typedef enum {
  GEM_MATMUL_FP32,
  GEM_MATMUL_BF16_AMX,
  GEM_MATMUL_BF16_VECTOR,
} GemMatmulEngine;

static GemMatmulEngine engine = GEM_MATMUL_FP32;

static const char *
core_type_of_this_cpu(void)
{
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl")) {
    return "COOPERLAKE";
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    return "SKYLAKEX";
  }
#endif
  return NULL; /* OpenBLAS knows best */
}

void
gem_matmul_prepare_process(char **argv)
{
  const char *core_type = core_type_of_this_cpu();
  if (core_type != NULL && g_getenv("OPENBLAS_CORETYPE") == NULL &&
      g_setenv("OPENBLAS_CORETYPE", core_type, TRUE)) {
    g_setenv("OPENBLAS_NUM_THREADS", "1", FALSE);
    execv("/proc/self/exe", argv); /* returns on failure only: then at OpenBLAS's own choice */
  }
}

gboolean
gem_matmul_select(const char *name, GError **error)
{
  GemMatmulEngine bf16 = gem_matmul_amx_available() ? GEM_MATMUL_BF16_AMX : GEM_MATMUL_BF16_VECTOR;
  openblas_set_num_threads(1); /* its threads would spin beside the lanes */
  if (strcmp(name, "fp32") == 0) {
    engine = GEM_MATMUL_FP32;
  } else if (strcmp(name, "bf16") == 0 && gem_matmul_bf16_available()) {
    engine = bf16;
  } else if (strcmp(name, "auto") == 0) {
    engine = gem_matmul_amx_available() || gem_matmul_vector_is_worthwhile() ? bf16 : GEM_MATMUL_FP32;
  } else if (strcmp(name, "bf16") == 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                "--matmul=bf16: this CPU (or this build) cannot multiply bfloat16");
    return FALSE;
  } else {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--matmul=%s: expected auto, fp32 or bf16",
                name);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_matmul_is_rounded(void)
{
  return engine != GEM_MATMUL_FP32;
}

char *
gem_matmul_describe(void)
{
  const gsize m = 1024, n = 512, k = 256;
  g_autofree float *a = g_new0(float, m *k), *b = g_new0(float, n *k), *c = g_new0(float, m *n);
  gint64 best = G_MAXINT64, spent = 0;
  /* Once is enough where it is slow: an emulator takes seconds for it. */
  for (int round = 0; round < 5 && spent < 100000; round++) {
    gint64 start = g_get_monotonic_time();
    gem_matmul(FALSE, TRUE, m, n, k, a, k, b, k, FALSE, c, n);
    gint64 took = g_get_monotonic_time() - start;
    best = MIN(best, took);
    spent += took;
  }
  double gflops = 2.0 * (double)(m * n * k) / (double)MAX(best, 1) / 1e3;
  const char *how = engine == GEM_MATMUL_BF16_AMX      ? "bf16 on the tile unit"
                    : engine == GEM_MATMUL_BF16_VECTOR ? "bf16 in vectors"
                                                       : "fp32";
  return g_strdup_printf("matrix products: %s, %.0f Gflop/s a thread; %s, core type %s", how, gflops,
                         openblas_get_config(), openblas_get_corename());
}

void
gem_matmul(gboolean transpose_a,
           gboolean transpose_b,
           gsize m,
           gsize n,
           gsize k,
           const float *a,
           gsize lda,
           const float *b,
           gsize ldb,
           gboolean add,
           float *c,
           gsize ldc)
{
  if (m == 0 || n == 0 || (k == 0 && add)) {
    return;
  }
  if (k == 0) {
    for (gsize row = 0; row < m; row++) {
      memset(c + row * ldc, 0, n * sizeof(float));
    }
    return;
  }
  GemProduct product = {.transpose_a = transpose_a,
                        .transpose_b = transpose_b,
                        .m = m,
                        .n = n,
                        .k = k,
                        .a = a,
                        .lda = lda,
                        .b = b,
                        .ldb = ldb,
                        .add = add,
                        .c = c,
                        .ldc = ldc};
  if (engine == GEM_MATMUL_BF16_AMX) {
    gem_matmul_amx(&product);
  } else if (engine == GEM_MATMUL_BF16_VECTOR) {
    gem_matmul_vector(&product);
  } else {
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1.0f, a, (int)lda, b,
                (int)ldb, add ? 1.0f : 0.0f, c, (int)ldc);
  }
}
