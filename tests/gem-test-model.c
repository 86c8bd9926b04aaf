#include "tests/gem-test-model.h"

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "format/gem-manifest.h"
#include "format/gem-model-files.h"

/* ---- vocabulary ---- */

static const char *const control_pieces[] = {"<unk>", "<s>", "</s>", "<|user|>", "<|model|>"};

/* Merges in the order in which they are made, then single letters; U+2581 stands for a space. */
static const char *const letter_pieces[] = {
    "▁t", "he", "in", "er", "▁a", "▁the", "on", "re", "at", "en", "or", "nd", "es", "is", "▁and", "ing",
    "an", "th", "al", "st", "▁",  "e",    "t",  "a",  "o",  "i",  "n",  "s",  "r",  "h",  "l",    "d",
    "c",  "u",  "m",  "f",  "p",  "g",    "w",  "y",  "b",  "v",  "k",  "x",  "j",  "q",  "z",
};

enum {
  TYPE_NORMAL = 1,
  TYPE_UNKNOWN = 2,
  TYPE_CONTROL = 3,
  TYPE_BYTE = 6,
  N_TOKENS = GEM_TEST_BYTES + 256 + G_N_ELEMENTS(letter_pieces),
};

guint gem_test_model_bos = GEM_TEST_BOS;
gboolean gem_test_model_has_spaces = TRUE;

/* One of `letter_pieces`, or what stands in its place where there are no spaces. Transfer full. */
static char *
letter_piece(guint i)
{
  return gem_test_model_has_spaces || !g_str_has_prefix(letter_pieces[i], "▁") ? g_strdup(letter_pieces[i])
                                                                               : g_strdup_printf("#%u", i);
}

static void
write_tokenizer(GemGgufWriter *writer)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  gint32 types[N_TOKENS];
  float scores[N_TOKENS] = {0};
  for (guint i = 0; i < GEM_TEST_BYTES; i++) {
    g_strv_builder_add(builder, control_pieces[i]);
    types[i] = i == GEM_TEST_UNKNOWN ? TYPE_UNKNOWN : TYPE_CONTROL;
  }
  for (guint byte = 0; byte < 256; byte++) {
    g_autofree char *piece = g_strdup_printf("<0x%02X>", byte);
    g_strv_builder_add(builder, piece);
    types[GEM_TEST_BYTES + byte] = TYPE_BYTE;
  }
  for (guint i = 0; i < G_N_ELEMENTS(letter_pieces); i++) {
    g_autofree char *piece = letter_piece(i);
    g_strv_builder_add(builder, piece);
    types[GEM_TEST_BYTES + 256 + i] = TYPE_NORMAL;
    scores[GEM_TEST_BYTES + 256 + i] = -(float)i;
  }

  g_auto(GStrv) pieces = g_strv_builder_end(builder);
  gem_gguf_writer_set_string(writer, "tokenizer.ggml.model", "llama");
  gem_gguf_writer_set_string_array(writer, "tokenizer.ggml.tokens", (const char *const *)pieces);
  gem_gguf_writer_set_float_array(writer, "tokenizer.ggml.scores", scores, N_TOKENS);
  gem_gguf_writer_set_int_array(writer, "tokenizer.ggml.token_type", types, N_TOKENS);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.unknown_token_id", GEM_TEST_UNKNOWN);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.bos_token_id", gem_test_model_bos);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.eos_token_id", GEM_TEST_EOS);
  gem_gguf_writer_set_bool(writer, "tokenizer.ggml.add_bos_token", gem_test_model_bos == GEM_TEST_BOS);
  gem_gguf_writer_set_bool(writer, "tokenizer.ggml.add_space_prefix", FALSE);
}

void
gem_test_model_shape(GemModelShape *ret_shape)
{
  *ret_shape = (GemModelShape){
      .vocab = N_TOKENS,
      .width = 64,
      .layers = 2,
      .heads = 4,
      .kv_heads = 4,
      .head_dim = 16,
      .rope_dim = 16,
      .ffn = 96,
      .domain_ffn = 32,
      .context = 256,
      .rms_epsilon = 1e-5f,
      .rope_base = 10000.0f,
      .n_cluster_sets = 2,
      .clusters = {8, 4},
      .window = 4,
      .n_domains = 3,
      .router_threshold = 0.5f,
      .tied = TRUE,
      .ask_template = g_strdup("<s><|user|>{text}<|model|>"),
  };
  ret_shape->domains[0] = g_strdup("legal");
  ret_shape->domains[1] = g_strdup("finance");
  ret_shape->domains[2] = g_strdup("stem");
}

/* ---- tensors ---- */

/* One file that is being written. */
typedef struct {
  GemGgufWriter *writer;
  GemType type; /* of matrices */
  guint32 seed;
} ModelWriter;

static void
model_writer_init(ModelWriter *self, GemType type, guint32 seed)
{
  *self = (ModelWriter){.writer = gem_gguf_writer_new(), .type = type, .seed = seed};
}

