#include "adaptation/trainer/gem-adapt-origin.h"

#include <math.h>

/* What is looked at. */
#define MOST_TEXTS  12u
#define MOST_TOKENS 256u /* of each */

/* Beginnings of texts that are learned, evenly picked. */
static GArray *
pick(const GArray *texts)
{
  GArray *picked = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  guint n = MIN(texts->len, MOST_TEXTS);
  for (guint i = 0; i < n; i++) {
    GemAdaptText text = g_array_index(texts, GemAdaptText, (guint64)i * texts->len / n);
    text.n = MIN(text.n, MOST_TOKENS);
    text.group = 0;
    g_array_append_val(picked, text);
  }
  return picked;
}

gboolean
gem_adapt_origin_choose(GemAdaptModel *model,
                        const GemAdaptDocuments *documents,
                        GemLanes *lanes,
                        const GemAdaptWatch *watch,
                        GError **error)
{
  g_autoptr(GArray) texts = pick(documents->learned);
  g_autofree GemAdaptSums *sums = g_new0(GemAdaptSums, texts->len);
  gint8 best = model->learned;
  double least = INFINITY;
  for (gint8 domain = 0; domain < (gint8)model->backbone->shape.n_domains; domain++) {
    if (!model->present[domain]) {
      continue;
    }
    if (!gem_adapt_measure_forced(model, texts, domain, lanes, watch, sums, error)) {
      return FALSE;
    }
    double loss = gem_adapt_sums_add(texts, sums, 0).loss;
    if (loss < least) {
      least = loss;
      best = domain;
    }
  }
  if (best != model->learned) {
    gem_adapt_model_start_from(model, best);
  }
  return TRUE;
}
