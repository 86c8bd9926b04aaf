/*
 * The plugin ABI of gemd: plain C, no GLib, so that a module can be closed again.
 *
 * A module exports one symbol, `gem_plugin_describe`, which returns a static GemPlugin. The daemon reads
 * abi_major, abi_minor and struct_size before it looks at anything else, and refuses a module whose major
 * differs, whose minor is newer than its own, or whose structures are smaller than those of the minor that it
 * states. Modules are opened from root-owned folders only, never when writable by group or others.
 *
 * Threads: every function below is called from the daemon's engine thread alone, but where it says otherwise.
 * Errors: a function that can fail takes a GemPluginError, writes one line without a newline that names the
 * thing at fault, and returns NULL or a negative number. It never writes a caller's text there. Ownership:
 * what `open` or `*_new` returns is released by the matching `close` or `*_free`, never by free(). Pointers
 * handed to a module stay valid as long as the object that it made with them, unless said otherwise. Shapes:
 * row-major; [n][d] is n rows of d floats.
 *
 * What may change: GemPlugin, GemShape and GemBackendOptions say their size, and GemPlugin that of the table
 * of functions; these grow at their end, past what their size was, with a new minor version. Every other
 * structure has no size: it is filled in by the other side (GemTensorView, GemProbeReport), or lies in an
 * array whose stride is its size (GemRouterTurn, GemAttentionSpan). It stays as it is, a field at the end
 * included, as long as the major version does; what has to be said beside it comes in a structure of its own,
 * as GemRouterClasses did. tests/test-plugin-abi.c knows the layout of all of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEM_PLUGIN_ABI_MAJOR 1u
#define GEM_PLUGIN_ABI_MINOR 5u /* what came after 0 says so below */
#define GEM_PLUGIN_ENTRY     "gem_plugin_describe"
#define GEM_PLUGIN_EXPORT    __attribute__((visibility("default")))

typedef enum {
  GEM_PLUGIN_ROUTER = 1,
  GEM_PLUGIN_ATTENTION = 2,
  GEM_PLUGIN_PATHWAY = 3,
  GEM_PLUGIN_BACKEND = 4,
} GemPluginKind;

typedef struct {
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t struct_size;    /* sizeof(GemPlugin) as the module was built */
  uint32_t kind;           /* GemPluginKind */
  uint32_t functions_size; /* sizeof of the kind's table as the module was built */
  const char *name;        /* "bert", "scar", "legal", "cpu": [a-z0-9-]+, unique within the kind */
  const char *version;
  const char *license; /* SPDX */
  const char *summary; /* one line */
  const void
      *functions; /* GemRouterFunctions, GemAttentionFunctions, GemPathwayFunctions or GemBackendFunctions */
} GemPlugin;

/* The one exported symbol. */
typedef const GemPlugin *(*GemPluginDescribe)(void);

/* Defines the entry: GEM_PLUGIN_DEFINE(GEM_PLUGIN_ROUTER, "bert", "1.0", "Apache-2.0", "...", functions); */
#define GEM_PLUGIN_DEFINE(plugin_kind, plugin_name, plugin_version, plugin_license, plugin_summary, table)   \
  GEM_PLUGIN_EXPORT const GemPlugin *gem_plugin_describe(void);                                              \
  const GemPlugin *gem_plugin_describe(void)                                                                 \
  {                                                                                                          \
    static const GemPlugin plugin = {                                                                        \
        .abi_major = GEM_PLUGIN_ABI_MAJOR,                                                                   \
        .abi_minor = GEM_PLUGIN_ABI_MINOR,                                                                   \
        .struct_size = sizeof(GemPlugin),                                                                    \
        .kind = (plugin_kind),                                                                               \
        .functions_size = sizeof(table),                                                                     \
        .name = (plugin_name),                                                                               \
        .version = (plugin_version),                                                                         \
        .license = (plugin_license),                                                                         \
        .summary = (plugin_summary),                                                                         \
        .functions = &(table),                                                                               \
    };                                                                                                       \
    return &plugin;                                                                                          \
  }

