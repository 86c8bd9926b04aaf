#include "tests/gem-test-training.h"

#include <glib/gstdio.h>
#include <string.h>

#include "tests/gem-test-model.h"
#include "training/arithmetic/gem-random.h"
#include "training/network/gem-model-export.h"
#include "training/network/gem-presets.h"

float *
gem_test_normal_new(gsize n, guint64 stream)
{
  GemRandom random = gem_random_seeded(0x7e57, stream);
  float *values = g_new(float, n);
  for (gsize i = 0; i < n; i++) {
    values[i] = (float)gem_random_normal(&random);
  }
  return values;
}

void
gem_test_assert_same_bytes(gconstpointer a, gconstpointer b, gsize size, const char *what)
{
  const guint8 *left = a, *right = b;
  for (gsize i = 0; i < size; i++) {
    if (left[i] != right[i]) {
      g_test_message("%s: byte %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " is %02x and %02x", what, i, size,
                     left[i], right[i]);
      g_test_fail();
      return;
    }
  }
}

GemBackbone *
gem_test_backbone_new(const char *shape, gsize positions)
{
  g_auto(GemPreset) preset = {0};
  g_autoptr(GError) error = NULL;
  gboolean made =
      gem_preset_get("gem-tiny", &preset, &error) && gem_preset_apply_shape(&preset, shape, &error);
  g_assert_no_error(error);
  g_assert_true(made);
  return gem_backbone_new(&preset.general, positions);
}

GemTokenizer *
gem_test_byte_tokenizer_new(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *dir = gem_test_folder_new(), *path = g_build_filename(dir, "general.gguf", NULL);
  g_autoptr(GemBackbone) backbone =
      gem_test_backbone_new("width=32,heads=1,layers=1,ffn=32,domains=0,clusters=0", 1);
  g_autoptr(GemCentroids) centroids = gem_centroids_new(backbone, 1);
  float *values = gem_parameters_alloc(backbone->parameters);
  const GemExport export = {.backbone = backbone, .values = values, .centroids = centroids, .name = "bytes"};
  gem_model_export(&export, &gem_export_types_default, dir, &error);
  g_assert_no_error(error);
  g_autoptr(GemGguf) file = gem_gguf_open(path, &error);
  g_assert_no_error(error);
  GemTokenizer *tokenizer = gem_tokenizer_new_from_gguf(file, &error);
  g_assert_no_error(error);
  g_aligned_free(values);
  gem_test_folder_remove(dir);
  return tokenizer;
}

static void
write_corpus(const char *dir, const char *name, const char *sentence, guint documents)
{
  g_autoptr(GString) text = g_string_new(NULL);
  g_autofree char *path = g_strdup_printf("corpus/%s.txt", name);
  for (guint i = 0; i < documents; i++) {
    g_string_append_printf(text, "%s%s number %u.\n%s", i > 0 ? "\n" : "", sentence, i,
                           i % 3 == 0 ? "And one more line.\n" : "");
  }
  gem_test_write_text(dir, path, text->str);
}

char *
gem_test_data_folder_new(void)
{
  char *dir = gem_test_folder_new();
  write_corpus(dir, "legal", "The party of the first part shall indemnify", 120);
  write_corpus(dir, "stem", "The mass of the particle times its speed is momentum", 60);
  write_corpus(dir, "general", "It rained and we stayed at home on day", 30);
  gem_test_write_text(dir, "tasks/legal/clauses/train.jsonl",
                      "{\"input\": \"Is clause 1 valid?\", \"target\": \"yes\"}\n"
                      "{\"input\": \"Is clause 2 valid?\", \"target\": \"no\"}\n");
  gem_test_write_text(dir, "tasks/legal/clauses/dev.jsonl", "this is never read\n");
  gem_test_write_text(dir, "tasks/legal/clauses/test.jsonl",
                      "{\"input\": \"Is clause 3 valid?\", \"target\": \"yes\"}\n");
  gem_test_write_text(dir, "tasks/finance/closed/train.jsonl", "{\"input\": this cannot be parsed\n");
  gem_test_write_text(dir, "tasks/finance/closed/test.jsonl",
                      "{\"input\": \"Up or down?\", \"target\": \"down\"}\n");
  gem_test_write_text(dir, "manifest.json",
                      "{\"tasks\": ["
                      "{\"domain\": \"legal\", \"name\": \"clauses\", \"permissive\": true},"
                      "{\"domain\": \"finance\", \"name\": \"closed\", \"permissive\": false}]}\n");
  return dir;
}
