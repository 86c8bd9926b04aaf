/*
 * The forms that providers want weights in, each on ONNX Runtime's CPU provider: it takes them all, though it
 * would choose one. What vendors' own providers make of them is not seen here.
 */
#include <stdlib.h>
#include <string.h>

#include "plugins/backends/npu-ort/gem-npu-session.h"
#include "tests/gem-test-npu.h"

#define WIDTH  256
#define HIDDEN 512
#define ROWS   GEM_NPU_BLOCK

static const GemType types[] = {GEM_TYPE_F16, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K, GEM_TYPE_Q4_0};

static void
test_provider_names(void)
{
  g_assert_cmpint(gem_npu_form_of_provider("CPUExecutionProvider"), ==, GEM_NPU_FORM_MATMUL_N_BITS);
  g_assert_cmpint(gem_npu_form_of_provider("OpenVINOExecutionProvider"), ==, GEM_NPU_FORM_CHANNELS);
  g_assert_cmpint(gem_npu_form_of_provider("QNNExecutionProvider"), ==, GEM_NPU_FORM_MATMUL_N_BITS);
  g_assert_false(gem_npu_has_bytes("QNNExecutionProvider", GEM_ORT_API_NEWEST));
  g_assert_true(gem_npu_has_bytes("CPUExecutionProvider", 23));
  g_assert_false(gem_npu_has_bytes("CPUExecutionProvider", 22));
  g_assert_cmpint(gem_npu_form_of_provider("SomebodysExecutionProvider"), ==, GEM_NPU_FORM_CHANNELS);
  for (guint form = 0; form < GEM_NPU_FORMS; form++) {
    g_assert_cmpstr(gem_npu_form_name((GemNpuForm)form), !=, "");
  }
}

static GemTensorView
add_tensor(GemTestSource *source, const char *name, GemType type, size_t rows, size_t cols)
{
  GemTensorView view;
  gem_test_source_add(source, name, type, rows, cols, 0.0, 0.1);
  g_assert_true(source->source.find_tensor(source->source.context, name, &view));
  return view;
}

static GemFeedForwardTensors
add_tensors(GemTestSource *source, GemType type)
{
  return (GemFeedForwardTensors){.gate = add_tensor(source, "gate", type, HIDDEN, WIDTH),
                                 .up = add_tensor(source, "up", type, HIDDEN, WIDTH),
                                 .down = add_tensor(source, "down", type, WIDTH, HIDDEN)};
}

/* `rows`: of the session; 0: any number. */
static void
check_form(
    GemNpuDevice *device, const GemNpuLowering *lowering, GemType type, uint32_t rows, double tolerance)
{
  GemPluginError error = {""};
  g_autoptr(GemTestSource) source = gem_test_source_new("form-test.gguf", 3);
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  const GemFeedForwardTensors tensors = add_tensors(source, type);
  g_autofree float *x = gem_test_random_floats(random, (gsize)ROWS * WIDTH, 2.0);
  g_autofree float *y = g_new0(float, (gsize)ROWS *WIDTH), *expected = g_new0(float, (gsize)ROWS *WIDTH);
  gem_test_npu_run_on_cpu(&tensors, x, ROWS, expected);
  GemNpuSession session;
  g_assert_true(gem_npu_session_open(&session, device, lowering, &tensors, rows, &error));
  guint step = rows == 1 ? 1 : ROWS;
  for (guint row = 0; row < ROWS; row += step) {
    g_assert_true(gem_npu_session_run(&session, device, x + row * WIDTH, step, y + row * WIDTH, &error));
  }
  gem_npu_session_close(&session, device);
  double relative = gem_test_npu_relative_error(y, expected, NULL, (gsize)ROWS * WIDTH);
  g_test_message("%s as %s, %s inputs, %u rows a call: relative error %.2e", gem_type_name(type),
                 gem_npu_form_name(lowering->form), lowering->rounds_inputs ? "rounded" : "plain", step,
                 relative);
  g_assert_cmpfloat(relative, <, tolerance);
}

/* Weights that are rounded once more differ by 1 % and a little: with a scale for each row, and where 6 bits
 * for each 16 become 8 for each 32. The service takes 5 %. */
static double
tolerance_of(GemNpuForm form, GemType type)
{
  bool rounds = form == GEM_NPU_FORM_CHANNELS || (form == GEM_NPU_FORM_BLOCKS && type == GEM_TYPE_Q6_K);
  return rounds ? 0.02 : 5e-3;
}

/* The scale that stands for 0 in a graph; what precedes it: its tensor's name and the length of its bytes. */
static float
find_least(const GemFeedForwardTensors *tensors, bool is_half)
{
  static const char before[] = "\x42\x05least\x4a\x04";
  const GemNpuLowering lowering = {.form = GEM_NPU_FORM_CHANNELS, .rounds_inputs = true, .is_half = is_half};
  GemPluginError error = {""};
  uint8_t *model;
  size_t size;
  float least;
  g_assert_true(gem_npu_graph_make(tensors, &lowering, 1, &model, &size, &error));
  const uint8_t *at = memmem(model, size, before, sizeof before - 1);
  g_assert_nonnull(at);
  memcpy(&least, at + sizeof before - 1, sizeof least);
  free(model);
  return least;
}

/* A chunk of zeros is divided by it: it must not be 0 where a device computes in half floats, subnormal ones
 * included, which devices take as 0. */
static void
test_least(void)
{
  g_autoptr(GemTestSource) source = gem_test_source_new("form-test.gguf", 3);
  const GemFeedForwardTensors tensors = add_tensors(source, GEM_TYPE_Q8_0);
  g_assert_cmpfloat(find_least(&tensors, true), >=, 0x1p-14f);
  g_assert_cmpfloat(find_least(&tensors, false), <, 1e-20f);
  g_assert_cmpfloat(find_least(&tensors, false), >, 0.0f);
}

static void
test_forms(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_open();
  GemPluginError error = {""};
  GemNpuDevice device;
  if (!gem_test_npu_allow_cpu(npu)) {
    return;
  }
  g_assert_cmpint(gem_npu_device_open(&device, &error), ==, GEM_PROBE_SUPPORTED);
  for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
    for (guint form = 0; form < GEM_NPU_FORMS; form++) {
      GemNpuLowering lowering = device.lowering;
      lowering.form = (GemNpuForm)form;
      double tolerance = tolerance_of(lowering.form, types[t]);
      check_form(&device, &lowering, types[t], 0, tolerance);
      check_form(&device, &lowering, types[t], 1, tolerance);
      check_form(&device, &lowering, types[t], ROWS, tolerance);
      lowering.has_bytes = false;
      check_form(&device, &lowering, types[t], ROWS, tolerance);
      lowering.rounds_inputs = false; /* what rounding is worth, on top */
      check_form(&device, &lowering, types[t], ROWS, tolerance + 0.02);
    }
  }
  gem_npu_device_close(&device);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/npu-forms/provider-names", test_provider_names);
  g_test_add_func("/npu-forms/least", test_least);
  g_test_add_func("/npu-forms/forms", test_forms);
  return g_test_run();
}
