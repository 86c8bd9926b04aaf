/*
 * backends/npu-ort: what it declines and how it says so; and, where there is an ONNX Runtime, every pathway
 * graph on its CPU provider against the reference kernels, for every block type.
 */
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/gem-test-backend.h"
#include "tests/gem-test-npu.h"
#include "tests/gem-test-sockets.h"

#define LAYERS 2
#define WIDTH  256

/* Relative, in the norm. */
#define TOLERANCE 5e-3

static const GemType types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K, GEM_TYPE_Q4_0};

/* ---- without a library ---- */

static gboolean
has_own_npu(void)
{
  return g_file_test("/sys/class/accel/accel0", G_FILE_TEST_EXISTS);
}

/* One that the linker finds: it is taken where the settings name none that is right. */
static gboolean
has_own_library(void)
{
  void *handle = dlopen("libonnxruntime.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle != NULL) {
    dlclose(handle);
    g_test_skip("this machine has an ONNX Runtime of its own");
  }
  return handle != NULL;
}

static void
test_no_npu(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (has_own_npu()) {
    gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "has no provider");
  } else {
    gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED, "this machine has no NPU");
  }
}

static void
test_library(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (has_own_npu()) {
    g_test_skip("this machine has an NPU");
    return;
  }
  if (has_own_library()) {
    return;
  }
  gem_test_npu_set(npu, "a.conf", "AllowCpu=yes\nLibrary=/nowhere/libonnxruntime.so.1\n");
  gem_test_npu_assert_declines(
      npu, GEM_PROBE_UNSUPPORTED,
      "/nowhere/libonnxruntime.so.1: No such file or directory; libonnxruntime.so.1: ");
  g_autofree char *broken = g_build_filename(npu->folder, "broken.so", NULL);
  g_assert_true(g_file_set_contents(broken, "not a library", -1, NULL));
  g_autofree char *lines = g_strdup_printf("AllowCpu=yes\nLibrary=%s\n", broken);
  gem_test_npu_set(npu, "a.conf", lines);
  gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED, "broken.so");
  /* What a link leads to was looked at: that is opened, and not where the link leads by then. */
  g_autofree char *link = g_build_filename(npu->folder, "link.so", NULL);
  g_assert_cmpint(symlink(broken, link), ==, 0);
  g_autofree char *through_link = g_strdup_printf("AllowCpu=yes\nLibrary=%s\n", link);
  gem_test_npu_set(npu, "a.conf", through_link);
  g_autofree char *file = realpath(broken, NULL), *reason = g_strconcat(file, ": ", NULL);
  gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED, reason);
}

/* What the settings name is not the only one that is tried. */
static void
test_library_by_soname(void)
{
  const char *library = g_getenv("GEM_ORT_LIBRARY");
  if (library == NULL || *library == '\0' || !g_str_has_suffix(library, "/libonnxruntime.so.1")) {
    g_test_skip("GEM_ORT_LIBRARY names no libonnxruntime.so.1: ./dev npu fetches one");
    return;
  }
  if (!g_test_subprocess()) { /* the linker reads the variable once */
    g_autofree char *folder = g_path_get_dirname(library);
    g_setenv("LD_LIBRARY_PATH", folder, TRUE);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_unsetenv("LD_LIBRARY_PATH");
    g_test_trap_assert_passed();
    return;
  }
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  GemProbeReport report = {0};
  gem_test_npu_set(npu, "a.conf", "AllowCpu=yes\nLibrary=/nowhere/libonnxruntime.so.1\n");
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  g_assert_nonnull(strstr(report.kernels, "ONNX Runtime 1."));
}

/* A provider that is named stands for an NPU, which may come later. */
static void
test_provider_without_npu(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (has_own_library()) {
    return;
  }
  gem_test_npu_set(npu, "a.conf", "Library=/nowhere/libonnxruntime.so.1\nProvider=A\nPath=/nowhere/a.so\n");
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "/nowhere/libonnxruntime.so.1");
}

/* With an ONNX Runtime: a provider's library that is not there is named, and the CPU provider does not step
 * in unless the settings allow it. */
static void
test_provider_absent(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (has_own_npu()) {
    g_test_skip("this machine has an NPU");
    return;
  }
  if (!gem_test_npu_allow_cpu(npu)) {
    return;
  }
  g_autofree char *lines =
      g_strdup_printf("Library=%s\nProvider=A\nPath=/nowhere/a.so\n", g_getenv("GEM_ORT_LIBRARY"));
  gem_test_npu_set(npu, "cpu.conf", lines);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED,
                               "the providers of the settings have no NPU: /nowhere/a.so: No such file");
  gem_test_npu_set(npu, "more.conf", "AllowCpu=yes\n");
  GemProbeReport report = {0};
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  g_assert_nonnull(strstr(report.kernels, "CPUExecutionProvider"));
}

