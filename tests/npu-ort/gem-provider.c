/*
 * An execution provider for tests, as vendors make them: a library that ONNX Runtime opens, which claims
 * every device of type NPU that it is shown and runs the feed-forwards of npu-ort there, on the CPU in truth.
 * Its option "behaviour" says how it does so:
 *
 *   some    takes products of matrices alone, and leaves the rest to others
 *   narrow  the same for graphs that round their inputs
 *   refuse  takes everything, and cannot compile it
 *   fail    compiles, and fails when it runs
 *   nan     compiles, says that all is well when it runs, and gives what is no number
 *   once    works, but for the first graph that is to be kept
 *   plain   works, but keeps nothing of what it has compiled
 *
 * Anything else, or nothing: it works. The environment variable GEM_TEST_PROVIDER_LOG names a file that gets
 * a letter for each graph: c when it was compiled, l when it was loaded as compiled before.
 * GEM_TEST_PROVIDER_LOADS=no: nothing that was compiled before loads. GEM_TEST_PROVIDER_VERSION: its version.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/npu-ort/gem-provider-network.h"

#define NAME "GemTestProvider"

typedef struct {
  GemProviderFactory factory; /* first */
  GemProviderApi api;
} Factory;

typedef struct {
  GemProviderEp provider; /* first */
  const GemProviderApi *api;
  char behaviour[16];
  bool keeps; /* what it compiles is wanted */
} Provider;

typedef struct {
  GemProviderComputeInfo info; /* first */
  const Provider *provider;
  GemProviderNetwork network;
} Compiled;

#define EXPORT __attribute__((visibility("default")))

EXPORT OrtStatus *
CreateEpFactories(const char *name,
                  const GemOrtBase *base,
                  const OrtLogger *logger,
                  GemProviderFactory **factories,
                  size_t most,
                  size_t *ret_n);
EXPORT OrtStatus *
ReleaseEpFactory(GemProviderFactory *factory);

static OrtStatus *
fail(const GemProviderApi *api, const char *message)
{
  return api->create_status(GEM_PROVIDER_FAIL, message);
}

static bool
is_told(const Provider *self, const char *behaviour)
{
  return strcmp(self->behaviour, behaviour) == 0;
}

static void
note(char letter)
{
  const char *path = getenv("GEM_TEST_PROVIDER_LOG");
  int fd = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
  if (fd >= 0) {
    if (write(fd, &letter, 1) != 1) {
      abort();
    }
    close(fd);
  }
}

/* ---- which nodes it takes ---- */

static bool
has_operator(const GemProviderApi *api, const OrtNode **nodes, size_t n, const char *wanted)
{
  bool has = false;
  for (size_t i = 0; i < n && !has; i++) {
    const char *name = "";
    has = api->node_operator(nodes[i], &name) == NULL && strcmp(name, wanted) == 0;
  }
  return has;
}

static OrtStatus *
take_nodes(const Provider *self, const OrtNode **nodes, size_t n, OrtEpGraphSupportInfo *info)
{
  const GemProviderFusion fusion = {.version = GEM_PROVIDER_API, .drop_constants = true};
  OrtStatus *status = NULL;
  bool products_alone =
      is_told(self, "some") || (is_told(self, "narrow") && has_operator(self->api, nodes, n, "Round"));
  if (!products_alone) {
    return self->api->take_nodes(info, nodes, n, &fusion);
  }
  for (size_t i = 0; i < n && status == NULL; i++) {
    const char *name = "";
    status = self->api->node_operator(nodes[i], &name);
    if (status == NULL && strcmp(name, "MatMul") == 0) {
      status = self->api->take_nodes(info, &nodes[i], 1, &fusion);
    }
  }
  return status;
}

static OrtStatus *
get_capability(GemProviderEp *provider, const OrtGraph *graph, OrtEpGraphSupportInfo *info)
{
  const Provider *self = (const Provider *)provider;
  size_t n = 0;
  OrtStatus *status = self->api->count_nodes(graph, &n);
  const OrtNode **nodes = calloc(n + 1, sizeof *nodes);
  if (status == NULL && nodes == NULL) {
    status = fail(self->api, "out of memory");
  }
  if (status == NULL && nodes != NULL && n > 0) {
    status = self->api->nodes(graph, nodes, n);
    status = status == NULL ? take_nodes(self, nodes, n, info) : status;
  }
  free(nodes);
  return status;
}

/* ---- running ---- */