static void
model_writer_finish(ModelWriter *self, const char *dir, const char *file)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_build_filename(dir, file, NULL);
  gem_gguf_writer_write(self->writer, path, &error);
  g_assert_no_error(error);
  g_clear_pointer(&self->writer, gem_gguf_writer_free);
}

/* Values that depend on the tensor's own name, so that one more tensor does not change the others. */
static float *
new_values(ModelWriter *self, const char *name, gsize n, double gain)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(g_str_hash(name) ^ self->seed);
  float *values = g_new(float, n);
  for (gsize i = 0; i < n; i++) {
    values[i] = (float)(gain * g_rand_double_range(random, -1.0, 1.0));
  }
  return values;
}

static void
add(ModelWriter *self, const char *name, GemType type, gsize rows, gsize cols, const float *values)
{
  g_autoptr(GError) error = NULL;
  gem_gguf_writer_add_tensor(self->writer, name, type, rows, cols, values, &error);
  g_assert_no_error(error);
}

/* A matrix that keeps the size of what goes through it, times `gain`. */
static void
add_matrix(ModelWriter *self, const char *name, gsize rows, gsize cols, double gain)
{
  g_autofree float *values = new_values(self, name, rows * cols, gain * sqrt(3.0 / (double)cols));
  add(self, name, self->type, rows, cols, values);
}

static void
add_layer_matrix(ModelWriter *self, guint layer, const char *part, gsize rows, gsize cols)
{
  g_autofree char *name = g_strdup_printf("blk.%u.%s.weight", layer, part);
  add_matrix(self, name, rows, cols, 1.0);
}

/* A norm's weight, about 1. */
static void
add_norm(ModelWriter *self, const char *name, gsize width)
{
  g_autofree float *values = new_values(self, name, width, 0.1);
  for (gsize i = 0; i < width; i++) {
    values[i] += 1.0f;
  }
  add(self, name, GEM_TYPE_F32, 1, width, values);
}

static void
add_layer_norm(ModelWriter *self, guint layer, const char *part, gsize width)
{
  g_autofree char *name = g_strdup_printf("blk.%u.%s.weight", layer, part);
  add_norm(self, name, width);
}

static void
add_centroids(ModelWriter *self, guint layer, guint clusters, gsize width)
{
  g_autofree char *name = g_strdup_printf("blk.%u.scar_centroids_%u.weight", layer, clusters);
  g_autofree float *values = new_values(self, name, clusters * width, 1.0);
  for (guint row = 0; row < clusters; row++) {
    double square = 0.0;
    for (gsize i = 0; i < width; i++) {
      square += (double)values[row * width + i] * values[row * width + i];
    }
    for (gsize i = 0; i < width; i++) {
      values[row * width + i] /= (float)sqrt(square);
    }
  }
  add(self, name, GEM_TYPE_F32, clusters, width, values);
}

/* ---- files ---- */

/* The tensors of general.gguf and of a Llama file alike; centroids where the shape has them. */
static void
add_model_tensors(ModelWriter *self, const GemModelShape *shape)
{
  gsize width = shape->width;
  gsize query = (gsize)shape->heads * shape->head_dim;
  gsize key = (gsize)shape->kv_heads * shape->head_dim;
  add_matrix(self, "token_embd.weight", shape->vocab, width, 1.0);
  add_norm(self, "output_norm.weight", width);
  if (!shape->tied) {
    add_matrix(self, "output.weight", shape->vocab, width, 1.0);
  }
  for (guint layer = 0; layer < shape->layers; layer++) {
    add_layer_norm(self, layer, "attn_norm", width);
    add_layer_matrix(self, layer, "attn_q", query, width);
    add_layer_matrix(self, layer, "attn_k", key, width);
    add_layer_matrix(self, layer, "attn_v", key, width);
    add_layer_matrix(self, layer, "attn_output", width, query);
    add_layer_norm(self, layer, "ffn_norm", width);
    add_layer_matrix(self, layer, "ffn_gate", shape->ffn, width);
    add_layer_matrix(self, layer, "ffn_up", shape->ffn, width);
    add_layer_matrix(self, layer, "ffn_down", width, shape->ffn);
    for (guint i = 0; i < shape->n_cluster_sets; i++) {
      add_centroids(self, layer, shape->clusters[i], width);
    }
  }
}

guint gem_test_model_router_layers = 1;

/* Layers of 64 over embeddings of 32; the classifier is loud enough that some tokens are routed and some
 * are not. */