typedef struct {
  char message[256];
} GemPluginError;

/* ---- what a module reads of the model ---- */

/* Tensor types by their GGUF ids: 0 F32, 1 F16, 2 Q4_0, 8 Q8_0, 14 Q6_K. */
typedef struct GemTensorView {
  uint32_t type;
  size_t rows;
  size_t cols;
  size_t bytes; /* rows of blocks */
  /* Where they are in memory; NULL: on disk. Valid during the call of `open` alone, as `read` is: a backend
   * copies or packs them. */
  const void *data;
  /* Where data is NULL: copies `bytes` of them from `offset` on; false: they cannot be read. From any thread,
   * several at a time. */
  bool (*read)(const struct GemTensorView *self, size_t offset, size_t bytes, void *to);
  void *context; /* of `read`, as the next */
  const void *tensor;
} GemTensorView;

/* One model file, as a module may see it. */
typedef struct {
  void *context;
  const char *file; /* for messages */
  /* false: no such tensor */
  bool (*find_tensor)(void *context, const char *name, GemTensorView *ret_tensor);
  /* Numbers and strings of the metadata; false: no such key. The string lives as long as the source. */
  bool (*find_number)(void *context, const char *key, double *ret_value);
  const char *(*find_string)(void *context, const char *key);
} GemTensorSource;

/* The model's hyper-parameters; see format/gem-model-shape.h for their meaning. */
typedef struct {
  uint32_t struct_size;
  uint32_t vocab, width, layers, heads, kv_heads, head_dim, rope_dim, ffn, domain_ffn, context, window,
      domains;
  uint32_t n_cluster_sets;
  uint32_t clusters[4];
  float rms_epsilon, rope_base;
  /* Since ABI 1.3: a position is on the list of the cluster of the one before it (gem_list_of_position).
   * Models with it are not given to attention modules of an earlier ABI. */
  bool successors;
} GemShape;

/* ---- keys and values of earlier tokens ---- */

/* A tile holds keys and values of so many positions of one layer of one sequence, all heads, in a form of the
 * backend's own; the daemon owns its memory. */
#define GEM_KEY_VALUE_TILE 16u
/* Bytes that a tile's address is a multiple of. */
#define GEM_KEY_VALUE_ALIGNMENT 64u
/* Lists that a group of rows may look into. */
#define GEM_KEY_VALUE_PARTS 4u

typedef struct {
  uint32_t kv_heads;
  uint32_t head_dim;
  bool half; /* about 16 bits a value in place of 8 */
} GemKeyValueForm;

/* Some positions of one layer of one sequence, in ascending order: member m stands at place m % 16 of tile
 * m / 16. */
typedef struct {
  uint32_t count;              /* members, those whose tiles are gone included */
  uint32_t first_tile;         /* tiles before it are gone */
  const uint8_t *const *tiles; /* from first_tile on */
} GemKeyValueList;

/* What the rows of a group see of one list. */
typedef struct {
  const uint8_t *const *tiles;
  uint32_t first_tile;
  const uint32_t *from; /* [n] each row of the group sees members from .. to - 1; none when from >= to */
  const uint32_t *to;
} GemKeyValuePart;

/* Query rows that see members of the same lists; a member is in one of the lists only. */
typedef struct {
  const uint32_t *rows; /* [n] their indices in q and out; NULL: from first_row on */
  uint32_t first_row;
  uint32_t n;
  uint32_t n_parts; /* <= GEM_KEY_VALUE_PARTS */
  const GemKeyValuePart *parts;
} GemKeyValueGroup;

/* ---- backend: where arithmetic runs ---- */

typedef enum {
  GEM_PROBE_UNSUPPORTED = 0, /* this machine will never have it */
  GEM_PROBE_DEFERRED = 1,    /* the device is not there yet: ask again later */
  GEM_PROBE_SUPPORTED = 2,
} GemProbeResult;

