#include "tests/gem-test-npu-machine.h"

#include <glib/gstdio.h>

#include "tests/gem-test-sys.h"

static char *no_namespace; /* why there is none */

void
gem_test_npu_machine_enter(void)
{
  no_namespace = gem_test_sys_enter();
}

void
gem_test_npu_machine_leave(void)
{
  g_clear_pointer(&no_namespace, g_free);
}

GemTestNpu *
gem_test_npu_machine_open(void)
{
  if (no_namespace != NULL) {
    g_test_skip(no_namespace);
    return NULL;
  }
  gem_test_sys_clear();
  return gem_test_npu_open();
}

void
gem_test_npu_machine_add(gboolean node)
{
  gem_test_sys_add_accelerator("accel0", "intel_vpu", "0x8086", "0x7d1d", node);
}

char *
gem_test_npu_machine_add_provider(GemTestNpu *npu, const char *options)
{
  const char *library = g_getenv("GEM_ORT_LIBRARY");
  if (npu == NULL) {
    return NULL;
  }
  if (library == NULL || *library == '\0') {
    g_test_skip("GEM_ORT_LIBRARY names no libonnxruntime: ./dev npu fetches one");
    return NULL;
  }
  g_autofree char *built = gem_test_build_path("tests", "npu-ort", "gem-test-provider.so", NULL);
  g_autofree char *contents = NULL;
  char *path = g_build_filename(npu->folder, "provider.so", NULL);
  g_autofree char *lines = g_strdup_printf("Library=%s\nProvider=GemTestProvider\nPath=%s\n%s", library, path,
                                           options != NULL ? options : "");
  gsize size;
  g_autoptr(GError) error = NULL;
  g_file_get_contents(built, &contents, &size, &error);
  g_assert_no_error(error);
  g_file_set_contents(path, contents, (gssize)size, &error);
  g_assert_no_error(error);
  g_assert_cmpint(g_chmod(path, 0755), ==, 0);
  gem_test_npu_set(npu, "a.conf", lines);
  return path;
}
