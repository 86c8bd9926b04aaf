/*
 * backends/npu-ort: what it declines and how it says so; and, where there is an ONNX Runtime, every pathway
 * graph on its CPU provider against double precision, for every block type.
 */
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "tests/gem-test-npu.h"
#include "tests/gem-test-reference.h"

#define LAYERS 2
#define WIDTH  256
#define HIDDEN 512 /* multiples of 256, for Q6_K */

/* Relative, in the norm. */
#define TOLERANCE 5e-3

static const GemType types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K, GEM_TYPE_Q4_0};

static void
assert_declines(const GemTestNpu *npu, GemProbeResult expected, const char *reason)
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

/* ---- without a library ---- */

static gboolean
has_own_npu(void)
{
  return g_file_test("/sys/class/accel/accel0", G_FILE_TEST_EXISTS);
}

static void
test_no_npu(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (has_own_npu()) {
    assert_declines(npu, GEM_PROBE_DEFERRED, "has no provider");
  } else {
    assert_declines(npu, GEM_PROBE_UNSUPPORTED, "this machine has no NPU");
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
  gem_test_npu_set(npu, "a.conf", "AllowCpu=yes\nLibrary=/nowhere/libonnxruntime.so.1\n");
  assert_declines(npu, GEM_PROBE_UNSUPPORTED, "/nowhere/libonnxruntime.so.1");
  g_autofree char *broken = g_build_filename(npu->folder, "broken.so", NULL);
  g_assert_true(g_file_set_contents(broken, "not a library", -1, NULL));
  g_autofree char *lines = g_strdup_printf("AllowCpu=yes\nLibrary=%s\n", broken);
  gem_test_npu_set(npu, "a.conf", lines);
  assert_declines(npu, GEM_PROBE_UNSUPPORTED, "broken.so");
}

/* Libraries that are there, and are not what is needed: another one, and an ONNX Runtime of another day. */
static void
test_library_unfit(void)
{
  static const struct {
    const char *name, *reason;
  } libraries[] = {
      {"not-onnx-runtime", "has no OrtGetApiBase"},
      {"old-onnx-runtime", "is ONNX Runtime 1.16.3, which is too old: 1.17 or newer is needed"},
      {"strange-onnx-runtime", "is ONNX Runtime 2.0.0, which is too old"},
  };
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  for (gsize i = 0; i < G_N_ELEMENTS(libraries); i++) {
    g_autofree char *lines = g_strdup_printf("AllowCpu=yes\nLibrary=%s/tests/npu-ort/lib%s.so\n",
                                             g_getenv("GEM_BUILD_DIR"), libraries[i].name);
    gem_test_npu_set(npu, "a.conf", lines);
    assert_declines(npu, has_own_npu() ? GEM_PROBE_DEFERRED : GEM_PROBE_UNSUPPORTED, libraries[i].reason);
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
    assert_declines(npu, has_own_npu() ? GEM_PROBE_DEFERRED : GEM_PROBE_UNSUPPORTED,
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
    assert_declines(npu, GEM_PROBE_UNSUPPORTED, files[i].reason);
  }
  g_autofree char *path = g_build_filename(npu->folder, "a.conf", NULL);
  gem_test_npu_set(npu, "a.conf", "AllowCpu=yes\n");
  g_assert_cmpint(g_chmod(path, 0620), ==, 0);
  assert_declines(npu, GEM_PROBE_UNSUPPORTED, "a.conf must belong to root and be writable by root alone");
  g_assert_cmpint(g_chmod(path, 0600), ==, 0);
  g_assert_cmpint(g_chmod(npu->folder, 0777), ==, 0);
  assert_declines(npu, GEM_PROBE_UNSUPPORTED, "must belong to root");
  g_assert_cmpint(g_chmod(npu->folder, 0700), ==, 0);
}

/* ---- on ONNX Runtime's CPU provider ---- */

typedef struct {
  GemTestSource *source;
  GemFeedForwardTensors layers[LAYERS];
  GemPathwayTensors tensors;
} Pathway;

static GemTensorView
add_tensor(GemTestSource *source, guint layer, const char *part, GemType type, size_t rows, size_t cols)
{
  GemTensorView view;
  g_autofree char *name = g_strdup_printf("%s.%u", part, layer);
  gem_test_source_add(source, name, type, rows, cols, 0.0, 0.1);
  g_assert_true(source->source.find_tensor(source->source.context, name, &view));
  return view;
}

static void
pathway_init(Pathway *self, GemType type)
{
  self->source = gem_test_source_new("pathway-test.gguf", 11);
  for (guint l = 0; l < LAYERS; l++) {
    self->layers[l].gate = add_tensor(self->source, l, "gate", type, HIDDEN, WIDTH);
    self->layers[l].up = add_tensor(self->source, l, "up", type, HIDDEN, WIDTH);
    self->layers[l].down = add_tensor(self->source, l, "down", type, WIDTH, HIDDEN);
  }
  self->tensors = (GemPathwayTensors){.name = "test", .layers = LAYERS, .feed_forwards = self->layers};
}

static const float *
values_of(const Pathway *self, const char *part, guint layer)
{
  g_autofree char *name = g_strdup_printf("%s.%u", part, layer);
  return gem_test_source_values(self->source, name);
}

/* |y - exact| / |exact - start| over all rows, y begun with `start`. */
static double
relative_error(const Pathway *self, guint layer, const float *x, size_t n, const float *start, const float *y)
{
  double difference = 0.0, norm = 0.0;
  g_autofree double *exact = g_new0(double, WIDTH);
  for (size_t row = 0; row < n; row++) {
    g_autofree double *in = gem_test_to_doubles(x + row * WIDTH, WIDTH);
    memset(exact, 0, WIDTH * sizeof *exact);
    gem_test_feed_forward(values_of(self, "gate", layer), values_of(self, "up", layer),
                          values_of(self, "down", layer), WIDTH, HIDDEN, in, exact);
    for (size_t i = 0; i < WIDTH; i++) {
      double got = (double)y[row * WIDTH + i] - (double)start[row * WIDTH + i];
      difference += (got - exact[i]) * (got - exact[i]);
      norm += exact[i] * exact[i];
    }
  }
  return sqrt(difference / norm);
}

static void
check_rows(
    const GemTestNpu *npu, GemBackendState *state, const Pathway *pathway, GemCompiled *compiled, size_t n)
{
  g_autoptr(GRand) random = g_rand_new_with_seed((guint32)n);
  g_autofree float *x = gem_test_random_floats(random, n * WIDTH, 2.0);
  g_autofree float *start = gem_test_random_floats(random, n * WIDTH, 1.0);
  for (guint layer = 0; layer < LAYERS; layer++) {
    GemPluginError error = {""};
    g_autofree float *y = g_memdup2(start, n * WIDTH * sizeof *y);
    g_assert_true(npu->functions->run(state, compiled, layer, x, n, y, &error));
    g_assert_cmpstr(error.message, ==, "");
    double relative = relative_error(pathway, layer, x, n, start, y);
    g_test_message("%zu rows, layer %u: relative error %.2e", n, layer, relative);
    g_assert_cmpfloat(relative, <, TOLERANCE);
  }
}

static void
test_pathways(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  if (!gem_test_npu_allow_cpu(npu)) {
    return;
  }
  const GemBackendOptions options = {.struct_size = sizeof options};
  GemPluginError error = {""};
  GemProbeReport report = {0};
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  g_test_message("%s, %s", report.device, report.kernels);
  g_assert_nonnull(strstr(report.kernels, "CPUExecutionProvider"));
  GemBackendState *state = npu->functions->open(&options, &error);
  g_assert_cmpstr(error.message, ==, "");
  for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
    Pathway pathway;
    pathway_init(&pathway, types[t]);
    GemCompiled *compiled = npu->functions->compile(state, &pathway.tensors, &error);
    g_assert_cmpstr(error.message, ==, "");
    g_assert_nonnull(compiled);
    g_test_message("%s: %zu bytes", gem_type_name(types[t]), npu->functions->compiled_bytes(compiled));
    for (gsize i = 0; i < 5; i++) {
      static const size_t rows[] = {1, 2, 64, 65, 200};
      check_rows(npu, state, &pathway, compiled, rows[i]);
    }
    npu->functions->compiled_free(state, compiled);
    gem_test_source_free(pathway.source);
  }
  npu->functions->close(state);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/npu-ort/no-npu", test_no_npu);
  g_test_add_func("/npu-ort/library", test_library);
  g_test_add_func("/npu-ort/library-unfit", test_library_unfit);
  g_test_add_func("/npu-ort/telemetry-must-be-off", test_telemetry_must_be_off);
  g_test_add_func("/npu-ort/settings", test_settings);
  g_test_add_func("/npu-ort/pathways", test_pathways);
  return g_test_run();
}
