/*
 * backends/npu-ort on machines with an NPU, as far as /sys, /dev and ONNX Runtime's interface for providers
 * say: what it finds and how it says so; and, where there is an ONNX Runtime, pathways on the tests' own
 * provider (tests/npu-ort), which ONNX Runtime opens as it does those of vendors.
 */
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "daemon/gem-log.h"
#include "tests/gem-test-backend.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-npu.h"
#include "tests/gem-test-patience.h"
#include "tests/gem-test-sys.h"

#define LAYERS 2
#define WIDTH  256
#define HIDDEN 416
#define ROWS   70 /* more than a block */

static char *no_namespace; /* why there is none */

/* Empties the machine. NULL, and the test is marked as skipped, where there is no namespace. */
static GemTestNpu *
open_machine(void)
{
  if (no_namespace != NULL) {
    g_test_skip(no_namespace);
    return NULL;
  }
  gem_test_sys_clear();
  return gem_test_npu_open();
}

static void
add_npu(gboolean node)
{
  gem_test_sys_add_accelerator("accel0", "intel_vpu", "0x8086", "0x7d1d", node);
}

/* ---- without ONNX Runtime ---- */

static void
test_no_npu(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  if (npu != NULL) {
    gem_test_npu_assert_declines(npu, GEM_PROBE_UNSUPPORTED, "this machine has no NPU");
  }
}

/* Exactly that: whether there is an ONNX Runtime does not come into it. */
static void
test_no_provider(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  if (npu == NULL) {
    return;
  }
  add_npu(TRUE);
  gem_test_sys_add_accelerator("accel1", "amdxdna", "0x1022", "0x1502", TRUE);
  gem_test_npu_set(npu, "a.conf", "Library=/nowhere/libonnxruntime.so.1\n");
  GemProbeReport report = {0};
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_DEFERRED);
  g_assert_cmpstr(
      report.reason, ==,
      "NPU /dev/accel/accel0 (driver intel_vpu) has no provider: no file of the settings names one");
  g_assert_cmpstr(report.device, ==, "NPU");
}

/* The unit keeps devices from the service unless a drop-in lets it have them. */
static void
test_closed_node(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  if (npu == NULL) {
    return;
  }
  add_npu(FALSE);
  gem_test_npu_set(npu, "a.conf", "Provider=A\nPath=/nowhere/a.so\n");
  gem_test_npu_assert_declines(
      npu, GEM_PROBE_DEFERRED,
      "NPU /dev/accel/accel0 (driver intel_vpu) is closed to the service: No such file or directory; "
      "see drop-in npu.conf");
}

/* ---- with ONNX Runtime: which libraries of providers it takes ---- */

/* A copy of the tests' provider among the settings; transfer full. NULL, and the test is marked as skipped,
 * without ONNX Runtime or a namespace. */
static char *
add_provider(GemTestNpu *npu, const char *options)
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

static void
test_unsafe_provider(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  g_autofree char *reason =
      g_strdup_printf("NPU /dev/accel/accel0: %s must belong to root and be writable by root alone", path);
  add_npu(TRUE);
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
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  add_npu(TRUE);
  g_assert_true(g_file_set_contents(path, "not a library", -1, NULL));
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "provider GemTestProvider (/");
  g_autofree char *other =
      g_build_filename(g_getenv("GEM_BUILD_DIR"), "tests", "npu-ort", "libnot-onnx-runtime.so", NULL);
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_assert_cmpint(symlink(other, path), ==, 0); /* a library, and no provider */
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "provider GemTestProvider (/");
}

/* ---- with ONNX Runtime: pathways on the provider ---- */

static void
test_found(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  GemProbeReport report = {0};
  add_npu(TRUE);
  gem_test_sys_set_version("accel0", "1.2.3");
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  g_test_message("%s, %s", report.device, report.kernels);
  g_assert_cmpstr(report.device, ==, "/dev/accel/accel0 (intel_vpu, 1.2.3)");
  g_assert_true(g_str_has_prefix(report.kernels, "ONNX Runtime 1."));
  g_assert_true(g_str_has_suffix(report.kernels, ", GemTestProvider 1.0.0, channels"));
}

typedef struct {
  const GemTestNpu *npu;
  GemBackendState *state;
  GemTestSource *source;
  GemFeedForwardTensors layers[LAYERS];
} Scene;

static const char *cache_dir; /* that scenes are opened with */

