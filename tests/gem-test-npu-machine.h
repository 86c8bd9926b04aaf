/*
 * Machines with an NPU, as far as /sys, /dev and ONNX Runtime's interface for providers say: gem-test-sys.h
 * has the first two, and tests/npu-ort the tests' own provider, which ONNX Runtime opens as it does those of
 * vendors.
 */
#pragma once

#include "tests/gem-test-npu.h"

/* First in main, before there is another thread; and at its end. */
void
gem_test_npu_machine_enter(void);
void
gem_test_npu_machine_leave(void);

/* Empties the machine. NULL, and the test is marked as skipped, where there is no namespace. */
GemTestNpu *
gem_test_npu_machine_open(void);
/* An NPU of Intel's, whose node is open if `node`. */
void
gem_test_npu_machine_add(gboolean node);
/* A copy of the tests' provider among the settings, with lines of options or NULL; transfer full. NULL, and
 * the test is marked as skipped, without ONNX Runtime or where npu is NULL. */
char *
gem_test_npu_machine_add_provider(GemTestNpu *npu, const char *options);
