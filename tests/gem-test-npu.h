/*
 * backends/npu-ort as the service opens it, with a folder of settings that the test writes. ONNX Runtime is
 * used where the environment variable GEM_ORT_LIBRARY names libonnxruntime; tests that need it are skipped
 * without.
 */
#pragma once

#include "tests/gem-test-modules.h"
#include "tests/gem-test-source.h"

typedef struct {
  GemPluginModule *module;
  const GemBackendFunctions *functions;
  char *folder; /* of settings; GEM_NPU_ORT_DIR names it */
} GemTestNpu;

/* Opens the module with an empty folder of settings. */
GemTestNpu *
gem_test_npu_open(void);
void
gem_test_npu_close(GemTestNpu *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestNpu, gem_test_npu_close)

/* Writes a file of settings; returns its path, owned by self. NULL `lines` removes it. */
void
gem_test_npu_set(GemTestNpu *self, const char *name, const char *lines);

/* Settings that let pathways run on ONNX Runtime's CPU provider; FALSE, and the test is marked as skipped,
 * without GEM_ORT_LIBRARY. */
gboolean
gem_test_npu_allow_cpu(GemTestNpu *self);

/* The probe says `expected`, and probe and open both give the reason, in one line. */
void
gem_test_npu_assert_declines(const GemTestNpu *npu, GemProbeResult expected, const char *reason);

/* What backend cpu adds to y [n][rows of down], from x [n][columns of gate]. */
void
gem_test_npu_run_on_cpu(const GemFeedForwardTensors *tensors, const float *x, gsize n, float *y);

/* |y - expected| / |expected - start|, over n values; NULL for a start of zeros. */
double
gem_test_npu_relative_error(const float *y, const float *expected, const float *start, gsize n);

/* Of this process, freed memory given back to the system first. */
gsize
gem_test_npu_resident_bytes(void);
