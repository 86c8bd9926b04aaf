/*
 * The places and numbers of plugins/backends/npu-ort/gem-ort-api.h against ONNX Runtime's own header, where
 * that is installed: what does not hold does not compile.
 */
#include <onnxruntime_c_api.h>

#include <glib.h>

#include "plugins/backends/npu-ort/gem-ort-api.h"

#define CHECK(place, name, field, result, parameters)                                                        \
  G_STATIC_ASSERT(offsetof(OrtApi, name) == (place) * sizeof(void *));
GEM_ORT_FUNCTIONS(CHECK)
#if ORT_API_VERSION >= GEM_ORT_API_DEVICES
GEM_ORT_DEVICE_FUNCTIONS(CHECK)
G_STATIC_ASSERT(GEM_ORT_HARDWARE_NPU == OrtHardwareDeviceType_NPU);
#endif
G_STATIC_ASSERT(offsetof(OrtApiBase, GetApi) == offsetof(GemOrtBase, get_api));
G_STATIC_ASSERT(offsetof(OrtApiBase, GetVersionString) == offsetof(GemOrtBase, get_version));
G_STATIC_ASSERT(GEM_ORT_LOGGING_FATAL == ORT_LOGGING_LEVEL_FATAL);
G_STATIC_ASSERT(GEM_ORT_OPTIMIZE_ALL == ORT_ENABLE_ALL);
G_STATIC_ASSERT(GEM_ORT_FLOAT == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
G_STATIC_ASSERT(GEM_ORT_DEVICE_ALLOCATOR == OrtDeviceAllocator);
G_STATIC_ASSERT(GEM_ORT_MEMORY_DEFAULT == OrtMemTypeDefault);

static void
test_places(void)
{
  g_test_message("checked against the header of ONNX Runtime 1.%d when this was compiled", ORT_API_VERSION);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/ort-api/places", test_places);
  return g_test_run();
}
