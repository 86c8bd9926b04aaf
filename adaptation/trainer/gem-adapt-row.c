#include "adaptation/trainer/gem-adapt-row.h"

#include <string.h>

#include "training/adapt/gem-adapt-router.h"
#include "training/network/gem-router-crops.h"

/* Tokens of the crops of either side. */
#define CROP_TOKENS 12288u

typedef struct {
  GArray *tokens; /* guint32 */
  GArray *texts;  /* GemAdaptText */
} Crops;

static void
crops_clear(Crops *self)
{
  if (self->tokens != NULL) {
    explicit_bzero(self->tokens->data, self->tokens->len * sizeof(guint32));
  }
  g_clear_pointer(&self->tokens, g_array_unref);
  g_clear_pointer(&self->texts, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Crops, crops_clear)

static void
crops_init(Crops *self)
{
  self->tokens = g_array_sized_new(FALSE, FALSE, sizeof(guint32), CROP_TOKENS + GEM_ROUTER_LONGEST_CROP);
  self->texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
}

/* A text by chance: every token has the same, or every text. */
static const GemAdaptText *
draw_text(const GArray *texts, gsize n_tokens, GemRandom *random)
{
  gsize at = (gsize)gem_random_below(random, MAX(n_tokens, 1));
  for (guint i = 0; n_tokens > 0 && i < texts->len; i++) {
    const GemAdaptText *text = &g_array_index(texts, GemAdaptText, i);
    if (at < text->n) {
      return text;
    }
    at -= text->n;
  }
  return &g_array_index(texts, GemAdaptText, gem_random_below(random, texts->len));
}

static void
add_crop(
    const GemRouterCrops *cutter, const GemAdaptText *text, GemBatch *batch, GemRandom *random, Crops *crops)
{
  GemDraw draw = {
      .tokens = text->tokens, .n = text->n, .answer = text->n, .at_start = TRUE, .domain = text->domain};
  gem_batch_clear(batch);
  gem_router_crops_append(cutter, batch, &draw, random);
  GemAdaptText crop = {.tokens = (const guint32 *)(gpointer)crops->tokens->data + crops->tokens->len,
                       .n = (guint)batch->n,
                       .domain = text->domain};
  g_array_append_vals(crops->tokens, batch->token, (guint)batch->n);
  g_array_append_val(crops->texts, crop);
}

/* Crops of one side; `own` ones as a domain's, of which there are single sentences too. */
static void
cut(const GemRouterCrops *cutter, const GArray *texts, gint8 own, GemRandom *random, Crops *crops)
{
  g_autoptr(GemBatch) batch = gem_batch_new(GEM_ROUTER_LONGEST_CROP);
  gsize n_tokens = 0;
  for (guint i = 0; own >= 0 && i < texts->len; i++) {
    n_tokens += g_array_index(texts, GemAdaptText, i).n;
  }
  /* a bound on draws for texts that are too short to be cut */
  for (guint draws = 0; crops->tokens->len < CROP_TOKENS && draws < CROP_TOKENS; draws++) {
    GemAdaptText text = *draw_text(texts, n_tokens, random);
    if (text.n >= GEM_ROUTER_SHORTEST_CROP) {
      text.domain = own >= 0 ? own : text.domain;
      add_crop(cutter, &text, batch, random, crops);
    }
  }
}

gboolean
gem_adapt_row_learn(const GemAdaptModel *model,
                    const GemAdaptDocuments *documents,
                    const GemAdaptReplay *replay,
                    guint64 seed,
                    guint threads,
                    float *row,
                    GError **error)
{
  const char *ask_template = model->shape.ask_template != NULL ? model->shape.ask_template : "{text}";
  GemRouterCrops *cutter = gem_router_crops_new(model->tokenizer, ask_template, error);
  if (cutter == NULL) {
    return FALSE;
  }
  g_auto(Crops) own = {0}, others = {0};
  GemRandom random = gem_random_seeded(seed, 17);
  crops_init(&own);
  crops_init(&others);
  cut(cutter, documents->learned, model->learned, &random, &own);
  cut(cutter, replay->learned, -1, &random, &others);
  gem_router_crops_free(cutter);
  const GemAdaptData data = {.texts = (const GemAdaptText *)(gpointer)own.texts->data,
                             .n_texts = own.texts->len,
                             .replay = (const GemAdaptText *)(gpointer)others.texts->data,
                             .n_replay = others.texts->len,
                             .bos = G_MAXUINT32};
  GemAdaptRowOptions options = gem_adapt_row_options_default;
  options.replaced = model->replaced;
  options.tokens = CROP_TOKENS;
  options.seed = seed;
  options.lanes = threads;
  return gem_adapt_router_row(model->router, model->router_values, &data, &options,
                              model->shape.router_threshold, row, NULL, error);
}
