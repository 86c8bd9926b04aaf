/* Writes what each fuzzer starts from: DIR/NAME/ for each name of a fuzzer. */
#include <glib/gstdio.h>
#include <string.h>

#include "format/gem-learned-file.h"
#include "format/gem-model-files.h"
#include "tests/fuzz/gem-fuzz-learned.h"
#include "tests/gem-test-model.h"
#include "tests/gem-test-vocabulary.h"

static void
write_seed(const char *dir, const char *fuzzer, const char *name, const void *data, gsize size)
{
  g_autofree char *folder = g_build_filename(dir, fuzzer, NULL);
  g_autofree char *base = g_path_get_basename(name);
  g_autofree char *path = g_build_filename(folder, base, NULL);

  g_assert_cmpint(g_mkdir_with_parents(folder, 0777), ==, 0);
  g_assert_true(g_file_set_contents(path, data, (gssize)size, NULL));
}

static void
copy_seed(const char *dir, const char *fuzzer, const char *model, const char *file)
{
  g_autofree char *path = g_build_filename(model, file, NULL);
  g_autofree char *contents = NULL;
  gsize size;

  g_assert_true(g_file_get_contents(path, &contents, &size, NULL));
  write_seed(dir, fuzzer, file, contents, size);
}

/* The smallest model that has everything. */
static void
write_models(const char *dir)
{
  g_autofree char *model = gem_test_folder_new();
  g_autofree char *pathway = gem_model_pathway_file("legal");
  g_auto(GemModelShape) shape = {0};

  gem_test_model_shape(&shape);
  shape.layers = 1;
  gem_test_model_write(model, &shape, GEM_TYPE_Q4_0, 1);
  copy_seed(dir, "gguf", model, "general.gguf");
  copy_seed(dir, "gguf", model, "router.gguf");
  copy_seed(dir, "gguf", model, pathway);
  copy_seed(dir, "vocabulary", model, "general.gguf");
  copy_seed(dir, "manifest", model, "manifest");
  gem_test_folder_remove(model);
}

/* A domain learned on a model of one layer, its residual all zeros. */
static void
write_learned(const char *dir)
{
  g_auto(GemModelShape) shape = {0};
  const float row[GEM_FUZZ_LEARNED_WIDTH] = {0};
  guint layer;

  gem_test_model_shape(&shape);
  shape.layers = GEM_FUZZ_LEARNED_LAYERS;
  const GemLearnedBase base = {&shape, GEM_FUZZ_LEARNED_WIDTH, GEM_FUZZ_LEARNED_HASH, GEM_FUZZ_LEARNED_HASH};
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autofree float *zeros = g_new0(float, (gsize)shape.domain_ffn *shape.width);

  g_assert_true(gem_learned_file_write(&base, "knitting", NULL, row, 0.5f, writer, NULL));
  for (layer = 0; layer < shape.layers; layer++) {
    static const char *const parts[] = {"ffn_gate", "ffn_up", "ffn_down"};
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
      g_autofree char *name = g_strdup_printf("blk.%u.%s.weight", layer, parts[i]);
      gsize rows = i < 2 ? shape.domain_ffn : shape.width, cols = i < 2 ? shape.width : shape.domain_ffn;

      g_assert_true(gem_gguf_writer_add_tensor(writer, name, GEM_TYPE_Q4_0, rows, cols, zeros, NULL));
    }
  }
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  write_seed(dir, "learned", "knitting.gguf", g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void
write_vocabulary(const char *dir)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GByteArray) model = NULL;

  test_vocabulary_add(vocabulary, "\xe2\x96\x81the", -1, NORMAL);
  model = test_vocabulary_to_sentencepiece(vocabulary);
  write_seed(dir, "vocabulary", "sentencepiece.model", model->data, model->len);
}

static void
write_texts(const char *dir)
{
  static const char *const texts[] = {
      "the patient has a high temperature",
      "  two  spaces, \xc3\xa9\xcc\x81 \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80",
      "<s><|user|>the<|model|></s>",
      "\xe2\x96\x81the\xed\xa0\x80",
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autofree char *name = g_strdup_printf("%" G_GSIZE_FORMAT, i);

    write_seed(dir, "text", name, texts[i], strlen(texts[i]));
  }
}

static void
write_arguments(const char *dir)
{
  static const char *const options[] = {
      "{'domain': <'legal'>, 'clusters': <uint32 8>, 'max_tokens': <uint32 256>, 'temperature': <4.0>, "
      "'top_k': <uint32 5>, 'top_p': <1.0>, 'seed': <uint64 18446744073709551615>, 'stop': <['a', 'b']>, "
      "'raw': <true>, 'slide': <true>, 'routes': <true>, 'handle_token': <'a_Z9'>}",
      "{'temperature': <0.5>, 'stop': <@as []>}",
      "{'domain': <'nothing'>, 'top_k': <'five'>}",
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(options); i++) {
    g_autofree char *name = g_strdup_printf("%" G_GSIZE_FORMAT, i);
    g_autoptr(GVariant) variant = g_variant_parse(G_VARIANT_TYPE_VARDICT, options[i], NULL, NULL, NULL);

    write_seed(dir, "arguments", name, g_variant_get_data(variant), g_variant_get_size(variant));
  }
}

/* The file that is installed, with every key that it has in comments. */
static void
write_configuration(const char *dir, const char *installed)
{
  g_autofree char *contents = NULL;
  g_auto(GStrv) parts = NULL;
  g_autofree char *all = NULL;

  g_assert_true(g_file_get_contents(installed, &contents, NULL, NULL));
  write_seed(dir, "configuration", "comments", contents, strlen(contents));
  parts = g_strsplit(contents, "\n#", -1);
  all = g_strjoinv("\n", parts);
  write_seed(dir, "configuration", "lines", all, strlen(all));
  write_seed(dir, "configuration", "keys", "[gemd]\nModel=gem-mini\nThreads=2\nThreshold=0.5\n", 47);
}

int
main(int argc, char **argv)
{
  if (argc != 3) {
    g_printerr("usage: fuzz-seeds GEMD.CONF DIR\n");
    return 2;
  }
  write_models(argv[2]);
  write_learned(argv[2]);
  write_vocabulary(argv[2]);
  write_texts(argv[2]);
  write_arguments(argv[2]);
  write_configuration(argv[2], argv[1]);
  return 0;
}
