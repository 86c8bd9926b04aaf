#include "tests/gem-test-npu.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

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
