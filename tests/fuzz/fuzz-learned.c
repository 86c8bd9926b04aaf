/* Any bytes as a learned domain's file, for a model whose shape is that of the seed. */
#include "format/gem-learned-file.h"
#include "tests/fuzz/gem-fuzz-learned.h"
#include "tests/fuzz/gem-fuzz.h"
#include "tests/gem-test-model.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_auto(GemModelShape) shape = {0};
  gem_test_model_shape(&shape);
  shape.layers = GEM_FUZZ_LEARNED_LAYERS;
  const GemLearnedBase base = {&shape, GEM_FUZZ_LEARNED_WIDTH, GEM_FUZZ_LEARNED_HASH, GEM_FUZZ_LEARNED_HASH};
  g_autoptr(GBytes) bytes = g_bytes_new(data, size);
  g_autoptr(GemGguf) file = gem_gguf_new_from_bytes(bytes, "fuzz", NULL);
  GError *error = NULL;

  if (file == NULL) {
    return 0;
  }
  g_autoptr(GemLearnedFile) learned = gem_learned_file_new(file, &base, &error);
  gem_fuzz_check_outcome(learned != NULL, error);
  if (learned != NULL) {
    g_assert_true(gem_learned_check_name(&shape, learned->name, learned->replaces, NULL));
    g_free(g_memdup2(learned->row, learned->width * sizeof(float)));
  }
  return 0;
}
