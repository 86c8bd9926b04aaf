/*
 * A BERT of random weights, as llama.cpp reads one, as large as the router of gem-80m:
 *
 *   peer-make-bert TYPE FILE      TYPE of all matrices: Q4_0, Q6_K, Q8_0 or F16
 *
 * gemd's router is an encoder of the same layers, width, heads and feed-forward, but with rotated positions,
 * a window and no biases, which llama.cpp has no architecture for. So the two are not the same file; their
 * matrix products are the same.
 */
#include "format/gem-gguf.h"

enum {
  VOCAB = 16384,
  WIDTH = 256,
  LAYERS = 6,
  HEADS = 8,
  FFN = 1024,
  POSITIONS = 512,
  TOKEN_TYPES = 2,
  SEED = 1,
};

typedef struct {
  const char *name; /* in its layer, or as it stands */
  guint rows, cols;
} Matrix;

static const Matrix layer_matrices[] = {
    {"attn_q", WIDTH, WIDTH},      {"attn_k", WIDTH, WIDTH}, {"attn_v", WIDTH, WIDTH},
    {"attn_output", WIDTH, WIDTH}, {"ffn_up", FFN, WIDTH},   {"ffn_down", WIDTH, FFN},
};
static const char *const layer_norms[] = {"attn_output_norm", "layer_output_norm"};

typedef struct {
  GemGgufWriter *writer;
  GRand *random;
  GemType type;
} Bert;

/* rows x cols values around `mean`. */
static gboolean
add_random(Bert *self, const char *name, GemType type, guint rows, guint cols, double mean, GError **error)
{
  g_autofree float *values = g_new(float, (gsize)rows *cols);

  for (gsize i = 0; i < (gsize)rows * cols; i++) {
    values[i] = (float)(mean + g_rand_double_range(self->random, -0.05, 0.05));
  }
  return gem_gguf_writer_add_tensor(self->writer, name, type, rows, cols, values, error);
}

/* NAME.weight and NAME.bias, the first a matrix or the vector of a norm. */
static gboolean
add_with_bias(Bert *self, const char *name, guint rows, guint cols, GError **error)
{
  g_autofree char *weight = g_strconcat(name, ".weight", NULL), *bias = g_strconcat(name, ".bias", NULL);
  gboolean is_norm = rows == 1;

  return add_random(self, weight, is_norm ? GEM_TYPE_F32 : self->type, rows, cols, is_norm ? 1 : 0, error) &&
         add_random(self, bias, GEM_TYPE_F32, 1, is_norm ? cols : rows, 0, error);
}

static gboolean
add_layer(Bert *self, guint layer, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS(layer_matrices); i++) {
    const Matrix *matrix = &layer_matrices[i];
    g_autofree char *name = g_strdup_printf("blk.%u.%s", layer, matrix->name);

    if (!add_with_bias(self, name, matrix->rows, matrix->cols, error)) {
      return FALSE;
    }
  }
  for (gsize i = 0; i < G_N_ELEMENTS(layer_norms); i++) {
    g_autofree char *name = g_strdup_printf("blk.%u.%s", layer, layer_norms[i]);

    if (!add_with_bias(self, name, 1, WIDTH, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
add_tensors(Bert *self, GError **error)
{
  if (!add_random(self, "token_embd.weight", self->type, VOCAB, WIDTH, 0, error) ||
      !add_random(self, "position_embd.weight", GEM_TYPE_F32, POSITIONS, WIDTH, 0, error) ||
      !add_random(self, "token_types.weight", GEM_TYPE_F32, TOKEN_TYPES, WIDTH, 0, error) ||
      !add_with_bias(self, "token_embd_norm", 1, WIDTH, error)) {
    return FALSE;
  }
  for (guint layer = 0; layer < LAYERS; layer++) {
    if (!add_layer(self, layer, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static void
set_keys(GemGgufWriter *writer, const char *type)
{
  g_autofree char *name = g_strdup_printf("bert-6x256-%s", type);

  gem_gguf_writer_set_string(writer, "general.architecture", "bert");
  gem_gguf_writer_set_string(writer, "general.name", name);
  gem_gguf_writer_set_uint(writer, "bert.vocab_size", VOCAB);
  gem_gguf_writer_set_uint(writer, "bert.context_length", POSITIONS);
  gem_gguf_writer_set_uint(writer, "bert.embedding_length", WIDTH);
  gem_gguf_writer_set_uint(writer, "bert.feed_forward_length", FFN);
  gem_gguf_writer_set_uint(writer, "bert.block_count", LAYERS);
  gem_gguf_writer_set_uint(writer, "bert.attention.head_count", HEADS);
  gem_gguf_writer_set_float(writer, "bert.attention.layer_norm_epsilon", 1e-12f);
  gem_gguf_writer_set_bool(writer, "bert.attention.causal", FALSE);
  gem_gguf_writer_set_string(writer, "tokenizer.ggml.model", "no_vocab");
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.token_type_count", TOKEN_TYPES);
}

int
main(int argc, char **argv)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autoptr(GRand) random = g_rand_new_with_seed(SEED);
  g_autoptr(GError) error = NULL;
  Bert bert = {.writer = writer, .random = random};

  if (argc != 3 || !gem_type_from_name(argv[1], &bert.type)) {
    g_printerr("usage: peer-make-bert Q4_0|Q6_K|Q8_0|F16 FILE\n");
    return 2;
  }
  set_keys(writer, argv[1]);
  if (!add_tensors(&bert, &error) || !gem_gguf_writer_write(writer, argv[2], &error)) {
    g_printerr("peer-make-bert: %s\n", error->message);
    return 1;
  }
  return 0;
}