static void
scene_open(Scene *self, const GemTestNpu *npu)
{
  static const char *const parts[] = {"gate", "up", "down"};
  const GemBackendOptions options = {.struct_size = sizeof options, .cache_dir = cache_dir};
  GemPluginError error = {""};
  *self = (Scene){.npu = npu, .source = gem_test_source_new("pathway-test.gguf", 11)};
  for (guint l = 0; l < LAYERS; l++) {
    GemTensorView *views[] = {&self->layers[l].gate, &self->layers[l].up, &self->layers[l].down};
    for (guint i = 0; i < 3; i++) {
      g_autofree char *name = g_strdup_printf("%s.%u", parts[i], l);
      gem_test_source_add(self->source, name, GEM_TYPE_Q8_0, i < 2 ? HIDDEN : WIDTH, i < 2 ? WIDTH : HIDDEN,
                          0.0, 0.1);
      g_assert_true(self->source->source.find_tensor(self->source->source.context, name, views[i]));
    }
  }
  self->state = npu->functions->open(&options, &error);
  g_assert_cmpstr(error.message, ==, "");
}

static void
scene_close(Scene *self)
{
  self->npu->functions->close(self->state);
  gem_test_source_free(self->source);
}

static GemCompiled *
scene_compile(const Scene *self, GemPluginError *error)
{
  const GemPathwayTensors tensors = {.name = "test", .layers = LAYERS, .feed_forwards = self->layers};
  return self->npu->functions->compile(self->state, &tensors, error);
}

/* What backend cpu adds; y is [n][WIDTH]. */
static void
run_on_cpu(const GemFeedForwardTensors *tensors, const float *x, gsize n, float *y)
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

static double
relative_error(const float *y, const float *expected, gsize n)
{
  double difference = 0.0, norm = 0.0;
  for (gsize i = 0; i < n; i++) {
    difference += pow((double)y[i] - (double)expected[i], 2.0);
    norm += pow((double)expected[i], 2.0);
  }
  return sqrt(difference / norm);
}

/* A provider that takes all nodes gets the graph, and what it gives comes back; 1, a few and many rows. */
static void
test_whole(void)
{
  static const gsize counts[] = {1, 5, ROWS};
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  add_npu(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(compiled);
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  g_autofree float *x = gem_test_random_floats(random, (gsize)ROWS * WIDTH, 2.0);
  for (guint layer = 0; layer < LAYERS; layer++) {
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
      gsize values = counts[i] * WIDTH;
      g_autofree float *y = g_new0(float, values), *expected = g_new0(float, values);
      g_assert_true(npu->functions->run(scene.state, compiled, layer, x, counts[i], y, &error));
      run_on_cpu(&scene.layers[layer], x, counts[i], expected);
      double relative = relative_error(y, expected, values);
      g_test_message("layer %u, %zu rows: relative error %.2e", layer, counts[i], relative);
      g_assert_cmpfloat(relative, <, 0.02); /* a scale for each output, as providers that are not known get */
    }
  }
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* What the device cannot run whole does not run there at all. */
static void
test_refused(gconstpointer data)
{
  const char *const *words = data; /* option, what must stand in the reason */
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, words[0]);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  add_npu(TRUE);
  scene_open(&scene, npu);
  g_assert_null(scene_compile(&scene, &error));
  g_test_message("refused: %s", error.message);
  g_assert_true(g_str_has_prefix(error.message, "layer 0: ONNX Runtime 1."));
  g_assert_nonnull(strstr(error.message, words[1]));
  g_assert_null(strchr(error.message, '\n'));
  scene_close(&scene);
}

