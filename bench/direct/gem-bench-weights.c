#include "bench/direct/gem-bench-weights.h"

#include <string.h>

#define EMBEDDING "token_embd.weight"

static guint64
count_all(GemGguf *file)
{
  guint64 bytes = 0;
  guint i;

  for (i = 0; i < gem_gguf_n_tensors(file); i++) {
    bytes += gem_gguf_tensor(file, i)->bytes;
  }
  return bytes;
}

/* Bytes of the tensors whose name has `part` in it, and does not end in `end` (may be NULL). */
static guint64
count_named(GemGguf *file, const char *part, const char *end)
{
  guint64 bytes = 0;
  guint i;

  for (i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);

    if (strstr(tensor->name, part) != NULL && (end == NULL || !g_str_has_suffix(tensor->name, end))) {
      bytes += tensor->bytes;
    }
  }
  return bytes;
}

void
gem_bench_weights_count(const GemModelFiles *files, guint clusters, GemBenchWeights *ret_weights)
{
  GemBenchWeights weights = {.general = count_all(files->general)};
  g_autofree char *used = g_strdup_printf(".scar_centroids_%u.weight", clusters);

  if (!files->shape.tied) {
    weights.general -= count_named(files->general, EMBEDDING, NULL);
  }
  weights.general -= count_named(files->general, ".scar_centroids_", clusters > 0 ? used : NULL);
  if (files->router != NULL) {
    weights.router = count_all(files->router) - count_named(files->router, EMBEDDING, NULL);
  }
  *ret_weights = weights;
}

gboolean
gem_bench_weights_count_domain(GemBenchWeights *self, GemModelFiles *files, guint domain, GError **error)
{
  g_autoptr(GemGguf) file = gem_model_files_open_pathway(files, files->shape.domains[domain], error);

  if (file == NULL) {
    return FALSE;
  }
  self->domains[domain] = count_all(file);
  return TRUE;
}