typedef struct {
  int32_t score;    /* the highest score is used */
  char device[96];  /* "x86-64 CPU", "/dev/accel/accel0", ... */
  char kernels[96]; /* "reference", "avx512 vnni", ... */
  char reason[160]; /* why unsupported or deferred. Of a device that is supported: what else its results and
                       their speed depend on, as options of its driver; decisions are kept by it */
} GemProbeReport;

typedef struct GemMatrix GemMatrix;             /* of the backend */
typedef struct GemBackendState GemBackendState; /* of the backend */

/* One feed-forward: y += W_down (silu(W_gate x) * W_up x). */
typedef struct {
  const GemMatrix *gate; /* [ffn][width] */
  const GemMatrix *up;   /* [ffn][width] */
  const GemMatrix *down; /* [width][ffn] */
} GemFeedForward;

/* Since ABI 1.2: a pathway as its file has it, for a backend that takes it whole. */
typedef struct {
  GemTensorView gate; /* [ffn][width] */
  GemTensorView up;   /* [ffn][width] */
  GemTensorView down; /* [width][ffn] */
} GemFeedForwardTensors;

typedef struct {
  const char *name; /* "general" or the domain */
  uint32_t layers;
  const GemFeedForwardTensors *feed_forwards; /* [layers] */
} GemPathwayTensors;

typedef struct GemCompiled GemCompiled; /* of the backend */

typedef struct {
  uint32_t struct_size;
  uint32_t threads; /* that may work at a time, the caller's among them; 0: the backend's choice */
  /* Since ABI 1.2, where struct_size has room for it: a folder for what may be made again; NULL: there is
   * none. A backend writes below a folder of its own name there. Valid during `open`. */
  const char *cache_dir;
  /* Since ABI 1.4, where struct_size has room for it: which bytes a tensor's are, for a backend that keeps
   * its own form of them in cache_dir. The SHA-256 of the file that they lie in, 64 lower-case hexadecimal
   * digits, which it was found to have, and where in it they begin. False: they are not to be kept; NULL:
   * none is. During matrix_new, on its thread; the digest is valid until that returns. Whether the file
   * stayed what it was while it was read is known later: nothing may be kept before group_end, and then only
   * of matrices that were not freed by then. */
  bool (*locate)(const GemTensorView *tensor, const char **ret_digest, uint64_t *ret_offset);
} GemBackendOptions;

