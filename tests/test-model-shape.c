/* Hyper-parameters: every range, every default of a Llama file, and the tensors that go with them. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-model.h"

static GemGguf *
read_writer(GemGgufWriter *writer)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  GemGguf *file = gem_gguf_new_from_bytes(bytes, "crafted.gguf", &error);
  g_assert_no_error(error);
  return file;
}

/* Keys of a small Llama file, only those without a default. */
static GemGgufWriter *
new_llama(void)
{
  GemGgufWriter *writer = gem_gguf_writer_new();
  gem_gguf_writer_set_string(writer, "general.architecture", "llama");
  gem_gguf_writer_set_uint(writer, "llama.vocab_size", 100);
  gem_gguf_writer_set_uint(writer, "llama.context_length", 2048);
  gem_gguf_writer_set_uint(writer, "llama.embedding_length", 96);
  gem_gguf_writer_set_uint(writer, "llama.block_count", 3);
  gem_gguf_writer_set_uint(writer, "llama.feed_forward_length", 128);
  gem_gguf_writer_set_uint(writer, "llama.attention.head_count", 6);
  gem_gguf_writer_set_float(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  return writer;
}

static void
test_llama_defaults(void)
{
  g_autoptr(GemGgufWriter) writer = new_llama();
  g_autoptr(GemGguf) file = read_writer(writer);
  g_auto(GemModelShape) shape = {0};
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_model_shape_read(file, &shape, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(shape.vocab, ==, 100);
  g_assert_cmpuint(shape.heads, ==, 6);
  g_assert_cmpuint(shape.kv_heads, ==, 6);
  g_assert_cmpuint(shape.head_dim, ==, 16);
  g_assert_cmpuint(shape.rope_dim, ==, 16);
  g_assert_cmpfloat(shape.rope_base, ==, 10000.0f);
  g_assert_cmpuint(shape.n_cluster_sets, ==, 0);
  g_assert_cmpuint(shape.n_domains, ==, 0);
  g_assert_true(shape.tied);
  g_assert_null(shape.ask_template);
}

static void
test_llama_stated(void)
{
  g_autoptr(GemGgufWriter) writer = new_llama();
  gem_gguf_writer_set_uint(writer, "llama.attention.head_count_kv", 2);
  gem_gguf_writer_set_uint(writer, "llama.attention.key_length", 24);
  gem_gguf_writer_set_uint(writer, "llama.rope.dimension_count", 8);
  gem_gguf_writer_set_float(writer, "llama.rope.freq_base", 5e5f);
  gem_gguf_writer_set_uint(writer, "llama.expert_count", 0);
  gem_gguf_writer_set_string(writer, "llama.rope.scaling.type", "none");
  float output[100] = {0};
  g_assert_true(gem_gguf_writer_add_tensor(writer, "output.weight", GEM_TYPE_F32, 100, 1, output, NULL));
  g_autoptr(GemGguf) file = read_writer(writer);
  g_auto(GemModelShape) shape = {0};
  g_assert_true(gem_model_shape_read(file, &shape, NULL));
  g_assert_cmpuint(shape.kv_heads, ==, 2);
  g_assert_cmpuint(shape.head_dim, ==, 24);
  g_assert_cmpuint(shape.rope_dim, ==, 8);
  g_assert_cmpfloat(shape.rope_base, ==, 5e5f);
  g_assert_false(shape.tied);
}

/* Reading fails with `code`; the message names `key`; the shape that was given is untouched. */
static void
assert_refused(GemGgufWriter *writer, GemFormatError code, const char *key)
{
  g_autoptr(GemGguf) file = read_writer(writer);
  GemModelShape shape = {.vocab = 77};
  g_autoptr(GError) error = NULL;
  if (gem_model_shape_read(file, &shape, &error)) {
    g_error("taken although %s is wrong", key);
  }
  g_assert_error(error, GEM_FORMAT_ERROR, (gint)code);
  if (strstr(error->message, key) == NULL || !g_str_has_prefix(error->message, "crafted.gguf: ")) {
    g_error("'%s' does not name '%s'", error->message, key);
  }
  g_assert_cmpuint(shape.vocab, ==, 77);
  g_assert_null(shape.domains[0]);
}

static void
test_ranges(void)
{
  const struct {
    const char *key;
    guint32 value;
  } cases[] = {
      {"llama.vocab_size", 0},
      {"llama.vocab_size", 4194305},
      {"llama.context_length", 0},
      {"llama.context_length", 16777217},
      {"llama.embedding_length", 0},
      {"llama.embedding_length", 65537},
      {"llama.block_count", 0},
      {"llama.block_count", 513},
      {"llama.feed_forward_length", 0},
      {"llama.feed_forward_length", 1048577},
      {"llama.attention.head_count", 0},
      {"llama.attention.head_count", 513},
      {"llama.attention.head_count", 5},
      {"llama.attention.head_count", 96}, /* one value a head */
      {"llama.attention.head_count", 32}, /* three values a head */
      {"llama.attention.head_count_kv", 0},
      {"llama.attention.head_count_kv", 4},
      {"llama.attention.head_count_kv", 7},
      {"llama.attention.key_length", 0},
      {"llama.attention.key_length", 15},
      {"llama.attention.key_length", 4098},
      {"llama.rope.dimension_count", 0},
      {"llama.rope.dimension_count", 7},
      {"llama.rope.dimension_count", 18},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemGgufWriter) writer = new_llama();
    gem_gguf_writer_set_uint(writer, cases[i].key, cases[i].value);
    /* What is found wrong may be what a key leaves to the other. */
    const char *named = strstr(cases[i].key, "head_count") && cases[i].value >= 32 && cases[i].value <= 96
                            ? "attention.key_length"
                            : cases[i].key;
    assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, named);
  }
}

