#include "format/gem-model-private.h"

#include <string.h>

#define MAX_TEMPLATE_BYTES 4096
#define MAX_WINDOW         1048576u
#define MAX_CLUSTERS       256u /* a cluster's index is one byte */

void
gem_model_shape_clear(GemModelShape *shape)
{
  for (guint i = 0; i < GEM_MAX_DOMAINS; i++) {
    g_clear_pointer(&shape->domains[i], g_free);
  }
  g_clear_pointer(&shape->ask_template, g_free);
}

/* ---- reading ---- */

/* V: the key, or the number of the tokenizer's tokens; equal where both are given. */
static gboolean
read_vocab(const GemModelKeys *keys, GemModelShape *shape, GError **error)
{
  const char *tokens_key = "tokenizer.ggml.tokens";
  guint tokens = 0;
  if (gem_gguf_has_key(keys->file, tokens_key)) {
    GemGgufStrings pieces = {0};
    if (!gem_gguf_get_strings(keys->file, tokens_key, &pieces, error)) {
      return FALSE;
    }
    tokens = pieces.left;
    if (tokens == 0 || tokens > GEM_MAX_VOCAB) {
      return gem_gguf_fail(keys->file, error, GEM_FORMAT_ERROR_MALFORMED, "key tokenizer.ggml.tokens",
                           "%u tokens; 1 to %u are allowed", tokens, GEM_MAX_VOCAB);
    }
    if (!gem_model_keys_has(keys, "vocab_size")) {
      shape->vocab = tokens;
      return TRUE;
    }
  }
  if (!gem_model_keys_uint(keys, "vocab_size", 1, GEM_MAX_VOCAB, &shape->vocab, error)) {
    return FALSE;
  }
  if (tokens != 0 && tokens != shape->vocab) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MISMATCH, "vocab_size",
                               "%u, but the tokenizer has %u tokens", shape->vocab, tokens);
  }
  return TRUE;
}

/* H, its key-value heads, values a head, rotated values a head. */
static gboolean
read_heads(const GemModelKeys *keys, GemModelShape *shape, GError **error)
{
  if (!gem_model_keys_uint(keys, "attention.head_count", 1, GEM_MAX_HEADS, &shape->heads, error) ||
      !gem_model_keys_uint_or(keys, "attention.head_count_kv", 1, shape->heads, shape->heads,
                              &shape->kv_heads, error)) {
    return FALSE;
  }
  if (shape->heads % shape->kv_heads != 0) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, "attention.head_count_kv",
                               "%u does not divide %u heads", shape->kv_heads, shape->heads);
  }
  if (!gem_model_keys_has(keys, "attention.key_length") && shape->width % shape->heads != 0) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, "attention.head_count",
                               "%u does not divide the width %u, and there is no attention.key_length",
                               shape->heads, shape->width);
  }
  if (!gem_model_keys_uint_or(keys, "attention.key_length", 1, GEM_MAX_HEAD_DIM, shape->width / shape->heads,
                              &shape->head_dim, error)) {
    return FALSE;
  }
  if (shape->head_dim < 2 || shape->head_dim % 2 != 0 || shape->head_dim > GEM_MAX_HEAD_DIM) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, "attention.key_length",
                               "%u values a head; an even number up to %u is needed", shape->head_dim,
                               GEM_MAX_HEAD_DIM);
  }
  if (!gem_model_keys_uint_or(keys, "rope.dimension_count", 2, shape->head_dim, shape->head_dim,
                              &shape->rope_dim, error)) {
    return FALSE;
  }
  if (shape->rope_dim % 2 != 0) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, "rope.dimension_count", "%u is odd",
                               shape->rope_dim);
  }
  return TRUE;
}

/* What both architectures have. */
static gboolean
read_common(const GemModelKeys *keys, GemModelShape *shape, GError **error)
{
  shape->rope_base = 10000.0f;
  shape->tied = gem_gguf_find_tensor(keys->file, "output.weight") == NULL;
  return read_vocab(keys, shape, error) &&
         gem_model_keys_uint(keys, "context_length", 1, GEM_MAX_CONTEXT, &shape->context, error) &&
         gem_model_keys_uint(keys, "embedding_length", 1, GEM_MAX_WIDTH, &shape->width, error) &&
         gem_model_keys_uint(keys, "block_count", 1, GEM_MAX_LAYERS, &shape->layers, error) &&
         gem_model_keys_uint(keys, "feed_forward_length", 1, GEM_MAX_FEED_FORWARD, &shape->ffn, error) &&
         read_heads(keys, shape, error) &&
         gem_model_keys_float(keys, "attention.layer_norm_rms_epsilon", 1e-12, 1.0, &shape->rms_epsilon,
                              error) &&
         (!gem_model_keys_has(keys, "rope.freq_base") ||
          gem_model_keys_float(keys, "rope.freq_base", 1.0, 1e9, &shape->rope_base, error));
}