typedef struct GemBackendFunctions {
  /* From CPU flags or a look at the device, before any of its vector code runs. Any thread. */
  GemProbeResult (*probe)(GemProbeReport *ret_report);
  GemBackendState *(*open)(const GemBackendOptions *options, GemPluginError *error);
  void (*close)(GemBackendState *self);

  /* Matrices that are made between these two come and go together, so that their memory can be one piece.
   * `bytes`: of all their blocks, or more. Not nested; one that is freed before the others, and more than
   * `bytes`, cost memory only. A group that goes while another has begun and has no matrix yet may leave its
   * memory to that one; what is not used of it goes back with group_end. */
  void (*group_begin)(GemBackendState *self, size_t bytes);
  void (*group_end)(GemBackendState *self);
  /* Copies `data` (rows of blocks of `type`) into the backend's own form. */
  GemMatrix *(*matrix_new)(GemBackendState *self, const GemTensorView *tensor, GemPluginError *error);
  void (*matrix_free)(GemBackendState *self, GemMatrix *matrix);
  size_t (*matrix_bytes)(const GemMatrix *matrix);
  /* One row as floats, for embeddings: values is [cols]. */
  void (*matrix_row)(GemBackendState *self, const GemMatrix *matrix, size_t row, float *values);

  /* y[i][n][rows of matrix i] = x[n][cols] W_i^T for `count` matrices that share their input: what is done to
   * the input, such as rounding it, is done once. A row's result does not depend on the other rows. */
  void (*linear)(GemBackendState *self,
                 const GemMatrix *const *matrices,
                 size_t count,
                 const float *x,
                 size_t n,
                 float *const *y);
  /* y[n][width] += FFN(x[n][width]). */
  void (*feed_forward)(GemBackendState *self, const GemFeedForward *ffn, const float *x, size_t n, float *y);
  /* y[n][d] = x / sqrt(mean(x^2) + epsilon) * weight; y may be x. */
  void (*rms_norm)(GemBackendState *self,
                   const float *x,
                   const float *weight,
                   size_t n,
                   size_t d,
                   float epsilon,
                   float *y);
  /* Rotates pairs (2i, 2i + 1) of the first rope_dim values of each head; x is [n][heads][head_dim]. */
  void (*rope)(GemBackendState *self,
               float *x,
               const uint32_t *positions,
               size_t n,
               size_t heads,
               size_t head_dim,
               size_t rope_dim,
               float base);
  void (*gelu)(GemBackendState *self, float *x, size_t count);
  void (*softmax)(GemBackendState *self, float *x, size_t n);
  /* cluster[i] = argmax_j cos(u[i], centroids[j]); centroids [k][d] of unit length. */
  void (*scar_assign)(GemBackendState *self,
                      const float *u,
                      size_t n,
                      size_t d,
                      const float *centroids,
                      size_t k,
                      uint8_t *clusters);
  /* Bytes of a tile; a multiple of GEM_KEY_VALUE_ALIGNMENT. */
  size_t (*kv_tile_bytes)(GemBackendState *self, const GemKeyValueForm *form);
  /* Position i of n, its keys and values [kv_heads][head_dim], goes to place places[i] of tiles[i]. */
  void (*kv_store)(GemBackendState *self,
                   const GemKeyValueForm *form,
                   const float *keys,
                   const float *values,
                   size_t n,
                   uint8_t *const *tiles,
                   const uint8_t *places);
  /* Copies one position. */
  void (*kv_copy)(GemBackendState *self,
                  const GemKeyValueForm *form,
                  const uint8_t *from,
                  size_t from_place,
                  uint8_t *to,
                  size_t to_place);
  /* out = softmax(q k^T / sqrt(head_dim)) v over what each row of the groups sees, zeros where it sees
   * nothing; q and out are [rows][heads][head_dim], and only rows of the groups are touched. Heads are a
   * multiple of kv_heads. A row's result does not depend on the other rows, nor on members that it does not
   * see. */
  void (*attend)(GemBackendState *self,
                 const GemKeyValueForm *form,
                 size_t heads,
                 const float *q,
                 const GemKeyValueGroup *groups,
                 size_t n_groups,
                 float *out);

  /* Since ABI 1.2, all four or none. A backend that has them is a device with memory of its own that runs
   * whole pathways and nothing else: it leaves everything between `close` and here NULL, and works beside a
   * backend that has all that. */

  /* Copies the weights into the form of the device. May take its time; from any thread, while others run. */
  GemCompiled *(*compile)(GemBackendState *self, const GemPathwayTensors *tensors, GemPluginError *error);
  /* From any thread, too. */
  void (*compiled_free)(GemBackendState *self, GemCompiled *compiled);
  size_t (*compiled_bytes)(const GemCompiled *compiled); /* of memory, the device's or the process's */
  /* y[n][width] += FFN(x[n][width]) of that layer. False: the device failed, and y is as it was. What a row
   * gives may differ with n in its last bits. One thread at a time for each `compiled`: the daemon tries a
   * new one on a thread of its own, while the engine thread runs others and `compile` may be at work, too. */
  bool (*run)(GemBackendState *self,
              GemCompiled *compiled,
              uint32_t layer,
              const float *x,
              size_t n,
              float *y,
              GemPluginError *error);

  /* Since ABI 1.4; NULL: it keeps nothing. Matrices of the file with that SHA-256 are going to be asked for:
   * has what it keeps of them (GemBackendOptions.locate) read ahead, and does not wait. False: it keeps
   * nothing of that file, which is going to be read itself. */
  bool (*expect)(GemBackendState *self, const char *digest);

  /* Since ABI 1.5; NULL: gem_backend_linear_add does without. y[n][rows] += x[n][cols] W^T, where a thread
   * adds what it has just multiplied. `product` is [n][rows], to work in; x, product and y do not overlap. */
  void (*linear_add)(
      GemBackendState *self, const GemMatrix *matrix, const float *x, size_t n, float *product, float *y);
} GemBackendFunctions;