/* Libraries that are there, and are not what is needed: another one, and an ONNX Runtime of another day. */
static void
test_library_unfit(void)
{
  static const struct {
    const char *name, *reason;
  } libraries[] = {
      {"not-onnx-runtime", "has no OrtGetApiBase"},
      {"old-onnx-runtime", "is ONNX Runtime 1.16.3, which is too old: 1.17 or newer of 1.x is needed"},
      {"strange-onnx-runtime", "is ONNX Runtime 2.0.0, which is not known: 1.17 or newer of 1.x"},
  };
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (has_own_library()) {
    return;
  }
  for (gsize i = 0; i < G_N_ELEMENTS(libraries); i++) {
    g_autofree char *lines = g_strdup_printf("AllowCpu=yes\nLibrary=%s/tests/npu-ort/lib%s.so\n",
                                             g_getenv("GEM_BUILD_DIR"), libraries[i].name);
    gem_test_npu_set(npu, "a.conf", lines);
    gem_test_npu_assert_declines(npu, has_own_npu() ? GEM_PROBE_DEFERRED : GEM_PROBE_UNSUPPORTED,
                                 libraries[i].reason);
  }
}

static void
test_telemetry_must_be_off(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  gem_test_npu_set(npu, "a.conf", "AllowCpu=yes\n");
  for (guint i = 0; i < 2; i++) {
    if (i == 0) {
      g_unsetenv("ORT_DISABLE_TELEMETRY");
    } else {
      g_setenv("ORT_DISABLE_TELEMETRY", "0", TRUE);
    }
    gem_test_npu_assert_declines(npu, has_own_npu() ? GEM_PROBE_DEFERRED : GEM_PROBE_UNSUPPORTED,
                                 "ORT_DISABLE_TELEMETRY=1");
  }
}

static void
test_settings(void)
{
  static const struct {
    const char *lines, *reason;
  } files[] = {
      {"Libary=/a\n", "a.conf: line 1 is not understood"},
      {"# a comment\n\n  Library=relative.so\n", "a.conf: line 3"},
      {"AllowCpu=perhaps\n", "line 1"},
      {"Library\n", "line 1"},
      {"Path=/a.so\n", "line 1"},
      {"Option=a:b\n", "line 1"},
      {"Provider=\n", "line 1"},
      {"Provider=A\nPath=/a.so\nOption=ab\n", "line 3"},
      {"Provider=A\nPath=/a.so\nOption=:b\n", "line 3"},
      {"Provider=A\n", "Provider=A has no Path"},
      {"Provider=A\nPath=/a.so\nProvider=B\n", "Provider=B has no Path"},
  };
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
    gem_test_npu_set(npu, "a.conf", files[i].lines);
    gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED, files[i].reason);
  }
  g_autofree char *path = g_build_filename(npu->folder, "a.conf", NULL);
  gem_test_npu_set(npu, "a.conf", "AllowCpu=yes\n");
  g_assert_cmpint(g_chmod(path, 0620), ==, 0);
  gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED,
                               "a.conf must belong to root and be writable by root alone");
  g_assert_cmpint(g_chmod(path, 0600), ==, 0);
  g_assert_cmpint(g_chmod(npu->folder, 0777), ==, 0);
  gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED, "must belong to root");
  g_assert_cmpint(g_chmod(npu->folder, 0700), ==, 0);
}

/* ---- on ONNX Runtime's CPU provider ---- */

/* A pathway in the file's form, in the device's, and as matrices of the reference kernels. */
typedef struct {
  const GemTestNpu *npu;
  GemBackendState *state;
  GemTestBackend *reference;
  GemTestSource *source;
  GemFeedForwardTensors layers[LAYERS];
  GemFeedForward matrices[LAYERS];
  GemCompiled *compiled;
} Scene;

static GemTensorView
add_tensor(GemTestSource *source, guint layer, const char *part, GemType type, size_t rows, size_t cols)
{
  GemTensorView view;
  g_autofree char *name = g_strdup_printf("%s.%u", part, layer);
  gem_test_source_add(source, name, type, rows, cols, 0.0, 0.1);
  g_assert_true(source->source.find_tensor(source->source.context, name, &view));
  return view;
}

