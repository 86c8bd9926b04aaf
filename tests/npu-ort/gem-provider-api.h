/*
 * What the tests' own execution provider uses of ONNX Runtime's interface for providers that are libraries of
 * their own, as release 1.23 brought it (onnxruntime_ep_c_api.h): stated here for the reason that
 * plugins/backends/npu-ort/gem-ort-api.h gives, and held against the header by tests/test-ort-api.c.
 */
#pragma once

#include "plugins/backends/npu-ort/gem-ort-api.h"

typedef struct GemProviderEp GemProviderEp;
typedef struct GemProviderFactory GemProviderFactory;
typedef struct OrtEpGraphSupportInfo OrtEpGraphSupportInfo;
typedef struct OrtGraph OrtGraph;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtLogger OrtLogger;
typedef struct OrtNode OrtNode;
typedef struct OrtOpAttr OrtOpAttr;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
typedef struct OrtValueInfo OrtValueInfo;
typedef struct GemProviderComputeInfo GemProviderComputeInfo;

#define GEM_PROVIDER_API 23

#define GEM_PROVIDER_FAIL             1 /* OrtErrorCode */
#define GEM_PROVIDER_ATTRIBUTE_INT    1 /* OrtOpAttrType */
#define GEM_PROVIDER_ATTRIBUTE_STRING 5

/* In the form of GEM_ORT_FUNCTIONS. */
#define GEM_PROVIDER_FUNCTIONS(F)                                                                            \
  F(0, CreateStatus, create_status, OrtStatus *, (int code, const char *message))                            \
  F(2, GetErrorMessage, error_message, const char *, (const OrtStatus *))                                    \
  F(51, GetTensorMutableData, tensor_data, OrtStatus *, (OrtValue *, void **))                               \
  F(62, GetDimensions, dimensions, OrtStatus *, (const OrtTensorTypeAndShapeInfo *, int64_t *, size_t n))    \
  F(65, GetTensorTypeAndShape, tensor_shape, OrtStatus *, (const OrtValue *, OrtTensorTypeAndShapeInfo **))  \
  F(90, KernelContext_GetInput, kernel_input, OrtStatus *,                                                   \
    (const OrtKernelContext *, size_t, const OrtValue **))                                                   \
  F(91, KernelContext_GetOutput, kernel_output, OrtStatus *,                                                 \
    (OrtKernelContext *, size_t, const int64_t *dimensions, size_t n, OrtValue **))                          \
  F(93, ReleaseStatus, release_status, void, (OrtStatus *))                                                  \
  F(99, ReleaseTensorTypeAndShapeInfo, release_shape, void, (OrtTensorTypeAndShapeInfo *))                   \
  F(211, CreateOpAttr, create_attribute, OrtStatus *,                                                        \
    (const char *name, const void *data, int n, int type, OrtOpAttr **))                                     \
  F(212, ReleaseOpAttr, release_attribute, void, (OrtOpAttr *))                                              \
  F(237, HasSessionConfigEntry, has_config, OrtStatus *,                                                     \
    (const OrtSessionOptions *, const char *key, int *ret_has))                                              \
  F(238, GetSessionConfigEntry, get_config, OrtStatus *,                                                     \
    (const OrtSessionOptions *, const char *key, char *value, size_t *size))                                 \
  F(272, ReadOpAttr, read_attribute, OrtStatus *,                                                            \
    (const OrtOpAttr *, int type, void *data, size_t size, size_t *ret_size))                                \
  F(289, GetValueInfoName, value_name, OrtStatus *, (const OrtValueInfo *, const char **))                   \
  F(291, GetModelEditorApi, editor_table, const GemOrtTable *, (void))                                       \
  F(307, HardwareDevice_Type, hardware_type, int, (const OrtHardwareDevice *))                               \
  F(317, GetEpApi, provider_table, const GemOrtTable *, (void))                                              \
  F(326, ValueInfo_GetInitializerValue, initializer, OrtStatus *, (const OrtValueInfo *, const OrtValue **)) \
  F(342, Graph_GetNumInitializers, count_initializers, OrtStatus *, (const OrtGraph *, size_t *))            \
  F(343, Graph_GetInitializers, initializers, OrtStatus *,                                                   \
    (const OrtGraph *, const OrtValueInfo **, size_t))                                                       \
  F(344, Graph_GetNumNodes, count_nodes, OrtStatus *, (const OrtGraph *, size_t *))                          \
  F(345, Graph_GetNodes, nodes, OrtStatus *, (const OrtGraph *, const OrtNode **, size_t))                   \
  F(349, Node_GetName, node_name, OrtStatus *, (const OrtNode *, const char **))                             \
  F(350, Node_GetOperatorType, node_operator, OrtStatus *, (const OrtNode *, const char **))                 \
  F(361, Node_GetAttributeByName, node_attribute, OrtStatus *,                                               \
    (const OrtNode *, const char *name, const OrtOpAttr **))

