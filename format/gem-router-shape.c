#include "format/gem-model-private.h"

gboolean
gem_router_shape_read(GemGguf *file, GemRouterShape *ret_shape, GError **error)
{
  return gem_router_shape_read_with(file, "token_embd.weight", ret_shape, error);
}

gboolean
gem_router_shape_read_with(GemGguf *file,
                           const char *embedding_name,
                           GemRouterShape *ret_shape,
                           GError **error)
{
  if (!gem_model_check_architecture(file, GEM_ARCHITECTURE_ROUTER, error)) {
    return FALSE;
  }
  GemModelKeys keys = {.file = file, .architecture = GEM_ARCHITECTURE_ROUTER};
  GemRouterShape shape = {0};
  if (!gem_model_keys_uint(&keys, "context_length", 1, GEM_MAX_CONTEXT, &shape.context, error) ||
      !gem_model_keys_uint(&keys, "embedding_length", 1, GEM_MAX_WIDTH, &shape.width, error) ||
      !gem_model_keys_uint(&keys, "block_count", 1, GEM_MAX_LAYERS, &shape.layers, error) ||
      !gem_model_keys_uint(&keys, "feed_forward_length", 1, GEM_MAX_FEED_FORWARD, &shape.ffn, error) ||
      !gem_model_keys_uint(&keys, "attention.head_count", 1, GEM_MAX_HEADS, &shape.heads, error) ||
      !gem_model_keys_uint(&keys, "attention.window", 1, GEM_MAX_CONTEXT, &shape.window, error) ||
      !gem_model_keys_float(&keys, "attention.layer_norm_rms_epsilon", 1e-12, 1.0, &shape.rms_epsilon,
                            error) ||
      !gem_model_keys_float(&keys, "rope.freq_base", 1.0, 1e9, &shape.rope_base, error)) {
    return FALSE;
  }
  if (shape.width % (2 * shape.heads) != 0 || shape.width / shape.heads > GEM_MAX_HEAD_DIM) {
    return gem_model_keys_fail(&keys, error, GEM_FORMAT_ERROR_MALFORMED, "attention.head_count",
                               "%u heads do not divide the width %u into even parts up to %u", shape.heads,
                               shape.width, GEM_MAX_HEAD_DIM);
  }

  g_auto(GStrv) domains = gem_model_keys_domains(&keys, error);
  if (domains == NULL) {
    return FALSE;
  }
  shape.n_domains = g_strv_length(domains);
  if (shape.n_domains == 0) {
    return gem_model_keys_fail(&keys, error, GEM_FORMAT_ERROR_MALFORMED, "domains", "none");
  }

  const GemTensor *embedding = gem_gguf_find_tensor(file, embedding_name);
  if (embedding == NULL || embedding->rows > GEM_MAX_VOCAB || embedding->cols > GEM_MAX_WIDTH) {
    return gem_gguf_fail(file, error, embedding ? GEM_FORMAT_ERROR_UNSUPPORTED : GEM_FORMAT_ERROR_MISSING,
                         "the embedding", embedding ? "too large" : "missing");
  }
  shape.vocab = (guint)embedding->rows;
  shape.embedding = (guint)embedding->cols;
  *ret_shape = shape;
  return TRUE;
}

void
gem_router_shape_write(const GemRouterShape *shape, const char *const *domains, GemGgufWriter *writer)
{
  gem_model_write_architecture(writer, GEM_ARCHITECTURE_ROUTER);
  gem_gguf_writer_set_uint(writer, "gemrouter.context_length", shape->context);
  gem_gguf_writer_set_uint(writer, "gemrouter.embedding_length", shape->width);
  gem_gguf_writer_set_uint(writer, "gemrouter.block_count", shape->layers);
  gem_gguf_writer_set_uint(writer, "gemrouter.feed_forward_length", shape->ffn);
  gem_gguf_writer_set_uint(writer, "gemrouter.attention.head_count", shape->heads);
  gem_gguf_writer_set_uint(writer, "gemrouter.attention.window", shape->window);
  gem_gguf_writer_set_float(writer, "gemrouter.attention.layer_norm_rms_epsilon", shape->rms_epsilon);
  gem_gguf_writer_set_float(writer, "gemrouter.rope.freq_base", shape->rope_base);
  gem_gguf_writer_set_string_array(writer, "gemrouter.domains", domains);
}