/* A device that runs all but what rounds inputs gets them as they are. */
static void
test_narrow(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, "Option=behaviour:narrow\n");
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  add_npu(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_nonnull(compiled);
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  g_autofree float *x = gem_test_random_floats(random, (gsize)ROWS * WIDTH, 2.0);
  g_autofree float *y = g_new0(float, (gsize)ROWS *WIDTH), *expected = g_new0(float, (gsize)ROWS *WIDTH);
  g_assert_true(npu->functions->run(scene.state, compiled, 1, x, ROWS, y, &error));
  run_on_cpu(&scene.layers[1], x, ROWS, expected);
  double relative = relative_error(y, expected, (gsize)ROWS * WIDTH);
  g_test_message("inputs as they are: relative error %.2e", relative);
  g_assert_cmpfloat(relative, <, 0.03);
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* A call that fails, or gives what is no number, leaves the rows as they were: in one call, and in the second
 * of two. */
static void
test_fails(gconstpointer data)
{
  const char *const *words = data; /* option, what must stand in the reason */
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, words[0]);
  if (path == NULL) {
    return;
  }
  static const gsize counts[] = {3, ROWS};
  Scene scene;
  GemPluginError error = {""};
  add_npu(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_nonnull(compiled);
  g_autofree float *x = g_new0(float, (gsize)ROWS *WIDTH), *y = g_new0(float, (gsize)ROWS *WIDTH);
  for (gsize i = 0; i < (gsize)ROWS * WIDTH; i++) {
    y[i] = (float)i;
  }
  g_autofree float *before = g_memdup2(y, (gsize)ROWS * WIDTH * sizeof *y);
  x[0] = 1.0f;
  for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
    g_assert_false(npu->functions->run(scene.state, compiled, 1, x, counts[i], y, &error));
    g_test_message("failed: %s", error.message);
    g_assert_nonnull(strstr(error.message, words[1]));
    g_assert_cmpmem(y, (gsize)ROWS * WIDTH * sizeof *y, before, (gsize)ROWS * WIDTH * sizeof *y);
  }
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* ---- several backends at a time, as while the service opens a model's next engine ---- */

/* Whether layer 1 gives what backend cpu does. */
static void
assert_runs(const Scene *self, GemCompiled *compiled)
{
  GemPluginError error = {""};
  g_autoptr(GRand) random = g_rand_new_with_seed(6);
  g_autofree float *x = gem_test_random_floats(random, WIDTH, 2.0);
  float y[WIDTH] = {0.0f}, expected[WIDTH] = {0.0f};
  g_assert_true(self->npu->functions->run(self->state, compiled, 1, x, 1, y, &error));
  run_on_cpu(&self->layers[1], x, 1, expected);
  g_assert_cmpfloat(relative_error(y, expected, WIDTH), <, 0.02);
}

static gboolean
is_mapped(const char *path)
{
  g_autofree char *maps = NULL;
  g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
  return strstr(maps, path) != NULL;
}

/* The provider is there for as long as one of them has it, whichever came first; and again after all. */
static void
test_several(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene first, second, third;
  GemPluginError error = {""};
  GemProbeReport report = {0};
  add_npu(TRUE);
  scene_open(&first, npu);
  GemCompiled *of_first = scene_compile(&first, &error);
  g_assert_nonnull(of_first);
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  scene_open(&second, npu);
  assert_runs(&first, of_first);
  GemCompiled *of_second = scene_compile(&second, &error);
  g_assert_nonnull(of_second);
  npu->functions->compiled_free(first.state, of_first);
  scene_close(&first);
  assert_runs(&second, of_second);
  npu->functions->compiled_free(second.state, of_second);
  scene_close(&second);
  g_assert_true(is_mapped(path)); /* its threads outlive what is registered */

  scene_open(&third, npu);
  GemCompiled *of_third = scene_compile(&third, &error);
  g_assert_nonnull(of_third);
  assert_runs(&third, of_third);
  npu->functions->compiled_free(third.state, of_third);
  scene_close(&third);
}

/* A backend that cannot have its providers takes nothing from one that has. */
static void
test_several_disagree(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  add_npu(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_nonnull(compiled);
  g_autofree char *moved = g_strconcat(path, ".moved", NULL);
  g_autofree char *lines =
      g_strdup_printf("Library=%s\nProvider=GemTestProvider\nPath=%s\n", g_getenv("GEM_ORT_LIBRARY"), moved);
  g_assert_cmpint(g_rename(path, moved), ==, 0);
  gem_test_npu_set(npu, "a.conf", lines);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "provider GemTestProvider is in use from /");
  assert_runs(&scene, compiled);
  g_autofree char *both =
      g_strdup_printf("Library=%s\nProvider=GemTestProvider\nPath=%s\nProvider=B\nPath=/nowhere/b.so\n",
                      g_getenv("GEM_ORT_LIBRARY"), path);
  g_assert_cmpint(g_rename(moved, path), ==, 0);
  gem_test_npu_set(npu, "a.conf", both);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "/nowhere/b.so");
  assert_runs(&scene, compiled);
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* ---- what was compiled is kept ---- */

#define GRAPHS (2 * LAYERS) /* for single rows and for blocks */

/* Opens the backend and compiles; `letters`: what the provider did for each graph, in the order of the
 * alphabet. y is [WIDTH], what a row gives. */
static void
compile_again(const GemTestNpu *npu, const char *folder, const char *letters, float *y)
{
  g_autofree char *path = g_build_filename(folder, "log", NULL), *found = NULL;
  GemPluginError error = {""};
  Scene scene;
  float x[WIDTH];
  for (gsize i = 0; i < WIDTH; i++) {
    x[i] = sinf((float)i);
    y[i] = 0.0f;
  }
  g_assert_true(g_file_set_contents(path, "", 0, NULL));
  g_setenv("GEM_TEST_PROVIDER_LOG", path, TRUE);
  cache_dir = folder;
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_true(npu->functions->run(scene.state, compiled, 1, x, 1, y, &error));
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
  cache_dir = NULL;
  g_unsetenv("GEM_TEST_PROVIDER_LOG");
  g_assert_true(g_file_get_contents(path, &found, NULL, NULL));
  g_test_message("graphs: %s", found);
  guint compilations = 0;
  for (const char *letter = letters; *letter != '\0'; letter++) {
    compilations += *letter == 'c' ? 1 : 0;
  }
  for (const char *letter = found; *letter != '\0'; letter++) {
    compilations -= *letter == 'c' ? 1 : 0;
  }
  g_assert_cmpuint(compilations, ==, 0);
  g_assert_cmpuint(strlen(found), ==, strlen(letters));
}

/* The kept files; transfer full. */
static GPtrArray *
list_kept(const char *folder)
{
  g_autofree char *dir = g_build_filename(folder, "npu-ort", NULL);
  g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
  GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
  for (const char *name; (name = g_dir_read_name(entries)) != NULL;) {
    g_ptr_array_add(paths, g_build_filename(dir, name, NULL));
  }
  return paths;
}

static void
turn_last_bit(const char *path)
{
  g_autofree char *contents = NULL;
  gsize size;
  g_assert_true(g_file_get_contents(path, &contents, &size, NULL));
  contents[size - 1] ^= 1;
  g_assert_true(g_file_set_contents(path, contents, (gssize)size, NULL));
}

static void
test_kept(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  g_autofree char *folder = gem_test_folder_new();
  float first[WIDTH], again[WIDTH];
  add_npu(TRUE);
  compile_again(npu, folder, "cccc", first);
  g_autoptr(GPtrArray) kept = list_kept(folder);
  g_assert_cmpuint(kept->len, ==, GRAPHS);
  compile_again(npu, folder, "llll", again);
  g_assert_cmpmem(again, sizeof again, first, sizeof first);
  turn_last_bit(kept->pdata[0]);
  compile_again(npu, folder, "clll", again);
  g_assert_cmpmem(again, sizeof again, first, sizeof first);
  compile_again(npu, folder, "llll", again);
  g_setenv("GEM_TEST_PROVIDER_LOADS", "no", TRUE); /* whole, and yet it does not load */
  compile_again(npu, folder, "cccc", again);
  g_assert_cmpmem(again, sizeof again, first, sizeof first);
  g_unsetenv("GEM_TEST_PROVIDER_LOADS");
  gem_test_sys_set_version("accel0", "another"); /* of the driver */
  compile_again(npu, folder, "cccc", again);
  g_autoptr(GPtrArray) both = list_kept(folder);
  g_assert_cmpuint(both->len, ==, 2 * GRAPHS);
  gem_test_folder_remove(folder);
}

/* A provider that keeps nothing works as without a cache. */
static void
test_kept_by_none(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, "Option=behaviour:plain\n");
  if (path == NULL) {
    return;
  }
  g_autofree char *folder = gem_test_folder_new();
  float y[WIDTH];
  add_npu(TRUE);
  compile_again(npu, folder, "ccccccc", y); /* three are asked for what it has none of */
  g_autoptr(GPtrArray) kept = list_kept(folder);
  g_assert_cmpuint(kept->len, ==, 0);
  gem_test_folder_remove(folder);
}