static void
test_float_ranges(void)
{
  const struct {
    const char *key;
    float value;
  } cases[] = {
      {"llama.attention.layer_norm_rms_epsilon", 0.0f},
      {"llama.attention.layer_norm_rms_epsilon", NAN},
      {"llama.attention.layer_norm_rms_epsilon", -1e-5f},
      {"llama.attention.layer_norm_rms_epsilon", 2.0f},
      {"llama.rope.freq_base", 0.0f},
      {"llama.rope.freq_base", INFINITY},
      {"llama.rope.freq_base", -10.0f},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemGgufWriter) writer = new_llama();
    gem_gguf_writer_set_float(writer, cases[i].key, cases[i].value);
    assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, cases[i].key);
  }
}

static void
test_missing(void)
{
  const char *needed[] = {"context_length", "embedding_length", "block_count", "feed_forward_length"};
  for (gsize i = 0; i < G_N_ELEMENTS(needed); i++) {
    g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
    gem_gguf_writer_set_string(writer, "general.architecture", "llama");
    gem_gguf_writer_set_uint(writer, "llama.vocab_size", 100);
    for (gsize j = 0; j < i; j++) {
      g_autofree char *key = g_strconcat("llama.", needed[j], NULL);
      gem_gguf_writer_set_uint(writer, key, 32);
    }
    assert_refused(writer, GEM_FORMAT_ERROR_MISSING, needed[i]);
  }
  g_autoptr(GemGgufWriter) nothing = gem_gguf_writer_new();
  assert_refused(nothing, GEM_FORMAT_ERROR_MISSING, "general.architecture");
  gem_gguf_writer_set_string(nothing, "general.architecture", "mamba");
  assert_refused(nothing, GEM_FORMAT_ERROR_UNSUPPORTED, "general.architecture: \"mamba\"");
  gem_gguf_writer_set_uint(nothing, "general.architecture", 3);
  assert_refused(nothing, GEM_FORMAT_ERROR_MALFORMED, "general.architecture");
}

/* A Llama file that asks for what is not done here is refused, not run wrongly. */
static void
test_llama_unknown(void)
{
  g_autoptr(GemGgufWriter) experts = new_llama();
  gem_gguf_writer_set_uint(experts, "llama.expert_count", 8);
  assert_refused(experts, GEM_FORMAT_ERROR_UNSUPPORTED, "llama.expert_count");
  g_autoptr(GemGgufWriter) scaled = new_llama();
  gem_gguf_writer_set_string(scaled, "llama.rope.scaling.type", "linear");
  assert_refused(scaled, GEM_FORMAT_ERROR_UNSUPPORTED, "llama.rope.scaling.type");
  g_autoptr(GemGgufWriter) linear = new_llama();
  gem_gguf_writer_set_float(linear, "llama.rope.scale_linear", 4.0f);
  assert_refused(linear, GEM_FORMAT_ERROR_UNSUPPORTED, "llama.rope.scale_linear");
  g_autoptr(GemGgufWriter) values = new_llama();
  gem_gguf_writer_set_uint(values, "llama.attention.value_length", 32);
  assert_refused(values, GEM_FORMAT_ERROR_UNSUPPORTED, "llama.attention.value_length");
}