static const GemMatrix *
reference_matrix(const Scene *self, const GemTensorView *view)
{
  GemPluginError error = {""};
  const GemBackend *backend = &self->reference->backend;
  const GemMatrix *matrix = backend->functions->matrix_new(backend->state, view, &error);
  g_assert_cmpstr(error.message, ==, "");
  return matrix;
}

static void
open_pathway(Scene *self, GemType type, size_t hidden)
{
  GemPluginError error = {""};
  self->source = gem_test_source_new("pathway-test.gguf", 11);
  for (guint l = 0; l < LAYERS; l++) {
    GemFeedForwardTensors *layer = &self->layers[l];
    layer->gate = add_tensor(self->source, l, "gate", type, hidden, WIDTH);
    layer->up = add_tensor(self->source, l, "up", type, hidden, WIDTH);
    layer->down = add_tensor(self->source, l, "down", type, WIDTH, hidden);
    self->matrices[l] = (GemFeedForward){.gate = reference_matrix(self, &layer->gate),
                                         .up = reference_matrix(self, &layer->up),
                                         .down = reference_matrix(self, &layer->down)};
  }
  const GemPathwayTensors tensors = {.name = "test", .layers = LAYERS, .feed_forwards = self->layers};
  self->compiled = self->npu->functions->compile(self->state, &tensors, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(self->compiled);
}

static void
close_pathway(Scene *self)
{
  const GemBackend *backend = &self->reference->backend;
  for (guint l = 0; l < LAYERS; l++) {
    backend->functions->matrix_free(backend->state, (GemMatrix *)self->matrices[l].gate);
    backend->functions->matrix_free(backend->state, (GemMatrix *)self->matrices[l].up);
    backend->functions->matrix_free(backend->state, (GemMatrix *)self->matrices[l].down);
  }
  self->npu->functions->compiled_free(self->state, self->compiled);
  gem_test_source_free(self->source);
}

static void
check_rows(const Scene *self, const char *what, size_t n)
{
  const GemBackend *backend = &self->reference->backend;
  g_autoptr(GRand) random = g_rand_new_with_seed((guint32)n);
  g_autofree float *x = gem_test_random_floats(random, n * WIDTH, 2.0);
  g_autofree float *start = gem_test_random_floats(random, n * WIDTH, 1.0);
  for (guint layer = 0; layer < LAYERS; layer++) {
    GemPluginError error = {""};
    g_autofree float *y = g_memdup2(start, n * WIDTH * sizeof *y);
    g_autofree float *expected = g_memdup2(start, n * WIDTH * sizeof *expected);
    g_assert_true(self->npu->functions->run(self->state, self->compiled, layer, x, n, y, &error));
    g_assert_cmpstr(error.message, ==, "");
    backend->functions->feed_forward(backend->state, &self->matrices[layer], x, n, expected);
    double relative = gem_test_npu_relative_error(y, expected, start, n * WIDTH);
    g_test_message("%s, %zu rows, layer %u: relative error %.2e", what, n, layer, relative);
    g_assert_cmpfloat(relative, <, TOLERANCE);
  }
}

/* The widths of the presets' feed-forwards; rows of Q6_K are multiples of 256. */
static void
check_type(Scene *self, GemType type)
{
  static const size_t widths[] = {512, 1024, 224, 416}, rows[] = {1, 2, 64, 65, 200};
  for (gsize w = 0; w < G_N_ELEMENTS(widths); w++) {
    if (gem_type_row_bytes(type, widths[w]) == 0) {
      continue;
    }
    g_autofree char *what = g_strdup_printf("%s, %zu wide", gem_type_name(type), widths[w]);
    open_pathway(self, type, widths[w]);
    g_assert_cmpuint(self->npu->functions->compiled_bytes(self->compiled), >,
                     LAYERS * 3 * WIDTH * gem_type_row_bytes(type, widths[w]));
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
      check_rows(self, what, rows[i]);
    }
    close_pathway(self);
  }
}

static void
scene_open(Scene *self, const GemTestNpu *npu)
{
  const GemBackendOptions options = {.struct_size = sizeof options};
  GemPluginError error = {""};
  *self = (Scene){.npu = npu};
  self->state = npu->functions->open(&options, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_autofree char *kernels = g_strdup(g_getenv("GEM_CPU_KERNELS"));
  g_setenv("GEM_CPU_KERNELS", "reference", TRUE);
  self->reference = gem_test_backend_open();
  if (kernels != NULL) {
    g_setenv("GEM_CPU_KERNELS", kernels, TRUE);
  } else {
    g_unsetenv("GEM_CPU_KERNELS");
  }
}

static void
scene_close(Scene *self)
{
  gem_test_backend_close(self->reference);
  self->npu->functions->close(self->state);
}

static guint
count_open_sockets(void)
{
  guint n = 0;
  g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
  for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
    g_autofree char *path = g_build_filename("/proc/self/fd", name, NULL);
    g_autofree char *target = g_file_read_link(path, NULL);
    n += target != NULL && g_str_has_prefix(target, "socket:") ? 1 : 0;
  }
  return n;
}