static OrtStatus *
create_state(GemProviderComputeInfo *info, void *context, void **ret_state)
{
  (void)context;
  *ret_state = info;
  return NULL;
}

static void
release_state(GemProviderComputeInfo *info, void *state)
{
  (void)info;
  (void)state;
}

static OrtStatus *
compute(GemProviderComputeInfo *info, void *state, OrtKernelContext *context)
{
  const Compiled *self = (const Compiled *)info;
  const GemProviderApi *api = self->provider->api;
  const OrtValue *x = NULL;
  OrtValue *y = NULL;
  OrtTensorTypeAndShapeInfo *info_of_x = NULL;
  int64_t shape[2] = {0};
  void *from = NULL, *to = NULL;
  (void)state;
  if (is_told(self->provider, "fail")) {
    return fail(api, "the test provider was told to fail");
  }
  OrtStatus *status = api->kernel_input(context, 0, &x);
  status = status == NULL ? api->tensor_shape(x, &info_of_x) : status;
  status = status == NULL ? api->dimensions(info_of_x, shape, 2) : status;
  status = status == NULL ? api->kernel_output(context, 0, shape, 2, &y) : status;
  status = status == NULL ? api->tensor_data((OrtValue *)x, &from) : status;
  status = status == NULL ? api->tensor_data(y, &to) : status;
  if (info_of_x != NULL) {
    api->release_shape(info_of_x);
  }
  if (status == NULL && ((uint32_t)shape[1] != self->network.width ||
                         !gem_provider_network_run(&self->network, from, (size_t)shape[0], to))) {
    status = fail(api, "a call does not fit");
  }
  if (status == NULL && is_told(self->provider, "nan")) {
    ((float *)to)[shape[1] - 1] = NAN; /* of the first row */
  }
  return status;
}

/* ---- compiling ---- */

/* The node that stands for what was compiled, in a model that is kept: known by the name of the `fused` one.
 */
static OrtStatus *
make_context(const Provider *self,
             const GemProviderNetwork *network,
             const OrtNode *fused,
             OrtNode **ret_node)
{
  static const int64_t one = 1;
  const GemProviderApi *api = self->api;
  OrtOpAttr *attributes[4] = {0};
  size_t size = 0, made = 0;
  void *bytes = gem_provider_network_save(network, &size);
  if (bytes == NULL) {
    return fail(api, "out of memory");
  }
  const struct {
    const char *name;
    const void *data;
    size_t n;
    int type;
  } wanted[] = {{"main_context", &one, 1, GEM_PROVIDER_ATTRIBUTE_INT},
                {"embed_mode", &one, 1, GEM_PROVIDER_ATTRIBUTE_INT},
                {"ep_cache_context", bytes, size, GEM_PROVIDER_ATTRIBUTE_STRING},
                {"source", NAME, strlen(NAME), GEM_PROVIDER_ATTRIBUTE_STRING}};
  const char *name = "";
  OrtStatus *status = api->node_name(fused, &name);
  for (; made < 4 && status == NULL; made++) {
    status = api->create_attribute(wanted[made].name, wanted[made].data, (int)wanted[made].n,
                                   wanted[made].type, &attributes[made]);
  }
  if (status == NULL) {
    status =
        api->create_node("EPContext", "com.microsoft", name, (const char *const[]){"x"}, 1,
                         (const char *const[]){"y"}, 1, attributes, 4, ret_node); /* takes the attributes */
  }
  free(bytes);
  return status;
}

/* From the node of a model that was kept. */
static bool
load_context(const GemProviderApi *api, const OrtNode *node, GemProviderNetwork *network)
{
  const OrtOpAttr *attribute = NULL;
  size_t size = 0;
  if (api->node_attribute(node, "ep_cache_context", &attribute) != NULL || attribute == NULL) {
    return false;
  }
  OrtStatus *status = api->read_attribute(attribute, GEM_PROVIDER_ATTRIBUTE_STRING, NULL, 0, &size);
  if (status != NULL) { /* it says that there is too little room, and how much there must be */
    api->release_status(status);
  }
  char *bytes = malloc(size + 1);
  bool loaded =
      getenv("GEM_TEST_PROVIDER_LOADS") == NULL && bytes != NULL &&
      api->read_attribute(attribute, GEM_PROVIDER_ATTRIBUTE_STRING, bytes, size + 1, &size) == NULL &&
      gem_provider_network_load(network, bytes, size);
  free(bytes);
  return loaded;
}