/* ---- gem ---- */

static GemGgufWriter *
new_gem(void)
{
  g_auto(GemModelShape) shape = {0};
  gem_test_model_shape(&shape);
  GemGgufWriter *writer = gem_gguf_writer_new();
  gem_model_shape_write(&shape, writer);
  return writer;
}

static void
test_gem_round_trip(void)
{
  g_auto(GemModelShape) written = {0};
  gem_test_model_shape(&written);
  written.kv_heads = 2;
  written.rope_dim = 8;
  written.successors = 1;
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  gem_model_shape_write(&written, writer);
  g_autoptr(GemGguf) file = read_writer(writer);
  g_auto(GemModelShape) read = {0};
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_model_shape_read(file, &read, &error));
  g_assert_no_error(error);
  g_assert_cmpmem(&read, G_STRUCT_OFFSET(GemModelShape, domains), &written,
                  G_STRUCT_OFFSET(GemModelShape, domains));
  g_assert_true(g_strv_equal((const char *const *)read.domains, (const char *const *)written.domains));
  g_assert_cmpfloat(read.router_threshold, ==, written.router_threshold);
  g_assert_cmpint(read.tied, ==, written.tied);
  g_assert_cmpstr(read.ask_template, ==, written.ask_template);
}

static void
test_gem_scar(void)
{
  const guint32 sets[][5] = {{8, 8}, {4, 8}, {1, 0}, {257, 8}, {8, 0}};
  for (gsize i = 0; i < G_N_ELEMENTS(sets); i++) {
    g_autoptr(GemGgufWriter) writer = new_gem();
    gem_gguf_writer_set_uint_array(writer, "gem.scar.clusters", sets[i], 2);
    assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, "gem.scar.clusters");
  }
  g_autoptr(GemGgufWriter) many = new_gem();
  gem_gguf_writer_set_uint_array(many, "gem.scar.clusters", (const guint32[]){32, 16, 8, 4, 2}, 5);
  assert_refused(many, GEM_FORMAT_ERROR_UNSUPPORTED, "gem.scar.clusters");
  g_autoptr(GemGgufWriter) wide = new_gem();
  gem_gguf_writer_set_uint(wide, "gem.scar.window", 1048577);
  assert_refused(wide, GEM_FORMAT_ERROR_MALFORMED, "gem.scar.window");
  g_autoptr(GemGgufWriter) more = new_gem();
  gem_gguf_writer_set_uint(more, "gem.scar.successors", 2);
  assert_refused(more, GEM_FORMAT_ERROR_MALFORMED, "gem.scar.successors");
}

static void
test_gem_domains(void)
{
  const char *const names[][3] = {
      {"general"}, {"Legal"},          {""},     {"a/b"},
      {"../x"},    {"legal", "legal"}, {"9to5"}, {"abcdefghijklmnopqrstuvwxyzabcdefg"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autoptr(GemGgufWriter) writer = new_gem();
    gem_gguf_writer_set_string_array(writer, "gem.domains", names[i]);
    assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, "gem.domains");
  }
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  for (int i = 0; i < 17; i++) {
    g_autofree char *name = g_strdup_printf("d%d", i);
    g_strv_builder_add(builder, name);
  }
  g_auto(GStrv) seventeen = g_strv_builder_end(builder);
  g_autoptr(GemGgufWriter) many = new_gem();
  gem_gguf_writer_set_string_array(many, "gem.domains", (const char *const *)seventeen);
  assert_refused(many, GEM_FORMAT_ERROR_UNSUPPORTED, "gem.domains");
  g_autoptr(GemGgufWriter) narrow = new_gem();
  gem_gguf_writer_set_uint(narrow, "gem.domain_feed_forward_length", 0);
  assert_refused(narrow, GEM_FORMAT_ERROR_MALFORMED, "gem.domain_feed_forward_length");
  g_autoptr(GemGgufWriter) threshold = new_gem();
  gem_gguf_writer_set_float(threshold, "gem.router.threshold", 1.5f);
  assert_refused(threshold, GEM_FORMAT_ERROR_MALFORMED, "gem.router.threshold");
}

