/*
 * The ten pathways: each computes its own feed-forward, takes only a file that fits, and gives back all that
 * it took.
 */
#include <string.h>

#include "tests/gem-test-backend.h"
#include "tests/gem-test-reference.h"
#include "tests/gem-test-source.h"

#define WIDTH  64
#define HIDDEN 96 /* of the general pathway; a domain's is half of it */
#define LAYERS 3

static const char *const pathways[] = {"general",  "healthcare",  "legal",          "finance",
                                       "stem",     "commonsense", "conversational", "multilingual",
                                       "adaptive", "learned"};

static const GemShape shape = {
    .struct_size = sizeof shape,
    .width = WIDTH,
    .layers = LAYERS,
    .ffn = HIDDEN,
    .domain_ffn = HIDDEN / 2,
};

static size_t
hidden_of(const char *pathway)
{
  return strcmp(pathway, "general") == 0 ? HIDDEN : HIDDEN / 2;
}

static char *
tensor_name(guint layer, const char *part)
{
  return g_strdup_printf("blk.%u.%s.weight", layer, part);
}

static GemTestSource *
source_for(const char *pathway)
{
  GemTestSource *source = gem_test_source_new("pathway-test.gguf", g_str_hash(pathway));
  for (guint layer = 0; layer < LAYERS; layer++) {
    g_autofree char *gate = tensor_name(layer, "ffn_gate");
    g_autofree char *up = tensor_name(layer, "ffn_up");
    g_autofree char *down = tensor_name(layer, "ffn_down");
    gem_test_source_add(source, gate, GEM_TYPE_F16, hidden_of(pathway), WIDTH, 0, 0.3);
    gem_test_source_add(source, up, GEM_TYPE_F16, hidden_of(pathway), WIDTH, 0, 0.3);
    gem_test_source_add(source, down, GEM_TYPE_F16, WIDTH, hidden_of(pathway), 0, 0.3);
  }
  if (strcmp(pathway, "general") != 0) {
    gem_test_source_set_string(source, "gempathway.domain", pathway);
    gem_test_source_set_number(source, "gempathway.block_count", LAYERS);
  }
  return source;
}

static void
assert_applies(const GemPathwayFunctions *functions,
               GemPathway *pathway,
               GemTestSource *source,
               size_t hidden)
{
  const size_t n = 3;
  for (guint layer = 0; layer < LAYERS; layer++) {
    g_autofree char *gate = tensor_name(layer, "ffn_gate");
    g_autofree char *up = tensor_name(layer, "ffn_up");
    g_autofree char *down = tensor_name(layer, "ffn_down");
    g_autofree float *u = gem_test_random_floats(source->random, n * WIDTH, 1);
    g_autofree float *y = gem_test_random_floats(source->random, n * WIDTH, 1);
    g_autofree double *exact = gem_test_to_doubles(u, n * WIDTH);
    g_autofree double *expected = gem_test_to_doubles(y, n * WIDTH);
    functions->apply(pathway, layer, u, n, y);
    for (size_t i = 0; i < n; i++) {
      gem_test_feed_forward(gem_test_source_values(source, gate), gem_test_source_values(source, up),
                            gem_test_source_values(source, down), WIDTH, hidden, exact + i * WIDTH,
                            expected + i * WIDTH);
    }
    gem_test_assert_close(y, expected, n * WIDTH, 1e-4);
  }
}

static void
test_apply(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  for (gsize i = 0; i < G_N_ELEMENTS(pathways); i++) {
    g_autoptr(GemPluginModule) module = gem_test_module_open(GEM_PLUGIN_PATHWAY, pathways[i]);
    const GemPathwayFunctions *functions = gem_plugin_module_get(module)->functions;
    g_autoptr(GemTestSource) source = source_for(pathways[i]);
    GemPluginError error = {""};

    GemPathway *pathway = functions->open(&source->source, &shape, &backend->backend, &error);
    g_assert_cmpstr(error.message, ==, "");
    g_assert_nonnull(pathway);
    g_assert_cmpuint(gem_test_backend_matrices(), ==, 3 * LAYERS);
    g_assert_cmpuint(functions->resident_bytes(pathway), >=, gem_test_backend_matrix_bytes());
    g_assert_cmpuint(functions->resident_bytes(pathway), <=, gem_test_backend_matrix_bytes() + 4096);
    assert_applies(functions, pathway, source, hidden_of(pathways[i]));
    functions->close(pathway);
    g_assert_cmpuint(gem_test_backend_matrices(), ==, 0);
  }
}

