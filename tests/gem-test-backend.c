#include "tests/gem-test-backend.h"

#include <stdio.h>

static struct {
  const GemBackendFunctions *real;
  guint matrices;
  size_t matrix_bytes;
  guint fail_in;
  GemTestAttendWatch watch;
  gpointer watch_data;
} looked_at;

static GemMatrix *
matrix_new(GemBackendState *state, const GemTensorView *tensor, GemPluginError *error)
{
  if (looked_at.fail_in > 0 && --looked_at.fail_in == 0) {
    snprintf(error->message, sizeof error->message, "out of room");
    return NULL;
  }
  GemMatrix *matrix = looked_at.real->matrix_new(state, tensor, error);
  if (matrix != NULL) {
    looked_at.matrices++;
    looked_at.matrix_bytes += looked_at.real->matrix_bytes(matrix);
  }
  return matrix;
}

static void
matrix_free(GemBackendState *state, GemMatrix *matrix)
{
  g_assert_nonnull(matrix);
  g_assert_cmpuint(looked_at.matrices, >, 0);
  looked_at.matrices--;
  looked_at.matrix_bytes -= looked_at.real->matrix_bytes(matrix);
  looked_at.real->matrix_free(state, matrix);
}

static void
attend(GemBackendState *state,
       const GemKeyValueForm *form,
       size_t heads,
       const float *q,
       const GemKeyValueGroup *groups,
       size_t n_groups,
       float *out)
{
  for (size_t g = 0; g < n_groups && looked_at.watch != NULL; g++) {
    looked_at.watch(form, &groups[g], looked_at.watch_data);
  }
  looked_at.real->attend(state, form, heads, q, groups, n_groups, out);
}

GemTestBackend *
gem_test_backend_open(void)
{
  GemTestBackend *self = g_new0(GemTestBackend, 1);
  self->module = gem_test_module_open(GEM_PLUGIN_BACKEND, "cpu");
  const GemBackendFunctions *real = gem_plugin_module_get(self->module)->functions;
  looked_at.real = real;
  self->functions = *real;
  self->functions.matrix_new = matrix_new;
  self->functions.matrix_free = matrix_free;
  self->functions.attend = attend;

  GemPluginError error = {""};
  self->backend =
      (GemBackend){.functions = &self->functions,
                   .state = real->open(
                       &(GemBackendOptions){.struct_size = sizeof(GemBackendOptions), .threads = 2}, &error)};
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(self->backend.state);
  return self;
}

void
gem_test_backend_close(GemTestBackend *self)
{
  g_assert_cmpuint(looked_at.matrices, ==, 0);
  looked_at.watch = NULL;
  looked_at.fail_in = 0;
  looked_at.real->close(self->backend.state);
  gem_plugin_module_close(self->module);
  g_free(self);
}

guint
gem_test_backend_matrices(void)
{
  return looked_at.matrices;
}

size_t
gem_test_backend_matrix_bytes(void)
{
  return looked_at.matrix_bytes;
}

void
gem_test_backend_fail_matrix(guint count)
{
  looked_at.fail_in = count;
}

void
gem_test_backend_watch_attend(GemTestAttendWatch watch, gpointer data)
{
  looked_at.watch = watch;
  looked_at.watch_data = data;
}