/* One that fails once when something is to be kept, as on a full disk, is asked again for the next graph, and
 * for this one at the next start. */
static void
test_kept_after_failure(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, "Option=behaviour:once\n");
  if (path == NULL) {
    return;
  }
  g_autofree char *folder = gem_test_folder_new();
  float y[WIDTH];
  add_npu(TRUE);
  compile_again(npu, folder, "cccc", y);
  g_autoptr(GPtrArray) kept = list_kept(folder);
  g_assert_cmpuint(kept->len, ==, GRAPHS - 1);
  compile_again(npu, folder, "clll", y);
  g_autoptr(GPtrArray) all = list_kept(folder);
  g_assert_cmpuint(all->len, ==, GRAPHS);
  gem_test_folder_remove(folder);
}

static gsize
resident_bytes(void)
{
  g_autofree char *line = NULL;
  unsigned long pages = 0;
  malloc_trim(0);
  g_assert_true(g_file_get_contents("/proc/self/statm", &line, NULL, NULL));
  g_assert_cmpint(sscanf(line, "%*u %lu", &pages), ==, 1);
  return pages * (gsize)sysconf(_SC_PAGESIZE);
}

/* A pathway that comes and goes leaves nothing behind on the provider, either. */
static void
test_gives_memory_back(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  gsize once = 0, taken = 0;
  add_npu(TRUE);
  scene_open(&scene, npu);
  for (guint i = 0; i < 34; i++) {
    GemCompiled *compiled = scene_compile(&scene, &error);
    g_assert_nonnull(compiled);
    taken = npu->functions->compiled_bytes(compiled);
    npu->functions->compiled_free(scene.state, compiled);
    once = i == 1 ? resident_bytes() : once;
  }
  gsize often = resident_bytes();
  g_test_message("%zu bytes a pathway; %zu resident after two, %zu after 34", taken, once, often);
  g_assert_cmpuint(often, <, once + taken / 2);
  scene_close(&scene);
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
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  gboolean on_device;
  g_ptr_array_set_size(refusals, 0);
  add_npu(TRUE);
  g_autofree char *text = generate("npu-ort", &on_device);
  g_assert_true(on_device);
  g_assert_cmpuint(refusals->len, ==, 0);
  g_assert_cmpstr(text, !=, "");
}

