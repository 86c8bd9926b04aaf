/*
 * The places and numbers of plugins/backends/npu-ort/gem-ort-api.h against ONNX Runtime's own header, where
 * that is installed: what does not hold does not compile.
 */
#include <onnxruntime_c_api.h>

#include <glib.h>

#include "plugins/backends/npu-ort/gem-ort-api.h"
#include "tests/npu-ort/gem-provider-api.h"

#define CHECK(place, name, field, result, parameters)                                                        \
  G_STATIC_ASSERT(offsetof(OrtApi, name) == (place) * sizeof(void *));
GEM_ORT_FUNCTIONS(CHECK)
#if ORT_API_VERSION >= GEM_ORT_API_DEVICES
GEM_ORT_DEVICE_FUNCTIONS(CHECK)
G_STATIC_ASSERT(GEM_ORT_HARDWARE_NPU == OrtHardwareDeviceType_NPU);

/* The tests' own provider. */
#define CHECK_EP(place, name, field, result, parameters)                                                     \
  G_STATIC_ASSERT(offsetof(OrtEpApi, name) == (place) * sizeof(void *));
#define CHECK_EDITOR(place, name, field, result, parameters)                                                 \
  G_STATIC_ASSERT(offsetof(OrtModelEditorApi, name) == (place) * sizeof(void *));
GEM_PROVIDER_FUNCTIONS(CHECK)
GEM_PROVIDER_EP_FUNCTIONS(CHECK_EP)
GEM_PROVIDER_EDITOR_FUNCTIONS(CHECK_EDITOR)
G_STATIC_ASSERT(GEM_PROVIDER_ATTRIBUTE_INT == ORT_OP_ATTR_INT);
G_STATIC_ASSERT(GEM_PROVIDER_ATTRIBUTE_STRING == ORT_OP_ATTR_STRING);
G_STATIC_ASSERT(GEM_PROVIDER_FAIL == ORT_FAIL);
G_STATIC_ASSERT(offsetof(OrtNodeFusionOptions, drop_constant_initializers) ==
                offsetof(GemProviderFusion, drop_constants));
G_STATIC_ASSERT(offsetof(OrtNodeComputeInfo, ReleaseState) ==
                offsetof(GemProviderComputeInfo, release_state));
G_STATIC_ASSERT(offsetof(OrtEp, ReleaseNodeComputeInfos) == offsetof(GemProviderEp, release_infos));
G_STATIC_ASSERT(offsetof(OrtEpFactory, GetSupportedDevices) == offsetof(GemProviderFactory, get_devices));
G_STATIC_ASSERT(offsetof(OrtEpFactory, ReleaseEp) == offsetof(GemProviderFactory, release));
G_STATIC_ASSERT(offsetof(OrtEpFactory, GetVersion) == offsetof(GemProviderFactory, get_version));
G_STATIC_ASSERT(offsetof(OrtEpFactory, IsStreamAware) == offsetof(GemProviderFactory, is_stream_aware));
#if ORT_API_VERSION == GEM_PROVIDER_API /* later ones have more, which it does not state */
G_STATIC_ASSERT(sizeof(OrtEp) == sizeof(GemProviderEp));
G_STATIC_ASSERT(sizeof(OrtEpFactory) == sizeof(GemProviderFactory));
#endif
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