/* Of the table of providers. */
#define GEM_PROVIDER_EP_FUNCTIONS(F)                                                                         \
  F(0, CreateEpDevice, create_device, OrtStatus *,                                                           \
    (GemProviderFactory *, const OrtHardwareDevice *, const OrtKeyValuePairs *, const OrtKeyValuePairs *,    \
     OrtEpDevice **))                                                                                        \
  F(2, EpGraphSupportInfo_AddNodesToFuse, take_nodes, OrtStatus *,                                           \
    (OrtEpGraphSupportInfo *, const OrtNode *const *, size_t, const GemProviderFusion *))

/* Of the table of the model editor. */
#define GEM_PROVIDER_EDITOR_FUNCTIONS(F)                                                                     \
  F(6, CreateNode, create_node, OrtStatus *,                                                                 \
    (const char *operator_name, const char *domain, const char *name, const char *const *inputs,             \
     size_t n_inputs, const char *const *outputs, size_t n_outputs, OrtOpAttr **attributes,                  \
     size_t n_attributes, OrtNode **))

/* OrtNodeFusionOptions. */
typedef struct {
  uint32_t version;
  bool drop_constants; /* the provider keeps what it needs of them */
} GemProviderFusion;

/* OrtNodeComputeInfo: how what was compiled is run. */
struct GemProviderComputeInfo {
  uint32_t version;
  OrtStatus *(*create_state)(GemProviderComputeInfo *, void *context, void **ret_state);
  OrtStatus *(*compute)(GemProviderComputeInfo *, void *state, OrtKernelContext *);
  void (*release_state)(GemProviderComputeInfo *, void *state);
};

/* OrtEp: the provider as one session has it. What is not used is NULL. */
struct GemProviderEp {
  uint32_t version;
  const char *(*get_name)(const GemProviderEp *);
  OrtStatus *(*get_capability)(GemProviderEp *, const OrtGraph *, OrtEpGraphSupportInfo *);
  OrtStatus *(*compile)(GemProviderEp *,
                        const OrtGraph **,
                        const OrtNode **,
                        size_t n,
                        GemProviderComputeInfo **ret_infos,
                        OrtNode **ret_contexts);
  void (*release_infos)(GemProviderEp *, GemProviderComputeInfo **, size_t n);
  void (*unused[8])(void);
};

/* OrtEpFactory: what the library gives. */
struct GemProviderFactory {
  uint32_t version;
  const char *(*get_name)(const GemProviderFactory *);
  const char *(*get_vendor)(const GemProviderFactory *);
  OrtStatus *(*get_devices)(GemProviderFactory *,
                            const OrtHardwareDevice *const *,
                            size_t n,
                            OrtEpDevice **ret_devices,
                            size_t most,
                            size_t *ret_n);
  OrtStatus *(*create)(GemProviderFactory *,
                       const OrtHardwareDevice *const *,
                       const OrtKeyValuePairs *const *,
                       size_t n,
                       const OrtSessionOptions *,
                       const OrtLogger *,
                       GemProviderEp **ret_provider);
  void (*release)(GemProviderFactory *, GemProviderEp *);
  uint32_t (*get_vendor_id)(const GemProviderFactory *);
  const char *(*get_version)(const GemProviderFactory *);
  OrtStatus *(*validate)(void); /* not used, as the next two */
  OrtStatus *(*create_allocator)(void);
  void (*release_allocator)(void);
  OrtStatus *(*create_data_transfer)(GemProviderFactory *, void **ret_transfer);
  bool (*is_stream_aware)(const GemProviderFactory *);
  OrtStatus *(*create_stream)(void);
};

/* All that is taken of the three tables. */
typedef struct {
  GEM_PROVIDER_FUNCTIONS(GEM_ORT_FIELD)
  GEM_PROVIDER_EP_FUNCTIONS(GEM_ORT_FIELD)
  GEM_PROVIDER_EDITOR_FUNCTIONS(GEM_ORT_FIELD)
} GemProviderApi;