/* Backend cpu serves on, as if there were no device; the log says why, once for each pathway. */
static void
test_service_refused(void)
{
  g_autoptr(GemTestNpu) npu = open_machine();
  g_autofree char *path = add_provider(npu, "Option=behaviour:some\n");
  if (path == NULL) {
    return;
  }
  gboolean on_device;
  add_npu(TRUE);
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
  static const char *const some[] = {"Option=behaviour:some\n",
                                     "fallback to CPU EP has been explicitly disabled"};
  static const char *const refuse[] = {"Option=behaviour:refuse\n", "the test provider was told to refuse"};
  static const char *const fail[] = {"Option=behaviour:fail\n", "the test provider was told to fail"};
  static const char *const nan_words[] = {"Option=behaviour:nan\n", "not a finite number"};
  no_namespace = gem_test_sys_enter();
  refusals = g_ptr_array_new_with_free_func(g_free);
  g_log_set_writer_func(keep_refusals, NULL, NULL);
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/npu-discovery/no-npu", test_no_npu);
  g_test_add_func("/npu-discovery/no-provider", test_no_provider);
  g_test_add_func("/npu-discovery/closed-node", test_closed_node);
  g_test_add_func("/npu-discovery/found", test_found);
  g_test_add_func("/npu-discovery/unsafe-provider", test_unsafe_provider);
  g_test_add_func("/npu-discovery/broken-provider", test_broken_provider);
  g_test_add_func("/npu-discovery/whole", test_whole);
  g_test_add_data_func("/npu-discovery/refused/some", some, test_refused);
  g_test_add_data_func("/npu-discovery/refused/refuse", refuse, test_refused);
  g_test_add_func("/npu-discovery/narrow", test_narrow);
  g_test_add_data_func("/npu-discovery/fails", fail, test_fails);
  g_test_add_data_func("/npu-discovery/gives-no-number", nan_words, test_fails);
  g_test_add_func("/npu-discovery/several", test_several);
  g_test_add_func("/npu-discovery/several/disagree", test_several_disagree);
  g_test_add_func("/npu-discovery/kept", test_kept);
  g_test_add_func("/npu-discovery/kept-by-none", test_kept_by_none);
  g_test_add_func("/npu-discovery/kept-after-failure", test_kept_after_failure);
  g_test_add_func("/npu-discovery/gives-memory-back", test_gives_memory_back);
  g_test_add_func("/npu-discovery/service-whole", test_service_whole);
  g_test_add_func("/npu-discovery/service-refused", test_service_refused);
  int status = g_test_run();
  g_ptr_array_unref(refusals);
  g_free(no_namespace);
  return status;
}