static void
assert_refused(GemTestSource *source, const char *thing, const char *reason)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GemPluginModule) module = gem_test_module_open(GEM_PLUGIN_PATHWAY, "legal");
  const GemPathwayFunctions *functions = gem_plugin_module_get(module)->functions;
  GemPluginError error = {""};
  g_assert_null(functions->open(&source->source, &shape, &backend->backend, &error));
  g_test_message("%s", error.message);
  g_assert_true(g_str_has_prefix(error.message, "pathway-test.gguf: "));
  g_assert_nonnull(strstr(error.message, thing));
  g_assert_nonnull(strstr(error.message, reason));
  g_assert_cmpuint(gem_test_backend_matrices(), ==, 0);
}

static void
test_bad_tensors(void)
{
  static const char *const parts[] = {"ffn_gate", "ffn_up", "ffn_down"};
  for (guint layer = 0; layer < LAYERS; layer += LAYERS - 1) {
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
      g_autofree char *name = tensor_name(layer, parts[i]);
      g_autoptr(GemTestSource) missing = source_for("legal");
      gem_test_source_remove(missing, name);
      assert_refused(missing, name, "is missing");

      g_autoptr(GemTestSource) other_shape = source_for("legal");
      gem_test_source_add(other_shape, name, GEM_TYPE_F32, 32, WIDTH, 0, 1);
      assert_refused(other_shape, name, "is 32 x 64, not");
    }
  }
}

static void
test_bad_metadata(void)
{
  g_autoptr(GemTestSource) source = source_for("finance");
  assert_refused(source, "gempathway.domain", "is \"finance\", not \"legal\"");
  g_hash_table_remove_all(source->strings);
  assert_refused(source, "gempathway.domain", "not \"legal\"");

  gem_test_source_set_string(source, "gempathway.domain", "legal");
  gem_test_source_set_number(source, "gempathway.block_count", LAYERS + 1);
  assert_refused(source, "gempathway.block_count", "is 4, the model has 3 layers");
  gem_test_source_set_number(source, "gempathway.block_count", 2.5);
  assert_refused(source, "gempathway.block_count", "not a whole number");
  g_hash_table_remove_all(source->numbers);
  assert_refused(source, "gempathway.block_count", "is missing");
}

/* Wherever the backend runs out of room, what was made before is freed. */
static void
test_no_room(void)
{
  g_autoptr(GemTestSource) source = source_for("stem");
  g_autoptr(GemPluginModule) module = gem_test_module_open(GEM_PLUGIN_PATHWAY, "stem");
  const GemPathwayFunctions *functions = gem_plugin_module_get(module)->functions;
  for (guint matrix = 1; matrix <= 3 * LAYERS; matrix++) {
    g_autoptr(GemTestBackend) backend = gem_test_backend_open();
    GemPluginError error = {""};
    gem_test_backend_fail_matrix(matrix);
    g_assert_null(functions->open(&source->source, &shape, &backend->backend, &error));
    g_assert_true(g_str_has_suffix(error.message, ": out of room"));
    g_assert_cmpuint(gem_test_backend_matrices(), ==, 0);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pathway/apply", test_apply);
  g_test_add_func("/pathway/bad-tensors", test_bad_tensors);
  g_test_add_func("/pathway/bad-metadata", test_bad_metadata);
  g_test_add_func("/pathway/no-room", test_no_room);
  return g_test_run();
}