static gboolean
is_empty_folder(const char *path)
{
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  return g_dir_read_name(dir) == NULL;
}

/* Nothing is written where programs keep their things, and nobody is spoken to: in a process of its own, in
 * which every attempt to make a socket is counted from the start. */
static void
test_no_reports(void)
{
  static const char *const places[] = {"HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR"};
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (!gem_test_npu_allow_cpu(npu)) {
    return;
  }
  if (!g_test_subprocess()) {
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
    return;
  }
  gboolean counts = gem_test_sockets_forbid();
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *before[G_N_ELEMENTS(places)] = {0};
  for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
    before[i] = g_strdup(g_getenv(places[i]));
    g_setenv(places[i], folder, TRUE);
  }
  guint sockets = count_open_sockets();
  Scene scene;
  scene_open(&scene, npu);
  open_pathway(&scene, GEM_TYPE_Q4_0, 224);
  check_rows(&scene, "no reports", 2);
  g_usleep(G_USEC_PER_SEC); /* what reports does so in the background */
  g_assert_cmpuint(count_open_sockets(), ==, sockets);
  close_pathway(&scene);
  scene_close(&scene);
  if (counts) {
    g_assert_cmpuint(gem_test_sockets_count(), ==, 0);
    g_assert_cmpint(socket(AF_UNIX, SOCK_STREAM, 0), ==, -1); /* one that is made is seen */
    g_assert_cmpuint(gem_test_sockets_count(), ==, 1);
  }
  g_assert_true(is_empty_folder(folder));
  for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
    if (before[i] != NULL) {
      g_setenv(places[i], before[i], TRUE);
    } else {
      g_unsetenv(places[i]);
    }
    g_free(g_steal_pointer(&before[i]));
  }
  gem_test_folder_remove(folder);
}

/* What a pathway took is given back when it goes: coming and going does not add up. */
static void
test_gives_memory_back(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (!gem_test_npu_allow_cpu(npu)) {
    return;
  }
  Scene scene;
  scene_open(&scene, npu);
  open_pathway(&scene, GEM_TYPE_Q8_0, 4096);
  gsize taken = npu->functions->compiled_bytes(scene.compiled);
  close_pathway(&scene);
  gsize once = gem_test_npu_resident_bytes();
  for (guint i = 0; i < 32; i++) {
    open_pathway(&scene, GEM_TYPE_Q8_0, 4096);
    close_pathway(&scene);
  }
  gsize often = gem_test_npu_resident_bytes();
  g_test_message("%zu bytes a pathway; %zu resident after one, %zu after 33", taken, once, often);
  g_assert_cmpuint(often, <, once + taken / 2);
  scene_close(&scene);
}

static void
test_pathways(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (!gem_test_npu_allow_cpu(npu)) {
    return;
  }
  GemProbeReport report = {0};
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  g_test_message("%s, %s", report.device, report.kernels);
  g_assert_nonnull(strstr(report.kernels, "CPUExecutionProvider"));
  Scene scene;
  scene_open(&scene, npu);
  for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
    check_type(&scene, types[t]);
  }
  scene_close(&scene);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/npu-ort/no-npu", test_no_npu);
  g_test_add_func("/npu-ort/library", test_library);
  g_test_add_func("/npu-ort/library-by-soname", test_library_by_soname);
  g_test_add_func("/npu-ort/provider-without-npu", test_provider_without_npu);
  g_test_add_func("/npu-ort/library-unfit", test_library_unfit);
  g_test_add_func("/npu-ort/telemetry-must-be-off", test_telemetry_must_be_off);
  g_test_add_func("/npu-ort/settings", test_settings);
  g_test_add_func("/npu-ort/no-reports", test_no_reports);
  g_test_add_func("/npu-ort/provider-absent", test_provider_absent);
  g_test_add_func("/npu-ort/pathways", test_pathways);
  g_test_add_func("/npu-ort/gives-memory-back", test_gives_memory_back);
  return g_test_run();
}