/* A backend in use, as other modules get it. */
typedef struct {
  const GemBackendFunctions *functions;
  GemBackendState *state;
} GemBackend;

/* One matrix: y[n][rows] = x[n][cols] W^T. */
static inline void
gem_backend_linear(const GemBackend *backend, const GemMatrix *matrix, const float *x, size_t n, float *y)
{
  backend->functions->linear(backend->state, &matrix, 1, x, n, &y);
}

/* y[n][rows] += x[n][cols] W^T, on any backend that multiplies; product is [n][rows], to work in. */
static inline void
gem_backend_linear_add(const GemBackend *backend,
                       const GemMatrix *matrix,
                       size_t rows,
                       const float *x,
                       size_t n,
                       float *product,
                       float *y)
{
  if (backend->functions->linear_add != NULL) {
    backend->functions->linear_add(backend->state, matrix, x, n, product, y);
    return;
  }
  gem_backend_linear(backend, matrix, x, n, product);
  for (size_t i = 0; i < n * rows; i++) {
    y[i] += product[i];
  }
}

/* ---- router: P(d | token) ---- */

typedef struct GemRouter GemRouter;
typedef struct GemRouterState
    GemRouterState; /* what it remembers of one sequence: keys and values inside its window */

/* One turn of n tokens, which may be none, after what `state` remembers. `causal` false: within the turn
 * token i sees j when |i - j| < window; true: only j <= i. Earlier turns are seen when i - j < window. */
typedef struct {
  GemRouterState *state;
  const uint32_t *tokens; /* [n] */
  size_t n;
  bool causal;
  float *probabilities; /* [n][domains], filled: each row sums to 1 */
} GemRouterTurn;

/* Since ABI 1.2. A class that a turn has beside the model's: its logit of a token, whose output of the
 * encoder is e, is weight . e + bias. */
typedef struct {
  const float *weight; /* [width of the router] */
  float bias;
} GemRouterRow;

/* Since ABI 1.2. The classes of a turn that has others than the model's: the softmax is over all that it has.
 * Valid during the call alone. */
typedef struct {
  const GemRouterRow *rows; /* [n_rows] */
  uint32_t n_rows;
  uint64_t without; /* bit d: it does not have class d of the model, whose probability is 0 */
} GemRouterClasses;

/* Of `route`: it was asked to stop. */
#define GEM_ROUTER_STOPPED (-100)

typedef struct GemRouterFunctions {
  /* `source` is router.gguf. `backend` stays valid until close. */
  GemRouter *(*open)(const GemTensorSource *source,
                     const GemShape *shape,
                     const GemBackend *backend,
                     GemPluginError *error);
  void (*close)(GemRouter *self);
  size_t (*resident_bytes)(const GemRouter *self);

  GemRouterState *(*state_new)(GemRouter *self); /* NULL: out of memory */
  GemRouterState *(*state_copy)(GemRouter *self, const GemRouterState *state);
  /* Wipes what it remembers of a caller's text before the memory goes back. */
  void (*state_free)(GemRouter *self, GemRouterState *state);
  size_t (*state_bytes)(const GemRouter *self);

  /* Turns of different states, each weight read once for all of them: the paper's Dynamic Token Router,
   * softmax(W_r e_i) for every token i. Each turn joins its state, and its result does not depend on the
   * others. A turn of any length is taken. Negative: out of memory, a token outside the vocabulary, or
   * GEM_ROUTER_STOPPED; all states are as they were then. */
  int (*route)(GemRouter *self, const GemRouterTurn *turns, size_t count);

  /* Since ABI 1.1. From now on `go_on` is called at least once every few milliseconds of a long `route`; when
   * it says false, `route` gives up. NULL: it is never given up. */
  void (*set_go_on)(GemRouter *self, bool (*go_on)(void *data), void *data);

  /* Since ABI 1.2. Values of a row. */
  uint32_t (*row_width)(const GemRouter *self);
  /* Since ABI 1.2. `route` for turns with classes of their own: classes [count], NULL for a turn that has the
   * model's; else its probabilities are [n][domains + n_rows]. Here, too, a turn's result does not depend on
   * the others, whatever classes they have. */
  int (*route_classes)(GemRouter *self,
                       const GemRouterTurn *turns,
                       const GemRouterClasses *const *classes,
                       size_t count);
} GemRouterFunctions;

