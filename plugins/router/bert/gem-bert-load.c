#include "plugins/router/bert/gem-bert.h"

#include <stdio.h>
#include <stdlib.h>

#include "plugins/support/gem-plugin-support.h"

/* Beyond these a file is broken rather than large; they also keep every product below in range. */
#define MAX_WIDTH  65536
#define MAX_LAYERS 1024
#define MAX_TOKENS (1 << 20)

static bool
read_positive(
    const GemTensorSource *source, const char *key, float otherwise, float *ret_value, GemPluginError *error)
{
  double value = otherwise;
  source->find_number(source->context, key, &value);
  if (!(value > 0 && value <= 1e9)) {
    gem_plugin_set_error(error, "%s: key %s is %g, not above 0 and up to 1e9", source->file, key, value);
    return false;
  }
  *ret_value = (float)value;
  return true;
}

static bool
read_shape(GemRouter *self, const GemTensorSource *source, const GemShape *shape, GemPluginError *error)
{
  if (!gem_plugin_read_count(source, "gemrouter.embedding_length", MAX_WIDTH, &self->width, error) ||
      !gem_plugin_read_count(source, "gemrouter.block_count", MAX_LAYERS, &self->n_layers, error) ||
      !gem_plugin_read_count(source, "gemrouter.feed_forward_length", MAX_WIDTH, &self->hidden, error) ||
      !gem_plugin_read_count(source, "gemrouter.attention.head_count", MAX_WIDTH, &self->heads, error) ||
      !gem_plugin_read_count(source, "gemrouter.attention.window", MAX_TOKENS, &self->window, error)) {
    return false;
  }
  if (self->width % self->heads != 0 || self->width / self->heads % 2 != 0) {
    gem_plugin_set_error(error, "%s: width %u does not make %u heads of an even number of values",
                         source->file, self->width, self->heads);
    return false;
  }
  self->head_dim = self->width / self->heads;
  if (!read_positive(source, "gemrouter.attention.layer_norm_rms_epsilon", 1e-5F, &self->rms_epsilon,
                     error) ||
      !read_positive(source, "gemrouter.rope.freq_base", 10000.0F, &self->rope_base, error)) {
    return false;
  }
  self->vocabulary = shape->vocab;
  self->domains = shape->domains;
  if (self->domains == 0) {
    gem_plugin_set_error(error, "%s: the model has no domains to route to", source->file);
    return false;
  }
  return true;
}

/* The embedding's own width is that of its tensor: a projection brings it to the router's. */
static bool
read_embedding_width(GemRouter *self, const GemTensorSource *source, GemPluginError *error)
{
  GemTensorView embeddings;
  if (!source->find_tensor(source->context, "token_embd.weight", &embeddings)) {
    gem_plugin_set_error(error, "%s: tensor token_embd.weight is missing", source->file);
    return false;
  }
  if (embeddings.cols < 1 || embeddings.cols > MAX_WIDTH) {
    gem_plugin_set_error(error, "%s: tensor token_embd.weight has rows of %zu values, not 1 to %d",
                         source->file, embeddings.cols, MAX_WIDTH);
    return false;
  }
  self->embedding = (uint32_t)embeddings.cols;
  return true;
}

/* Floats of a row of scratch.hidden. */
static size_t
widest(const GemRouter *self)
{
  size_t wide = self->hidden > self->embedding ? self->hidden : self->embedding;
  return wide > self->domains ? wide : self->domains;
}

static bool
allocate(GemRouter *self, const GemTensorSource *source, GemPluginError *error)
{
  size_t wide = widest(self);
  self->layers = calloc(self->n_layers, sizeof *self->layers);
  self->scratch.normed = malloc(GEM_BERT_BLOCK * (5 * (size_t)self->width + wide) * sizeof(float));
  self->scratch.positions = malloc(GEM_BERT_BLOCK * sizeof *self->scratch.positions);
  if (self->layers == NULL || self->scratch.normed == NULL || self->scratch.positions == NULL) {
    gem_plugin_set_error(error, "%s: out of memory", source->file);
    return false;
  }
  self->scratch.attended = self->scratch.normed + GEM_BERT_BLOCK * self->width;
  self->scratch.keys = self->scratch.attended + GEM_BERT_BLOCK * self->width;
  self->scratch.turn = self->scratch.keys + GEM_BERT_BLOCK * self->width;
  self->scratch.hidden = self->scratch.turn + 2 * GEM_BERT_BLOCK * self->width;
  self->form = (GemKeyValueForm){.kv_heads = self->heads, .head_dim = self->head_dim};
  return true;
}

typedef struct {
  GemRouter *router;
  const GemTensorSource *source;
  GemPluginError *error;
} Loading;

static bool
load_matrix(const Loading *loading, const char *name, size_t rows, size_t cols, GemMatrix **ret_matrix)
{
  *ret_matrix =
      gem_plugin_load_matrix(loading->source, &loading->router->backend, name, rows, cols, loading->error);
  return *ret_matrix != NULL;
}

