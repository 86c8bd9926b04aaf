/*
 * backends/npu-ort on machines with an NPU: what it finds and how it says so, which providers it takes, and
 * the service on one.
 */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "daemon/base/gem-log.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-npu-machine.h"
#include "tests/gem-test-patience.h"
#include "tests/gem-test-sys.h"

/* ---- without ONNX Runtime ---- */

static void
test_no_npu(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  if (npu != NULL) {
    gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED, "this machine has no NPU");
  }
}

/* Exactly that: whether there is an ONNX Runtime does not come into it. */
static void
test_no_provider(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  if (npu == NULL) {
    return;
  }
  gem_test_npu_machine_add(TRUE);
  gem_test_sys_add_accelerator("accel1", "amdxdna", "0x1022", "0x1502", TRUE);
  gem_test_npu_set(npu, "a.conf", "Library=/nowhere/libonnxruntime.so.1\n");
  GemProbeReport report = {0};
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_DEFERRED);
  g_assert_cmpstr(
      report.reason, ==,
      "NPU /dev/accel/accel0 (driver intel_vpu) has no provider: no file of the settings names one");
  g_assert_cmpstr(report.device, ==, "NPU");
}

/* One that is closed to the service does not hide another. */
static void
test_second_node(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  if (npu == NULL) {
    return;
  }
  gem_test_npu_machine_add(FALSE);
  gem_test_sys_add_accelerator("accel1", "amdxdna", "0x1022", "0x1502", TRUE);
  gem_test_npu_assert_declines(
      npu, GEM_PROBE_DEFERRED,
      "NPU /dev/accel/accel1 (driver amdxdna) has no provider: no file of the settings names one");
}

/* The unit keeps devices from the service unless a drop-in lets it have them. */
static void
test_closed_node(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  if (npu == NULL) {
    return;
  }
  gem_test_npu_machine_add(FALSE);
  gem_test_npu_set(npu, "a.conf", "Provider=A\nPath=/nowhere/a.so\n");
  gem_test_npu_assert_declines(
      npu, GEM_PROBE_DEFERRED,
      "NPU /dev/accel/accel0 (driver intel_vpu) is closed to the service: No such file or directory; "
      "see drop-in npu.conf");
}

/* ---- with ONNX Runtime: which libraries of providers it takes ---- */

static void
test_unsafe_provider(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  g_autofree char *reason =
      g_strdup_printf("NPU /dev/accel/accel0: %s must belong to root and be writable by root alone", path);
  gem_test_npu_machine_add(TRUE);
  g_assert_cmpint(g_chmod(path, 0757), ==, 0);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, reason);
  g_assert_cmpint(g_chmod(path, 0775), ==, 0);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, reason);
  g_assert_cmpint(g_chmod(path, 0755), ==, 0);
  if (geteuid() == 0 && chown(path, 4242, 0) == 0) {
    gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, reason);
    g_assert_cmpint(chown(path, 0, 0), ==, 0);
  }
  g_autofree char *outside = gem_test_folder_new(), *moved = g_build_filename(outside, "provider.so", NULL);
  g_assert_cmpint(g_rename(path, moved), ==, 0);
  g_assert_cmpint(symlink(moved, path), ==, 0); /* a link says nothing: what it leads to is looked at */
  g_assert_cmpint(g_chmod(outside, 0777), ==, 0);
  g_autofree char *folder_reason = g_strdup_printf("NPU /dev/accel/accel0: %s must belong to root", outside);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, folder_reason);

  g_autofree char *inner =
      g_build_filename(outside, "inner", NULL); /* nor is any folder above it passed over */
  g_autofree char *deep = g_build_filename(inner, "provider.so", NULL);
  g_assert_cmpint(g_mkdir(inner, 0755), ==, 0);
  g_assert_cmpint(g_rename(moved, deep), ==, 0);
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_assert_cmpint(symlink(deep, path), ==, 0);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, folder_reason);
  g_assert_cmpint(g_chmod(outside, 01777), ==, 0); /* as /tmp */
  GemProbeReport report = {0};
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  gem_test_folder_remove(outside);
}

static void
test_broken_provider(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  gem_test_npu_machine_add(TRUE);
  g_assert_true(g_file_set_contents(path, "not a library", -1, NULL));
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "provider GemTestProvider (/");
  g_autofree char *other =
      g_build_filename(g_getenv("GEM_BUILD_DIR"), "tests", "npu-ort", "libnot-onnx-runtime.so", NULL);
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_assert_cmpint(symlink(other, path), ==, 0); /* a library, and no provider */
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "provider GemTestProvider (/");
  g_autofree char *folder = gem_test_folder_new(), *broken = g_build_filename(folder, "a.so", NULL);
  g_assert_true(g_file_set_contents(broken, "not a library", -1, NULL));
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_assert_cmpint(symlink(broken, path), ==, 0); /* what was looked at is opened, and not the link */
  g_autofree char *file = realpath(broken, NULL);
  g_autofree char *reason = g_strdup_printf("provider GemTestProvider (%s)", file);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, reason);
  gem_test_folder_remove(folder);
}