/* ---- attention: which keys a token sees ---- */

typedef struct GemAttention GemAttention;

/* n consecutive rows of one sequence in one layer. */
typedef struct {
  uint32_t first; /* position of the first row; row i stands at first + i */
  uint32_t n;
  GemKeyValueList in_order; /* all positions; the tiles of at least the latest `window` before any row, and of
                               the rows, are there */
  uint32_t n_clusters;      /* 0 without */
  const GemKeyValueList *lists; /* [n_clusters] positions, the rows' among them (gem_list_of_position) */
  const uint8_t *clusters;      /* [first + n] */
} GemAttentionSpan;

/* The cluster on whose list a position is: its own, or with shape.successors that of the position before it,
 * so that a token which looks into its cluster's list finds what followed the tokens of its cluster. */
static inline uint8_t
gem_list_of_position(const uint8_t *clusters, uint32_t position, bool successors)
{
  return clusters[successors && position > 0 ? position - 1 : position];
}

typedef struct GemAttentionFunctions {
  /* `source` is general.gguf (centroids). cluster_set is an index into shape->clusters (the k to use). */
  GemAttention *(*open)(const GemTensorSource *source,
                        const GemShape *shape,
                        const GemBackend *backend,
                        GemPluginError *error);
  void (*close)(GemAttention *self);
  size_t (*resident_bytes)(const GemAttention *self);
  /* Whether `assign` must be called, its result kept, and a list kept for each cluster. */
  bool (*needs_clusters)(const GemAttention *self);
  /* How many of the latest positions, a row's own among them, it looks for in the list of all positions;
   * UINT32_MAX: all. */
  uint32_t (*needs_window)(const GemAttention *self);
  /* The cluster of each row's normed input u [n][width]; cluster_set indexes shape->clusters. */
  void (*assign)(
      GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters);
  /* The rows of all spans, one after the other: q, rotated, and out are [rows][heads][head_dim]. Keys and
   * values of the rows are in the lists already. SCAR: row i sees j when j <= i and (j is on the list of
   * i's cluster, or i - j < window, or j == 0). Negative: out of memory. */
  int (*attend)(GemAttention *self,
                const GemKeyValueForm *form,
                const GemAttentionSpan *spans,
                size_t n,
                const float *q,
                float *out);
} GemAttentionFunctions;

/* ---- pathway: one domain's (or the general) feed-forward ---- */

typedef struct GemPathway GemPathway;

typedef struct GemPathwayFunctions {
  /* `source` is pathway-<domain>.gguf, or general.gguf for "general": tensors blk.N.ffn_gate, ffn_up,
   * ffn_down (.weight). NULL with ENOMEM in errno, as malloc leaves it: it is tried again later. With a
   * device as the backend `open`, `close` and the first `try_apply` run on the thread that tries pathways
   * there. */
  GemPathway *(*open)(const GemTensorSource *source,
                      const GemShape *shape,
                      const GemBackend *backend,
                      GemPluginError *error);
  void (*close)(GemPathway *self);
  size_t (*resident_bytes)(const GemPathway *self);
  /* y[n][width] += FFN(u[n][width]) of that layer. */
  void (*apply)(GemPathway *self, uint32_t layer, const float *u, size_t n, float *y);

  /* Since ABI 1.2: the same on a backend that may fail (GemBackendFunctions.compile). False: it did, and y is
   * as it was. Modules of an earlier ABI are not given such a backend. */
  bool (*try_apply)(
      GemPathway *self, uint32_t layer, const float *u, size_t n, float *y, GemPluginError *error);
} GemPathwayFunctions;