static void
test_gem_other(void)
{
  g_autofree char *endless = g_strnfill(5000, 'x');
  const char *templates[] = {"<s>", "{text}{text}", ""};
  for (gsize i = 0; i < G_N_ELEMENTS(templates); i++) {
    g_autoptr(GemGgufWriter) writer = new_gem();
    gem_gguf_writer_set_string(writer, "gem.template.ask", templates[i]);
    assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, "gem.template.ask");
  }
  g_autoptr(GemGgufWriter) writer = new_gem();
  gem_gguf_writer_set_string(writer, "gem.template.ask", endless);
  assert_refused(writer, GEM_FORMAT_ERROR_UNSUPPORTED, "gem.template.ask");

  /* The tokenizer's length stands in for the key, but must not differ from it. */
  g_autoptr(GemGgufWriter) tokens = new_gem();
  gem_gguf_writer_set_string_array(tokens, "tokenizer.ggml.tokens", (const char *const[]){"a", "b", NULL});
  assert_refused(tokens, GEM_FORMAT_ERROR_MISMATCH, "gem.vocab_size");
}

/* ---- tensors ---- */

typedef struct {
  char *dir;
  GemModelShape shape;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
  fixture->dir = gem_test_folder_new();
  gem_test_model_shape(&fixture->shape);
  gem_test_model_write(fixture->dir, &fixture->shape, GEM_TYPE_F32, 1);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
  gem_test_folder_remove(fixture->dir);
  g_free(fixture->dir);
  gem_model_shape_clear(&fixture->shape);
}

static GemGguf *
open_part(Fixture *fixture, const char *name)
{
  g_autofree char *path = g_build_filename(fixture->dir, name, NULL);
  g_autoptr(GError) error = NULL;
  GemGguf *file = gem_gguf_open(path, &error);
  g_assert_no_error(error);
  return file;
}

/* A writer with the tensors of `file`, `changed` replaced by `rows` x `cols` zeros (rows 0: left out),
 * `extra` added. */
static GemGgufWriter *
copy_tensors(GemGguf *file, const char *changed, gsize rows, gsize cols, const char *extra)
{
  GemGgufWriter *writer = gem_gguf_writer_new();
  for (guint i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);
    if (g_strcmp0(tensor->name, changed) != 0) {
      gem_gguf_writer_add_tensor_data(writer, tensor->name, tensor->type, tensor->rows, tensor->cols,
                                      gem_gguf_read_tensor(file, tensor, NULL));
    }
  }
  g_autofree float *zeros = g_new0(float, MAX(rows * cols, 8));
  if (rows > 0) {
    gem_gguf_writer_add_tensor_data(writer, changed, GEM_TYPE_F32, rows, cols, zeros);
  }
  if (extra != NULL) {
    gem_gguf_writer_add_tensor_data(writer, extra, GEM_TYPE_F32, 1, 8, zeros);
  }
  return writer;
}

static void
test_tensors(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemGguf) general = open_part(fixture, "general.gguf");
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_model_shape_check_tensors(&fixture->shape, general, &error));
  g_assert_no_error(error);

  const struct {
    const char *changed;
    gsize rows, cols;
    const char *extra;
    GemFormatError code;
    const char *what;
  } cases[] = {
      {"token_embd.weight", 0, 0, NULL, GEM_FORMAT_ERROR_MISSING, "tensor token_embd.weight is missing"},
      {"blk.1.ffn_down.weight", 0, 0, NULL, GEM_FORMAT_ERROR_MISSING,
       "tensor blk.1.ffn_down.weight is missing"},
      {"blk.0.attn_k.weight", 64, 32, NULL, GEM_FORMAT_ERROR_MISMATCH, "64 x 32, but 64 x 64"},
      {"output_norm.weight", 1, 32, NULL, GEM_FORMAT_ERROR_MISMATCH, "tensor output_norm.weight"},
      {"blk.1.scar_centroids_4.weight", 0, 0, NULL, GEM_FORMAT_ERROR_MISSING, "scar_centroids_4"},
      {"blk.1.scar_centroids_4.weight", 4, 64, NULL, GEM_FORMAT_ERROR_MALFORMED, "row 0 has length 0"},
      {NULL, 0, 0, "blk.0.attn_q.bias", GEM_FORMAT_ERROR_UNSUPPORTED, "tensor blk.0.attn_q.bias"},
      {NULL, 0, 0, "blk.2.ffn_up.weight", GEM_FORMAT_ERROR_UNSUPPORTED, "tensor blk.2.ffn_up.weight"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemGgufWriter) writer =
        copy_tensors(general, cases[i].changed, cases[i].rows, cases[i].cols, cases[i].extra);
    g_autoptr(GemGguf) copy = read_writer(writer);
    g_assert_false(gem_model_shape_check_tensors(&fixture->shape, copy, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, (gint)cases[i].code);
    g_assert_nonnull(strstr(error->message, cases[i].what));
    g_clear_error(&error);
  }
}

