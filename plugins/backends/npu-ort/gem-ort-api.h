/*
 * What npu-ort uses of ONNX Runtime's C API, stated here since Debian 12 has no package with its header. The
 * API is a table of functions that only ever grows at its end: a function is known by its place, and has the
 * same place in every release from the one that brought it. Where the header is installed,
 * tests/test-ort-api.c holds each place and each number below against it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct OrtEnv OrtEnv;
typedef struct OrtStatus OrtStatus;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;
typedef struct OrtIoBinding OrtIoBinding;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtEpDevice OrtEpDevice;
typedef struct OrtHardwareDevice OrtHardwareDevice;
typedef struct OrtKeyValuePairs OrtKeyValuePairs;

/* Releases whose table is asked for. */
#define GEM_ORT_API_SESSIONS 17 /* the least: sessions and bindings */
#define GEM_ORT_API_DEVICES  23 /* providers as libraries of their own, and the devices that they know */
#define GEM_ORT_API_BYTES    23 /* MatMulNBits of 8 bits on its own CPU provider */
#define GEM_ORT_API_NEWEST   23 /* nothing newer is used: what a later table has more is not needed */

#define GEM_ORT_LOGGING_FATAL    4
#define GEM_ORT_OPTIMIZE_ALL     99
#define GEM_ORT_FLOAT            1 /* element type of a tensor */
#define GEM_ORT_DEVICE_ALLOCATOR 0
#define GEM_ORT_MEMORY_DEFAULT   0
#define GEM_ORT_HARDWARE_NPU     2

/* The table: an array of functions, each called by its place. */
typedef struct {
  void (*functions[1])(void);
} GemOrtTable;

typedef struct {
  const GemOrtTable *(*get_api)(uint32_t version);
  const char *(*get_version)(void);
} GemOrtBase;
typedef const GemOrtBase *(*GemOrtGetBase)(void);

/* place, our name of it, what it returns, its parameters: an OrtStatus is NULL when all went well. */
#define GEM_ORT_FUNCTIONS(F)                                                                                 \
  F(2, GetErrorMessage, error_message, const char *, (const OrtStatus *))                                    \
  F(3, CreateEnv, create_env, OrtStatus *, (int level, const char *log_id, OrtEnv **))                       \
  F(6, DisableTelemetryEvents, disable_telemetry, OrtStatus *, (const OrtEnv *))                             \
  F(8, CreateSessionFromArray, create_session, OrtStatus *,                                                  \
    (const OrtEnv *, const void *model, size_t bytes, const OrtSessionOptions *, OrtSession **))             \
  F(10, CreateSessionOptions, create_options, OrtStatus *, (OrtSessionOptions **))                           \
  F(19, DisableCpuMemArena, disable_arena, OrtStatus *, (OrtSessionOptions *))                               \
  F(23, SetSessionGraphOptimizationLevel, set_optimization, OrtStatus *, (OrtSessionOptions *, int))         \
  F(24, SetIntraOpNumThreads, set_intra_threads, OrtStatus *, (OrtSessionOptions *, int))                    \
  F(25, SetInterOpNumThreads, set_inter_threads, OrtStatus *, (OrtSessionOptions *, int))                    \
  F(49, CreateTensorWithDataAsOrtValue, create_tensor, OrtStatus *,                                          \
    (const OrtMemoryInfo *, void *data, size_t bytes, const int64_t *shape, size_t n, int type,              \
     OrtValue **))                                                                                           \
  F(69, CreateCpuMemoryInfo, create_memory_info, OrtStatus *, (int allocator, int memory, OrtMemoryInfo **)) \
  F(92, ReleaseEnv, release_env, void, (OrtEnv *))                                                           \
  F(93, ReleaseStatus, release_status, void, (OrtStatus *))                                                  \
  F(94, ReleaseMemoryInfo, release_memory_info, void, (OrtMemoryInfo *))                                     \
  F(95, ReleaseSession, release_session, void, (OrtSession *))                                               \
  F(96, ReleaseValue, release_value, void, (OrtValue *))                                                     \
  F(100, ReleaseSessionOptions, release_options, void, (OrtSessionOptions *))                                \
  F(130, AddSessionConfigEntry, add_config, OrtStatus *,                                                     \
    (OrtSessionOptions *, const char *key, const char *value))                                               \
  F(133, RunWithBinding, run, OrtStatus *, (OrtSession *, const OrtRunOptions *, const OrtIoBinding *))      \
  F(134, CreateIoBinding, create_binding, OrtStatus *, (OrtSession *, OrtIoBinding **))                      \
  F(135, ReleaseIoBinding, release_binding, void, (OrtIoBinding *))                                          \
  F(136, BindInput, bind_input, OrtStatus *, (OrtIoBinding *, const char *name, const OrtValue *))           \
  F(137, BindOutput, bind_output, OrtStatus *, (OrtIoBinding *, const char *name, const OrtValue *))

/* The same from GEM_ORT_API_DEVICES on. */
#define GEM_ORT_DEVICE_FUNCTIONS(F)                                                                          \
  F(297, GetKeyValue, get_value, const char *, (const OrtKeyValuePairs *, const char *key))                  \
  F(301, RegisterExecutionProviderLibrary, register_library, OrtStatus *,                                    \
    (OrtEnv *, const char *name, const char *path))                                                          \
  F(302, UnregisterExecutionProviderLibrary, unregister_library, OrtStatus *, (OrtEnv *, const char *name))  \
  F(303, GetEpDevices, get_devices, OrtStatus *, (const OrtEnv *, const OrtEpDevice *const **, size_t *))    \
  F(304, SessionOptionsAppendExecutionProvider_V2, append_devices, OrtStatus *,                              \
    (OrtSessionOptions *, OrtEnv *, const OrtEpDevice *const *, size_t, const char *const *keys,             \
     const char *const *values, size_t n))                                                                   \
  F(307, HardwareDevice_Type, hardware_type, int, (const OrtHardwareDevice *))                               \
  F(308, HardwareDevice_VendorId, hardware_vendor_id, uint32_t, (const OrtHardwareDevice *))                 \
  F(309, HardwareDevice_Vendor, hardware_vendor, const char *, (const OrtHardwareDevice *))                  \
  F(310, HardwareDevice_DeviceId, hardware_device_id, uint32_t, (const OrtHardwareDevice *))                 \
  F(312, EpDevice_EpName, device_provider, const char *, (const OrtEpDevice *))                              \
  F(314, EpDevice_EpMetadata, device_metadata, const OrtKeyValuePairs *, (const OrtEpDevice *))              \
  F(316, EpDevice_Device, device_hardware, const OrtHardwareDevice *, (const OrtEpDevice *))

#define GEM_ORT_FIELD(place, name, field, result, parameters) result(*field) parameters;

/* The functions by our names, taken from the places. */
typedef struct {
  GEM_ORT_FUNCTIONS(GEM_ORT_FIELD)
  GEM_ORT_DEVICE_FUNCTIONS(GEM_ORT_FIELD) /* NULL before GEM_ORT_API_DEVICES */
} GemOrtApi;
