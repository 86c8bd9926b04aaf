#include "tests/gem-test-npu.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-backend.h"

GemTestNpu *
gem_test_npu_open(void)
{
  g_autoptr(GError) error = NULL;
  GemTestNpu *self = g_new0(GemTestNpu, 1);
  self->folder = g_dir_make_tmp("gem-test-XXXXXX", &error);
  g_assert_no_error(error);
  g_setenv("GEM_NPU_ORT_DIR", self->folder, TRUE);
  g_setenv("ORT_DISABLE_TELEMETRY", "1", TRUE);
  self->module = gem_test_module_open(GEM_PLUGIN_BACKEND, "npu-ort");
  self->functions = gem_plugin_module_get(self->module)->functions;
  return self;
}

void
gem_test_npu_close(GemTestNpu *self)
{
  g_autoptr(GDir) dir = g_dir_open(self->folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
    g_autofree char *path = g_build_filename(self->folder, name, NULL);
    g_unlink(path);
  }
  g_rmdir(self->folder);
  g_free(self->folder);
  gem_plugin_module_close(self->module);
  g_free(self);
}

void
gem_test_npu_set(GemTestNpu *self, const char *name, const char *lines)
{
  g_autofree char *path = g_build_filename(self->folder, name, NULL);
  if (lines == NULL) {
    g_unlink(path);
  } else {
    g_autoptr(GError) error = NULL;
    g_file_set_contents(path, lines, -1, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_chmod(path, 0600), ==, 0);
  }
}

gboolean
gem_test_npu_allow_cpu(GemTestNpu *self)
{
  const char *library = g_getenv("GEM_ORT_LIBRARY");
  if (library == NULL || *library == '\0') {
    g_test_skip("GEM_ORT_LIBRARY names no libonnxruntime: ./dev npu fetches one");
    return FALSE;
  }
  g_autofree char *lines = g_strdup_printf("Library=%s\nAllowCpu=yes\n", library);
  gem_test_npu_set(self, "cpu.conf", lines);
  return TRUE;
}

void
gem_test_npu_assert_declines(const GemTestNpu *npu, GemProbeResult expected, const char *reason)
{
  GemProbeReport report = {0};
  GemPluginError error = {""};
  const GemBackendOptions options = {.struct_size = sizeof options};
  g_assert_cmpint(npu->functions->probe(&report), ==, expected);
  g_test_message("declined: %s", report.reason);
  g_assert_nonnull(strstr(report.reason, reason));
  g_assert_null(strchr(report.reason, '\n'));
  g_assert_null(npu->functions->open(&options, &error));
  g_assert_nonnull(strstr(error.message, reason));
}

void
gem_test_npu_run_on_cpu(const GemFeedForwardTensors *tensors, const float *x, gsize n, float *y)
{
  g_autoptr(GemTestBackend) test = gem_test_backend_open();
  const GemBackend *backend = &test->backend;
  GemPluginError error = {""};
  const GemFeedForward ffn = {.gate = backend->functions->matrix_new(backend->state, &tensors->gate, &error),
                              .up = backend->functions->matrix_new(backend->state, &tensors->up, &error),
                              .down = backend->functions->matrix_new(backend->state, &tensors->down, &error)};
  g_assert_cmpstr(error.message, ==, "");
  backend->functions->feed_forward(backend->state, &ffn, x, n, y);
  backend->functions->matrix_free(backend->state, (GemMatrix *)ffn.gate);
  backend->functions->matrix_free(backend->state, (GemMatrix *)ffn.up);
  backend->functions->matrix_free(backend->state, (GemMatrix *)ffn.down);
}

double
gem_test_npu_relative_error(const float *y, const float *expected, const float *start, gsize n)
{
  double difference = 0.0, norm = 0.0;
  for (gsize i = 0; i < n; i++) {
    difference += pow((double)y[i] - (double)expected[i], 2.0);
    norm += pow((double)expected[i] - (start != NULL ? (double)start[i] : 0.0), 2.0);
  }
  return sqrt(difference / norm);
}

gsize
gem_test_npu_resident_bytes(void)
{
  g_autofree char *line = NULL;
  unsigned long pages = 0;
  malloc_trim(0);
  g_assert_true(g_file_get_contents("/proc/self/statm", &line, NULL, NULL));
  g_assert_cmpint(sscanf(line, "%*u %lu", &pages), ==, 1);
  return pages * (gsize)sysconf(_SC_PAGESIZE);
}
