/*
 * The matrix products of training, in single precision, row-major, on the calling thread alone (training is
 * parallel over sequences, so every product runs on one core).
 *
 * Two kinds: "fp32", by the BLAS that the program is linked with, and "bf16", products of operands rounded to
 * bfloat16 and summed in single precision, on the CPU's tile unit or in its vectors. The second is used where
 * it is faster (docs/training.md has the measurements), and never serves a gradient check.
 */
#pragma once

#include <glib.h>

/* Picks the OpenBLAS core type from the CPU's flags; must run before OpenBLAS is loaded, so it re-executes
 * the program once with OPENBLAS_CORETYPE set when the variable is missing. Returns when nothing is to be
 * done. */
void
gem_matmul_prepare_process(char **argv);

/* Chooses the engine for the process: "auto", "fp32" or "bf16"; before the first product. FALSE: an unknown
 * name, or bf16 where there is none. */
gboolean
gem_matmul_select(const char *name, GError **error);

/* Whether operands are rounded to bfloat16. */
gboolean
gem_matmul_is_rounded(void);

/* One line: the library, its core type, the engine, and its speed on this machine in Gflop/s for a typical
 * shape. Transfer full. */
char *
gem_matmul_describe(void);

/* C[m][n] = A B + (add ? C : 0), where A is [m][k], or stored transposed as [k][m] when transpose_a, and B is
 * [k][n], or stored as [n][k] when transpose_b. lda, ldb, ldc: floats between rows as stored. */
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
           gsize ldc);