static void
test_router(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemGguf) router = open_part(fixture, "router.gguf");
  GemRouterShape shape = {0};
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_router_shape_read(router, &shape, &error));
  g_assert_true(gem_router_shape_check_tensors(&shape, router, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(shape.vocab, ==, fixture->shape.vocab);
  g_assert_cmpuint(shape.embedding, ==, 32);
  g_assert_cmpuint(shape.width, ==, 64);
  g_assert_cmpuint(shape.n_domains, ==, 3);

  const char *needed[] = {"embedding_projection.weight", "classifier.weight", "blk.0.ffn_up.weight"};
  for (gsize i = 0; i < G_N_ELEMENTS(needed); i++) {
    g_autoptr(GemGgufWriter) writer = copy_tensors(router, needed[i], 0, 0, NULL);
    g_autoptr(GemGguf) copy = read_writer(writer);
    g_assert_false(gem_router_shape_check_tensors(&shape, copy, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
    g_assert_nonnull(strstr(error->message, needed[i]));
    g_clear_error(&error);
  }
}

static void
test_router_ranges(Fixture *fixture, gconstpointer data)
{
  const struct {
    const char *key;
    guint32 value;
  } cases[] = {{"gemrouter.context_length", 0},        {"gemrouter.embedding_length", 0},
               {"gemrouter.block_count", 0},           {"gemrouter.feed_forward_length", 0},
               {"gemrouter.attention.head_count", 0},  {"gemrouter.attention.head_count", 3},
               {"gemrouter.attention.head_count", 64}, {"gemrouter.attention.window", 0}};
  const GemRouterShape good = {.width = 64,
                               .layers = 1,
                               .heads = 2,
                               .ffn = 96,
                               .window = 16,
                               .context = 64,
                               .rms_epsilon = 1e-5f,
                               .rope_base = 1e4f};
  g_autoptr(GError) error = NULL;
  GemRouterShape shape = {.vocab = 77};
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
    gem_router_shape_write(&good, (const char *const *)fixture->shape.domains, writer);
    gem_gguf_writer_set_uint(writer, cases[i].key, cases[i].value);
    g_autoptr(GemGguf) file = read_writer(writer);
    g_assert_false(gem_router_shape_read(file, &shape, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
    g_assert_nonnull(strstr(error->message, cases[i].key));
    g_clear_error(&error);
  }
  g_assert_cmpuint(shape.vocab, ==, 77);
  g_autoptr(GemGguf) general = open_part(fixture, "general.gguf");
  g_assert_false(gem_router_shape_read(general, &shape, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/model-shape/llama/defaults", test_llama_defaults);
  g_test_add_func("/model-shape/llama/stated", test_llama_stated);
  g_test_add_func("/model-shape/llama/unknown", test_llama_unknown);
  g_test_add_func("/model-shape/ranges/integers", test_ranges);
  g_test_add_func("/model-shape/ranges/floats", test_float_ranges);
  g_test_add_func("/model-shape/missing", test_missing);
  g_test_add_func("/model-shape/gem/round-trip", test_gem_round_trip);
  g_test_add_func("/model-shape/gem/scar", test_gem_scar);
  g_test_add_func("/model-shape/gem/domains", test_gem_domains);
  g_test_add_func("/model-shape/gem/other", test_gem_other);
  g_test_add("/model-shape/tensors", Fixture, NULL, set_up, test_tensors, tear_down);
  g_test_add("/model-shape/router/shape", Fixture, NULL, set_up, test_router, tear_down);
  g_test_add("/model-shape/router/ranges", Fixture, NULL, set_up, test_router_ranges, tear_down);
  return g_test_run();
}
