#include "adaptation/trainer/gem-adapt-memory.h"

#include "adaptation/gem-adapt-fields.h"
#include "adaptation/trainer/gem-adapt-documents.h"
#include "training/adapt/gem-adaptation.h"

#define MIB ((guint64)1 << 20)
/* The program, its libraries, and what is too small to be reckoned. */
#define FIXED (40 * MIB)
/* Rows of logits that are there at a time (training/network/gem-backbone-internal.h), of the student and the
 * teacher.
 */
#define LOGIT_ROWS 1024u

static GemGguf *
open_shape(const GemAdaptStart *start, GemAdaptFile file, GError **error)
{
  const char *name = gem_adapt_file_names[file];
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(start->files[file], name, error);
  return reader != NULL ? gem_gguf_new_from_reader(reader, name, error) : NULL;
}

/* Floats of all parameters of the model, and of one residual. */
static guint64
model_floats(const GemModelShape *shape, guint64 *ret_residual)
{
  guint64 width = shape->width, heads = (guint64)shape->heads * shape->head_dim,
          keys = (guint64)shape->kv_heads * shape->head_dim, clusters = 0;
  for (guint i = 0; i < shape->n_cluster_sets; i++) {
    clusters += shape->clusters[i];
  }
  guint64 layer = width * (2 * heads + 2 * keys + 3 * (guint64)shape->ffn + 2 + clusters);
  *ret_residual = (guint64)shape->layers * 3 * shape->domain_ffn * width;
  return (shape->tied ? 1u : 2u) * (guint64)shape->vocab * width + shape->layers * layer +
         (shape->n_domains + 1) * *ret_residual;
}

static guint64
router_floats(const GemRouterShape *shape)
{
  guint64 width = shape->width;
  return (guint64)shape->vocab * shape->embedding + width * shape->embedding +
         shape->layers * width * (4 * width + 2 * (guint64)shape->ffn + 2);
}

/* What a lane keeps of a batch: student and teacher; one text at a time while it measures takes less. */
static guint64
lane_floats(const GemModelShape *shape, const GemAdaptOptions *options)
{
  guint64 width = shape->width, heads = (guint64)shape->heads * shape->head_dim,
          keys = (guint64)shape->kv_heads * shape->head_dim;
  guint64 token = 6 * width + 2 * heads + 2 * keys + 3 * (guint64)shape->ffn +
                  3 * (guint64)shape->domain_ffn + (guint64)shape->heads * options->sequence;
  guint64 tokens = options->batch_tokens + options->replay_tokens;
  guint64 once = 10 * width + 4 * (guint64)MAX(shape->ffn, shape->domain_ffn);
  return tokens * (shape->layers * token + 2 * (token + once)) + LOGIT_ROWS * (guint64)shape->vocab * 2;
}

static guint64
needed(const GemModelShape *shape, const GemRouterShape *router, guint64 lanes, guint64 text_bytes)
{
  GemAdaptOptions options;
  guint64 residual = 0, floats = model_floats(shape, &residual) + router_floats(router);
  gem_adapt_options_init(&options, GEM_LEARNS_RESIDUAL);
  /* masters, two moments, a copy; a checkpoint as tensors and as a file; a gradient a lane */
  floats += residual * (4 + 6 + lanes);
  floats += lanes * lane_floats(shape, &options);
  /* the text, its tokens, and what is held out of them once more */
  return FIXED + floats * sizeof(float) + text_bytes * 7;
}

gboolean
gem_adapt_memory_choose_lanes(const GemAdaptStart *start,
                              guint64 text_bytes,
                              guint *ret_lanes,
                              GError **error)
{
  g_auto(GemModelShape) shape = {0};
  GemRouterShape router;
  g_autoptr(GemGguf) general = open_shape(start, GEM_ADAPT_GENERAL, error);
  g_autoptr(GemGguf) router_file = general != NULL ? open_shape(start, GEM_ADAPT_ROUTER, error) : NULL;
  if (router_file == NULL || !gem_model_shape_read(general, &shape, error) ||
      !gem_router_shape_read(router_file, &router, error)) {
    return FALSE;
  }
  for (guint lanes = start->threads; lanes > 0; lanes--) {
    if (needed(&shape, &router, lanes, text_bytes) <= start->memory_bytes) {
      *ret_lanes = lanes;
      return TRUE;
    }
  }
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
              "learning this takes about %" G_GUINT64_FORMAT " MiB of memory, and %" G_GUINT64_FORMAT
              " MiB are allowed (AdaptMemory), with one thread alone (Threads)",
              (needed(&shape, &router, 1, text_bytes) + MIB - 1) / MIB, start->memory_bytes / MIB);
  return FALSE;
}