/* The sets of centroids, largest first, and the local window. */
static gboolean
read_scar(const GemModelKeys *keys, GemModelShape *shape, GError **error)
{
  if (!gem_model_keys_has(keys, "scar.clusters")) {
    return TRUE;
  }
  g_autofree char *key = gem_model_keys_name(keys, "scar.clusters");
  g_autoptr(GArray) sets = gem_gguf_get_uint_array(keys->file, key, error);
  if (sets == NULL) {
    return FALSE;
  }
  if (sets->len > GEM_MAX_CLUSTER_SETS) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_UNSUPPORTED, "scar.clusters",
                               "%u sets; at most %d are allowed", sets->len, GEM_MAX_CLUSTER_SETS);
  }
  for (guint i = 0; i < sets->len; i++) {
    guint64 clusters = g_array_index(sets, guint64, i);
    guint64 most = i == 0 ? MAX_CLUSTERS : g_array_index(sets, guint64, i - 1) - 1;
    if (clusters < 2 || clusters > most) {
      return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, "scar.clusters",
                                 "set %u has %" G_GUINT64_FORMAT
                                 " clusters; 2 to %u are allowed, the largest set first",
                                 i, clusters, MAX_CLUSTERS);
    }
    shape->clusters[i] = (guint)clusters;
  }
  shape->n_cluster_sets = sets->len;
  return sets->len == 0 || (gem_model_keys_uint(keys, "scar.window", 0, MAX_WINDOW, &shape->window, error) &&
                            (!gem_model_keys_has(keys, "scar.successors") ||
                             gem_model_keys_uint(keys, "scar.successors", 0, 1, &shape->successors, error)));
}

static gboolean
read_domains(const GemModelKeys *keys, GemModelShape *shape, GError **error)
{
  if (!gem_model_keys_has(keys, "domains")) {
    return TRUE;
  }
  g_autofree GStrv domains = gem_model_keys_domains(keys, error);
  if (domains == NULL) {
    return FALSE;
  }
  for (shape->n_domains = 0; domains[shape->n_domains] != NULL; shape->n_domains++) {
    shape->domains[shape->n_domains] = domains[shape->n_domains];
  }
  return shape->n_domains == 0 ||
         (gem_model_keys_uint(keys, "domain_feed_forward_length", 1, GEM_MAX_FEED_FORWARD, &shape->domain_ffn,
                              error) &&
          gem_model_keys_float(keys, "router.threshold", 0.0, 1.0, &shape->router_threshold, error));
}

/* The text goes to the one place that the template leaves for it. */
static gboolean
read_template(const GemModelKeys *keys, GemModelShape *shape, GError **error)
{
  const char *name = "template.ask";
  const char *slot = "{text}";
  if (!gem_model_keys_has(keys, name)) {
    return TRUE;
  }
  g_autofree char *key = gem_model_keys_name(keys, name);
  shape->ask_template = gem_gguf_get_string(keys->file, key, error);
  if (shape->ask_template == NULL) {
    return FALSE;
  }
  if (strlen(shape->ask_template) > MAX_TEMPLATE_BYTES) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_UNSUPPORTED, name, "longer than %d bytes",
                               MAX_TEMPLATE_BYTES);
  }
  const char *place = strstr(shape->ask_template, slot);
  if (place == NULL || strstr(place + 1, slot) != NULL) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, name, "it must hold %s exactly once",
                               slot);
  }
  return TRUE;
}

/* What other Llama-architecture files may ask for and this model does not do: an error rather than wrong
 * text. */
static gboolean
refuse_unknown_llama(const GemModelKeys *keys, const GemModelShape *shape, GError **error)
{
  g_autofree char *scaling_key = gem_model_keys_name(keys, "rope.scaling.type");
  if (gem_gguf_has_key(keys->file, scaling_key)) {
    g_autofree char *scaling = gem_gguf_get_string(keys->file, scaling_key, error);
    if (scaling == NULL) {
      return FALSE;
    }
    if (strcmp(scaling, "none") != 0) {
      return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_UNSUPPORTED, "rope.scaling.type",
                                 "scaled positions are not known here");
    }
  }
  float scale = 1.0f;
  if (gem_model_keys_has(keys, "rope.scale_linear") &&
      !gem_model_keys_float(keys, "rope.scale_linear", 0.0, 1e6, &scale, error)) {
    return FALSE;
  }
  if (scale != 1.0f && scale != 0.0f) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_UNSUPPORTED, "rope.scale_linear",
                               "scaled positions are not known here");
  }
  guint experts = 0, value_length = 0;
  if (!gem_model_keys_uint_or(keys, "expert_count", 0, G_MAXUINT, 0, &experts, error) ||
      !gem_model_keys_uint_or(keys, "attention.value_length", 0, G_MAXUINT, shape->head_dim, &value_length,
                              error)) {
    return FALSE;
  }
  if (experts != 0) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_UNSUPPORTED, "expert_count",
                               "mixtures of experts are not known here");
  }
  if (value_length != shape->head_dim) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_UNSUPPORTED, "attention.value_length",
                               "%u, but keys have %u values a head", value_length, shape->head_dim);
  }
  return TRUE;
}

