/*
 * The CPU backend as modules under test get it, with a look at what they ask of it.
 */
#pragma once

#include "tests/gem-test-modules.h"

typedef struct {
  GemBackend backend; /* for a module's open */
  GemPluginModule *module;
  GemBackendFunctions functions; /* the module's own, but for those that are looked at */
} GemTestBackend;

/* One at a time: what is counted stands in static storage. */
GemTestBackend *
gem_test_backend_open(void);
/* Fails the test when matrices are left. */
void
gem_test_backend_close(GemTestBackend *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestBackend, gem_test_backend_close)

/* Matrices that were made and not freed. */
guint
gem_test_backend_matrices(void);
/* Bytes of those matrices, as the backend states them. */
size_t
gem_test_backend_matrix_bytes(void);
/* The count-th matrix from now on cannot be made ("out of room"); 0: all can. */
void
gem_test_backend_fail_matrix(guint count);

/* Called for every group of rows that attend. NULL: not wanted. */
typedef void (*GemTestAttendWatch)(const GemKeyValueForm *form, const GemKeyValueGroup *group, gpointer data);
void
gem_test_backend_watch_attend(GemTestAttendWatch watch, gpointer data);