/* The only node of the graph, when it is one that stands for something compiled. */
static const OrtNode *
context_of(const GemProviderApi *api, const OrtGraph *graph)
{
  const OrtNode *node = NULL;
  const char *name = "";
  size_t n = 0;
  bool is_context = api->count_nodes(graph, &n) == NULL && n == 1 && api->nodes(graph, &node, 1) == NULL &&
                    api->node_operator(node, &name) == NULL && strcmp(name, "EPContext") == 0;
  return is_context ? node : NULL;
}

/* A feed-forward from its graph; or a product of its own, which is never run. */
static bool
read_network(const Provider *self, const OrtGraph *graph, GemProviderNetwork *network)
{
  const OrtNode *nodes[64];
  size_t n = 0;
  bool listed = self->api->count_nodes(graph, &n) == NULL && n <= sizeof nodes / sizeof *nodes &&
                self->api->nodes(graph, nodes, n) == NULL;
  if (listed && n == 1) {
    return true;
  }
  bool read = listed && gem_provider_network_read(network, self->api, graph);
  if (read && !has_operator(self->api, nodes, n, "Round")) {
    network->rounded = 0;
  }
  return read;
}

static OrtStatus *
compile_graph(const Provider *self,
              const OrtGraph *graph,
              const OrtNode *fused,
              GemProviderComputeInfo **ret_info,
              OrtNode **ret_context)
{
  const OrtNode *context = context_of(self->api, graph);
  Compiled *compiled = calloc(1, sizeof *compiled);
  if (compiled == NULL) {
    return fail(self->api, "out of memory");
  }
  *compiled = (Compiled){.info = {.version = GEM_PROVIDER_API,
                                  .create_state = create_state,
                                  .compute = compute,
                                  .release_state = release_state},
                         .provider = self};
  bool made = context != NULL ? load_context(self->api, context, &compiled->network)
                              : read_network(self, graph, &compiled->network);
  static bool has_failed;
  bool fails_once = is_told(self, "once") && self->keeps && context == NULL && !has_failed;
  has_failed = has_failed || fails_once;
  if (!made || fails_once || is_told(self, "refuse")) {
    gem_provider_network_clear(&compiled->network);
    free(compiled);
    return fail(self->api, made ? "the test provider was told to refuse" : "the graph is not known");
  }
  note(context != NULL ? 'l' : 'c');
  *ret_info = &compiled->info;
  bool keeps = ret_context != NULL && self->keeps && context == NULL && !is_told(self, "plain");
  return keeps ? make_context(self, &compiled->network, fused, ret_context) : NULL;
}

static OrtStatus *
compile(GemProviderEp *provider,
        const OrtGraph **graphs,
        const OrtNode **fused,
        size_t n,
        GemProviderComputeInfo **ret_infos,
        OrtNode **ret_contexts)
{
  const Provider *self = (const Provider *)provider;
  OrtStatus *status = NULL;
  for (size_t i = 0; i < n && status == NULL; i++) {
    status = compile_graph(self, graphs[i], fused[i], &ret_infos[i],
                           ret_contexts != NULL ? &ret_contexts[i] : NULL);
  }
  return status;
}

static void
release_infos(GemProviderEp *provider, GemProviderComputeInfo **infos, size_t n)
{
  (void)provider;
  for (size_t i = 0; i < n; i++) {
    Compiled *compiled = (Compiled *)infos[i];
    if (compiled != NULL) {
      gem_provider_network_clear(&compiled->network);
      free(compiled);
    }
  }
}

/* ---- the factory ---- */

static const char *
get_provider_name(const GemProviderEp *provider)
{
  (void)provider;
  return NAME;
}

static const char *
get_name(const GemProviderFactory *factory)
{
  (void)factory;
  return NAME;
}

static const char *
get_vendor(const GemProviderFactory *factory)
{
  (void)factory;
  return "gemd";
}

static uint32_t
get_vendor_id(const GemProviderFactory *factory)
{
  (void)factory;
  return 0x1234;
}

/* What is compiled with one version does not load with another. */
static const char *
get_version(const GemProviderFactory *factory)
{
  const char *version = getenv("GEM_TEST_PROVIDER_VERSION");
  (void)factory;
  return version != NULL ? version : "1.0.0";
}

