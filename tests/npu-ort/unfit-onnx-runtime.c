/* Libraries that backends/npu-ort must decline: compiled once for each VERSION; without one it is not even an
 * ONNX Runtime. */
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const void *(*get_api)(uint32_t version);
  const char *(*get_version)(void);
} Base;

#ifdef VERSION
static const void *
get_api(uint32_t version)
{
  (void)version;
  return NULL;
}

static const char *
get_version(void)
{
  return VERSION;
}

__attribute__((visibility("default"))) const Base *
OrtGetApiBase(void);
const Base *
OrtGetApiBase(void)
{
  static const Base base = {get_api, get_version};
  return &base;
}
#endif