static void
write_router(const char *dir, const GemModelShape *shape, GemType type, guint32 seed)
{
  const GemRouterShape router = {.vocab = shape->vocab,
                                 .embedding = 32,
                                 .width = 64,
                                 .layers = gem_test_model_router_layers,
                                 .heads = 2,
                                 .ffn = 96,
                                 .window = 16,
                                 .context = shape->context,
                                 .n_domains = shape->n_domains,
                                 .rms_epsilon = 1e-5f,
                                 .rope_base = 10000.0f};
  ModelWriter self;
  model_writer_init(&self, type, seed);
  gem_router_shape_write(&router, (const char *const *)shape->domains, self.writer);
  add_matrix(&self, "token_embd.weight", router.vocab, router.embedding, 1.0);
  add_matrix(&self, "embedding_projection.weight", router.width, router.embedding, 1.0);
  for (guint layer = 0; layer < router.layers; layer++) {
    add_layer_norm(&self, layer, "attn_norm", router.width);
    add_layer_matrix(&self, layer, "attn_q", router.width, router.width);
    add_layer_matrix(&self, layer, "attn_k", router.width, router.width);
    add_layer_matrix(&self, layer, "attn_v", router.width, router.width);
    add_layer_matrix(&self, layer, "attn_output", router.width, router.width);
    add_layer_norm(&self, layer, "ffn_norm", router.width);
    add_layer_matrix(&self, layer, "ffn_up", router.ffn, router.width);
    add_layer_matrix(&self, layer, "ffn_down", router.width, router.ffn);
  }
  add_norm(&self, "output_norm.weight", router.width);
  add_matrix(&self, "classifier.weight", router.n_domains, router.width, 1.5);
  model_writer_finish(&self, dir, "router.gguf");
}

static void
write_pathway(const char *dir, const GemModelShape *shape, const char *domain, GemType type, guint32 seed)
{
  ModelWriter self;
  model_writer_init(&self, type, seed ^ g_str_hash(domain));
  gem_pathway_write(shape, domain, self.writer);
  for (guint layer = 0; layer < shape->layers; layer++) {
    add_layer_matrix(&self, layer, "ffn_gate", shape->domain_ffn, shape->width);
    add_layer_matrix(&self, layer, "ffn_up", shape->domain_ffn, shape->width);
    add_layer_matrix(&self, layer, "ffn_down", shape->width, shape->domain_ffn);
  }
  g_autofree char *file = gem_model_pathway_file(domain);
  model_writer_finish(&self, dir, file);
}

void
gem_test_model_write(const char *dir, const GemModelShape *shape, GemType type, guint32 seed)
{
  ModelWriter general;
  model_writer_init(&general, type, seed);
  gem_model_shape_write(shape, general.writer);
  write_tokenizer(general.writer);
  add_model_tensors(&general, shape);
  model_writer_finish(&general, dir, "general.gguf");

  if (shape->n_domains > 0) {
    write_router(dir, shape, type, seed);
  }
  for (guint i = 0; i < shape->n_domains; i++) {
    write_pathway(dir, shape, shape->domains[i], type, seed);
  }
  gem_test_model_write_manifest(dir, shape);
}

void
gem_test_model_write_manifest(const char *dir, const GemModelShape *shape)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  g_strv_builder_add(builder, "general.gguf");
  if (shape->n_domains > 0) {
    g_strv_builder_add(builder, "router.gguf");
  }
  for (guint i = 0; i < shape->n_domains; i++) {
    g_autofree char *file = gem_model_pathway_file(shape->domains[i]);
    g_autofree char *path = g_build_filename(dir, file, NULL);
    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
      g_strv_builder_add(builder, file);
    }
  }
  g_auto(GStrv) files = g_strv_builder_end(builder);
  g_autoptr(GError) error = NULL;
  gem_manifest_write(dir, "test-model", (const char *const *)files, &error);
  g_assert_no_error(error);
}

void
gem_test_model_write_llama(const char *path, const GemModelShape *shape, GemType type, guint32 seed)
{
  ModelWriter self;
  model_writer_init(&self, type, seed);
  gem_gguf_writer_set_string(self.writer, "general.architecture", "llama");
  gem_gguf_writer_set_uint(self.writer, "llama.context_length", shape->context);
  gem_gguf_writer_set_uint(self.writer, "llama.embedding_length", shape->width);
  gem_gguf_writer_set_uint(self.writer, "llama.block_count", shape->layers);
  gem_gguf_writer_set_uint(self.writer, "llama.feed_forward_length", shape->ffn);
  gem_gguf_writer_set_uint(self.writer, "llama.attention.head_count", shape->heads);
  gem_gguf_writer_set_uint(self.writer, "llama.attention.head_count_kv", shape->kv_heads);
  gem_gguf_writer_set_uint(self.writer, "llama.attention.key_length", shape->head_dim);
  gem_gguf_writer_set_float(self.writer, "llama.attention.layer_norm_rms_epsilon", shape->rms_epsilon);
  gem_gguf_writer_set_uint(self.writer, "llama.rope.dimension_count", shape->rope_dim);
  gem_gguf_writer_set_float(self.writer, "llama.rope.freq_base", shape->rope_base);
  write_tokenizer(self.writer);
  GemModelShape dense = *shape;
  dense.n_cluster_sets = 0;
  add_model_tensors(&self, &dense);
  g_autofree char *dir = g_path_get_dirname(path);
  g_autofree char *file = g_path_get_basename(path);
  model_writer_finish(&self, dir, file);
}