static OrtStatus *
get_devices(GemProviderFactory *factory,
            const OrtHardwareDevice *const *devices,
            size_t n,
            OrtEpDevice **ret_devices,
            size_t most,
            size_t *ret_n)
{
  const GemProviderApi *api = &((const Factory *)factory)->api;
  OrtStatus *status = NULL;
  *ret_n = 0;
  for (size_t i = 0; i < n && *ret_n < most && status == NULL; i++) {
    if (api->hardware_type(devices[i]) == GEM_ORT_HARDWARE_NPU) {
      status = api->create_device(factory, devices[i], NULL, NULL, &ret_devices[*ret_n]);
      *ret_n += status == NULL ? 1 : 0;
    }
  }
  return status;
}

/* Whether the session asks for what is compiled. */
static OrtStatus *
take_keeps(Provider *self, const OrtSessionOptions *options)
{
  static const char key[] = "ep.context_enable";
  char value[8] = "";
  size_t size = sizeof value;
  int has = 0;
  OrtStatus *status = self->api->has_config(options, key, &has);
  if (status == NULL && has != 0) {
    status = self->api->get_config(options, key, value, &size);
  }
  self->keeps = strcmp(value, "1") == 0;
  return status;
}

static OrtStatus *
create(GemProviderFactory *factory,
       const OrtHardwareDevice *const *devices,
       const OrtKeyValuePairs *const *metadata,
       size_t n,
       const OrtSessionOptions *options,
       const OrtLogger *logger,
       GemProviderEp **ret_provider)
{
  static const char key[] = "ep.gemtestprovider.behaviour";
  const GemProviderApi *api = &((const Factory *)factory)->api;
  Provider *self = calloc(1, sizeof *self);
  size_t size = sizeof self->behaviour;
  int has_behaviour = 0;
  (void)devices;
  (void)metadata;
  (void)n;
  (void)logger;
  if (self == NULL) {
    return fail(api, "out of memory");
  }
  *self = (Provider){.provider = {.version = GEM_PROVIDER_API,
                                  .get_name = get_provider_name,
                                  .get_capability = get_capability,
                                  .compile = compile,
                                  .release_infos = release_infos},
                     .api = api};
  OrtStatus *status = api->has_config(options, key, &has_behaviour);
  if (status == NULL && has_behaviour != 0) {
    status = api->get_config(options, key, self->behaviour, &size);
  }
  if (status == NULL) {
    status = take_keeps(self, options);
  }
  if (status != NULL) {
    free(self);
    return status;
  }
  *ret_provider = &self->provider;
  return NULL;
}

static void
release(GemProviderFactory *factory, GemProviderEp *provider)
{
  (void)factory;
  free(provider);
}

static OrtStatus *
create_data_transfer(GemProviderFactory *factory, void **ret_transfer)
{
  (void)factory;
  *ret_transfer = NULL;
  return NULL;
}

static bool
is_stream_aware(const GemProviderFactory *factory)
{
  (void)factory;
  return false;
}

#define TAKE(place, name, field, result, parameters)                                                         \
  memcpy(&api->field, &table->functions[(place)], sizeof api->field);

static void
take_tables(GemProviderApi *api, const GemOrtTable *table)
{
  GEM_PROVIDER_FUNCTIONS(TAKE)
  table = api->provider_table();
  GEM_PROVIDER_EP_FUNCTIONS(TAKE)
  table = api->editor_table();
  GEM_PROVIDER_EDITOR_FUNCTIONS(TAKE)
}

OrtStatus *
CreateEpFactories(const char *name,
                  const GemOrtBase *base,
                  const OrtLogger *logger,
                  GemProviderFactory **factories,
                  size_t most,
                  size_t *ret_n)
{
  Factory *self = calloc(1, sizeof *self);
  (void)name;
  (void)logger;
  if (self == NULL || most == 0) {
    abort(); /* before there is a table to make a status with */
  }
  take_tables(&self->api, base->get_api(GEM_PROVIDER_API));
  self->factory = (GemProviderFactory){.version = GEM_PROVIDER_API,
                                       .get_name = get_name,
                                       .get_vendor = get_vendor,
                                       .get_devices = get_devices,
                                       .create = create,
                                       .release = release,
                                       .get_vendor_id = get_vendor_id,
                                       .get_version = get_version,
                                       .create_data_transfer = create_data_transfer,
                                       .is_stream_aware = is_stream_aware};
  factories[0] = &self->factory;
  *ret_n = 1;
  return NULL;
}

OrtStatus *
ReleaseEpFactory(GemProviderFactory *factory)
{
  free(factory);
  return NULL;
}