static bool
load_vector(const Loading *loading, const char *name, float **ret_values)
{
  *ret_values = gem_plugin_load_floats(loading->source, &loading->router->backend, name, 1,
                                       loading->router->width, loading->error);
  return *ret_values != NULL;
}

static bool
load_layer(const Loading *loading, uint32_t layer)
{
  GemRouter *self = loading->router;
  GemBertLayer *weights = &self->layers[layer];
  const struct {
    const char *name;
    size_t rows;
    size_t cols;
    GemMatrix **matrix;
  } matrices[] = {
      {"attn_q", self->width, self->width, &weights->query},
      {"attn_k", self->width, self->width, &weights->key},
      {"attn_v", self->width, self->width, &weights->value},
      {"attn_output", self->width, self->width, &weights->output},
      {"ffn_up", self->hidden, self->width, &weights->up},
      {"ffn_down", self->width, self->hidden, &weights->down},
  };

  char name[64];
  for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, matrices[i].name);
    if (!load_matrix(loading, name, matrices[i].rows, matrices[i].cols, matrices[i].matrix)) {
      return false;
    }
  }
  snprintf(name, sizeof name, "blk.%u.attn_norm.weight", layer);
  if (!load_vector(loading, name, &weights->attention_norm)) {
    return false;
  }
  snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", layer);
  return load_vector(loading, name, &weights->feed_forward_norm);
}

static bool
load_tensors(const Loading *loading)
{
  GemRouter *self = loading->router;
  if (!load_matrix(loading, "token_embd.weight", self->vocabulary, self->embedding, &self->embeddings)) {
    return false;
  }
  if (self->embedding != self->width &&
      !load_matrix(loading, "embedding_projection.weight", self->width, self->embedding, &self->projection)) {
    return false;
  }
  for (uint32_t layer = 0; layer < self->n_layers; layer++) {
    if (!load_layer(loading, layer)) {
      return false;
    }
  }
  return load_vector(loading, "output_norm.weight", &self->output_norm) &&
         load_matrix(loading, "classifier.weight", self->domains, self->width, &self->classifier);
}

GemRouter *
gem_bert_open(const GemTensorSource *source,
              const GemShape *shape,
              const GemBackend *backend,
              GemPluginError *error)
{
  GemRouter *self = calloc(1, sizeof *self);
  if (self == NULL) {
    gem_plugin_set_error(error, "%s: out of memory", source->file);
    return NULL;
  }
  self->backend = *backend;

  Loading loading = {.router = self, .source = source, .error = error};
  if (!read_shape(self, source, shape, error) || !read_embedding_width(self, source, error) ||
      !allocate(self, source, error) || !load_tensors(&loading)) {
    gem_bert_close(self);
    return NULL;
  }
  return self;
}

static void
free_matrix(const GemRouter *self, GemMatrix *matrix)
{
  if (matrix != NULL) {
    self->backend.functions->matrix_free(self->backend.state, matrix);
  }
}

void
gem_bert_close(GemRouter *self)
{
  for (uint32_t layer = 0; self->layers != NULL && layer < self->n_layers; layer++) {
    const GemBertLayer *weights = &self->layers[layer];
    free(weights->attention_norm);
    free_matrix(self, weights->query);
    free_matrix(self, weights->key);
    free_matrix(self, weights->value);
    free_matrix(self, weights->output);
    free(weights->feed_forward_norm);
    free_matrix(self, weights->up);
    free_matrix(self, weights->down);
  }
  free_matrix(self, self->embeddings);
  free_matrix(self, self->projection);
  free_matrix(self, self->classifier);
  free(self->output_norm);
  free(self->layers);
  free(self->scratch.normed);
  free(self->scratch.positions);
  free(self);
}

size_t
gem_bert_resident_bytes(const GemRouter *self)
{
  size_t (*matrix_bytes)(const GemMatrix *) = self->backend.functions->matrix_bytes;
  size_t wide = widest(self);
  size_t floats = self->width * (1 + 2 * (size_t)self->n_layers); /* norms */
  floats += GEM_BERT_BLOCK * (5 * (size_t)self->width + wide);    /* scratch */
  size_t bytes = sizeof *self + self->n_layers * sizeof *self->layers + floats * sizeof(float) +
                 GEM_BERT_BLOCK * sizeof *self->scratch.positions + matrix_bytes(self->embeddings) +
                 matrix_bytes(self->classifier);
  if (self->projection != NULL) {
    bytes += matrix_bytes(self->projection);
  }
  for (uint32_t layer = 0; layer < self->n_layers; layer++) {
    const GemBertLayer *weights = &self->layers[layer];
    bytes += matrix_bytes(weights->query) + matrix_bytes(weights->key) + matrix_bytes(weights->value) +
             matrix_bytes(weights->output) + matrix_bytes(weights->up) + matrix_bytes(weights->down);
  }
  return bytes;
}