static void
test_found(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  GemProbeReport report = {0};
  gem_test_npu_machine_add(TRUE);
  gem_test_sys_set_version("accel0", "1.2.3");
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  g_test_message("%s, %s", report.device, report.kernels);
  g_assert_cmpstr(report.device, ==, "/dev/accel/accel0 (intel_vpu, 1.2.3)");
  g_assert_true(g_str_has_prefix(report.kernels, "ONNX Runtime 1."));
  g_assert_true(g_str_has_suffix(report.kernels, ", GemTestProvider 1.0.0, channels"));
}

/* ---- the service on it ---- */

static GPtrArray *refusals; /* char*: what the log has under GEM_LOG_DEVICE_REFUSED */
static GMutex refusals_mutex;

static GLogWriterOutput
keep_refusals(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  const char *message = "", *id = "";
  for (gsize i = 0; i < n; i++) {
    message = g_str_equal(fields[i].key, "MESSAGE") ? fields[i].value : message;
    id = g_str_equal(fields[i].key, "MESSAGE_ID") ? fields[i].value : id;
  }
  if (g_str_equal(id, GEM_LOG_DEVICE_REFUSED)) {
    g_mutex_lock(&refusals_mutex);
    g_ptr_array_add(refusals, g_strdup(message));
    g_mutex_unlock(&refusals_mutex);
  }
  return g_log_writer_default(level, fields, n, data);
}

/* What the engine writes with that backend (NULL: its own choice), and whether the general pathway ran on a
 * device in the end. */
static char *
generate(const char *backend, gboolean *ret_on_device)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  test->config.backend = backend;
  gem_test_engine_start(test);
  char *text = gem_test_greedy(test->engine, "the quick brown fox", 24, NULL);
  g_autoptr(GemPathwayInfo) general = gem_engine_get_pathway(test->engine, "general");
  *ret_on_device = g_strcmp0(general->backend, "npu-ort") == 0;
  return text;
}

static void
test_service_whole(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  gboolean on_device;
  g_ptr_array_set_size(refusals, 0);
  gem_test_npu_machine_add(TRUE);
  g_autofree char *text = generate("npu-ort", &on_device);
  g_assert_true(on_device);
  g_assert_cmpuint(refusals->len, ==, 0);
  g_assert_cmpstr(text, !=, "");
}

/* Backend cpu serves on, as if there were no device; the log says why, once for each pathway. */
static void
test_service_refused(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, "Option=behaviour:some\n");
  if (path == NULL) {
    return;
  }
  gboolean on_device;
  gem_test_npu_machine_add(TRUE);
  g_autofree char *expected = generate("cpu", &on_device);
  g_assert_false(on_device);
  g_ptr_array_set_size(refusals, 0);
  g_autofree char *text = generate("npu-ort", &on_device);
  g_assert_false(on_device);
  g_assert_cmpstr(text, ==, expected);
  guint general = 0;
  for (guint i = 0; i < refusals->len; i++) {
    const char *line = refusals->pdata[i];
    g_test_message("%s", line);
    g_assert_null(strchr(line, '\n'));
    general += g_str_has_prefix(line, "pathway general does not run on the device: ") ? 1 : 0;
  }
  g_assert_cmpuint(general, ==, 1);
}

int
main(int argc, char **argv)
{
  gem_test_npu_machine_enter();
  refusals = g_ptr_array_new_with_free_func(g_free);
  g_log_set_writer_func(keep_refusals, NULL, NULL);
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/npu-discovery/no-npu", test_no_npu);
  g_test_add_func("/npu-discovery/no-provider", test_no_provider);
  g_test_add_func("/npu-discovery/closed-node", test_closed_node);
  g_test_add_func("/npu-discovery/second-node", test_second_node);
  g_test_add_func("/npu-discovery/found", test_found);
  g_test_add_func("/npu-discovery/unsafe-provider", test_unsafe_provider);
  g_test_add_func("/npu-discovery/broken-provider", test_broken_provider);
  g_test_add_func("/npu-discovery/service-whole", test_service_whole);
  g_test_add_func("/npu-discovery/service-refused", test_service_refused);
  int status = g_test_run();
  g_ptr_array_unref(refusals);
  gem_test_npu_machine_leave();
  return status;
}