gboolean
gem_model_shape_read(GemGguf *file, GemModelShape *ret_shape, GError **error)
{
  g_autofree char *architecture = gem_gguf_get_string(file, "general.architecture", error);
  if (architecture == NULL) {
    return FALSE;
  }
  gboolean is_llama = strcmp(architecture, GEM_ARCHITECTURE_LLAMA) == 0;
  if (!is_llama && strcmp(architecture, GEM_ARCHITECTURE_MODEL) != 0) {
    g_autofree char *shown = gem_gguf_key_to_string(file, "general.architecture");
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_UNSUPPORTED, "key general.architecture",
                         "%s; \"gem\" and \"llama\" are known here", shown);
  }

  GemModelKeys keys = {.file = file, .architecture = architecture};
  g_auto(GemModelShape) shape = {0};
  if (!read_common(&keys, &shape, error)) {
    return FALSE;
  }
  if (is_llama ? !refuse_unknown_llama(&keys, &shape, error)
               : !read_scar(&keys, &shape, error) || !read_domains(&keys, &shape, error) ||
                     !read_template(&keys, &shape, error)) {
    return FALSE;
  }
  *ret_shape = shape;
  shape = (GemModelShape){0}; /* the strings have moved */
  return TRUE;
}

/* ---- writing ---- */

static void
set_uint(GemGgufWriter *writer, const char *architecture, const char *name, guint value)
{
  g_autofree char *key = g_strconcat(architecture, ".", name, NULL);
  gem_gguf_writer_set_uint(writer, key, value);
}

static void
set_float(GemGgufWriter *writer, const char *architecture, const char *name, float value)
{
  g_autofree char *key = g_strconcat(architecture, ".", name, NULL);
  gem_gguf_writer_set_float(writer, key, value);
}

/* What both architectures have. */
static void
write_common(const GemModelShape *shape, const char *architecture, GemGgufWriter *writer)
{
  gem_model_write_architecture(writer, architecture);
  set_uint(writer, architecture, "vocab_size", shape->vocab);
  set_uint(writer, architecture, "context_length", shape->context);
  set_uint(writer, architecture, "embedding_length", shape->width);
  set_uint(writer, architecture, "block_count", shape->layers);
  set_uint(writer, architecture, "feed_forward_length", shape->ffn);
  set_uint(writer, architecture, "attention.head_count", shape->heads);
  set_uint(writer, architecture, "attention.head_count_kv", shape->kv_heads);
  set_uint(writer, architecture, "attention.key_length", shape->head_dim);
  set_float(writer, architecture, "attention.layer_norm_rms_epsilon", shape->rms_epsilon);
  set_uint(writer, architecture, "rope.dimension_count", shape->rope_dim);
  set_float(writer, architecture, "rope.freq_base", shape->rope_base);
}

void
gem_model_shape_write(const GemModelShape *shape, GemGgufWriter *writer)
{
  write_common(shape, GEM_ARCHITECTURE_MODEL, writer);
  if (shape->n_cluster_sets > 0) {
    gem_gguf_writer_set_uint_array(writer, "gem.scar.clusters", shape->clusters, shape->n_cluster_sets);
    gem_gguf_writer_set_uint(writer, "gem.scar.window", shape->window);
    if (shape->successors) {
      gem_gguf_writer_set_uint(writer, "gem.scar.successors", 1);
    }
  }
  if (shape->n_domains > 0) {
    gem_gguf_writer_set_string_array(writer, "gem.domains", (const char *const *)shape->domains);
    gem_gguf_writer_set_uint(writer, "gem.domain_feed_forward_length", shape->domain_ffn);
    gem_gguf_writer_set_float(writer, "gem.router.threshold", shape->router_threshold);
  }
  if (shape->ask_template != NULL) {
    gem_gguf_writer_set_string(writer, "gem.template.ask", shape->ask_template);
  }
}

void
gem_model_shape_write_llama(const GemModelShape *shape, GemGgufWriter *writer)
{
  write_common(shape, GEM_ARCHITECTURE_LLAMA, writer);
  set_uint(writer, GEM_ARCHITECTURE_LLAMA, "attention.value_length", shape->head_dim);
}
