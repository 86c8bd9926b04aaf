#include "training/adapt/gem-adapt-row-data.h"

#include <string.h>

#include "training/adapt/gem-adapt-router.h"
#include "training/arithmetic/gem-random.h"
#include "training/text/gem-ask-frame.h"

typedef struct {
  const GemAskFrame *frame;
  guint32 bos, eos;
  guint room; /* tokens of a document beside the template's */
} Wrapping;

static gboolean
is_wrapped(const GemAskFrame *frame, const GemAdaptText *text)
{
  return text->n >= frame->head->len &&
         memcmp(text->tokens, frame->head->data, frame->head->len * sizeof(guint32)) == 0;
}

/* Appends a window of a document to `tokens`, in the template. */
static void
wrap(const Wrapping *self, const GemAdaptText *text, gboolean beginning, GemRandom *random, GArray *tokens)
{
  const guint32 *from = text->tokens;
  guint n = text->n;
  if (n > 0 && from[0] == self->bos) {
    from++;
    n--;
  }
  n -= n > 0 && from[n - 1] == self->eos ? 1 : 0;
  if (n > self->room) {
    from += beginning ? 0 : gem_random_below(random, n - self->room + 1);
    n = self->room;
  }
  gem_ask_frame_append(self->frame, from, n, tokens);
}

/* The texts with every second document of them wrapped. `tokens` grows: where a wrapped text begins in it is
 * kept in `starts`, which has G_MAXSIZE for all others. */
static void
wrap_side(const Wrapping *self,
          const GemAdaptText *texts,
          gsize n_texts,
          GemRandom *random,
          GArray *to,
          GArray *starts,
          GArray *tokens)
{
  guint documents = 0;
  for (gsize i = 0; i < n_texts; i++) {
    GemAdaptText text = texts[i];
    gsize start = G_MAXSIZE;
    if (!is_wrapped(self->frame, &text) && documents++ % 2 == 1) {
      start = tokens->len;
      wrap(self, &text, documents % 4 == 0, random, tokens);
      text.n = tokens->len - (guint)start;
      text.answer = 0;
    }
    g_array_append_val(to, text);
    g_array_append_val(starts, start);
  }
}

/* Once `tokens` no longer moves. */
static void
point_at(GArray *texts, const GArray *starts, const GArray *tokens)
{
  for (guint i = 0; i < texts->len; i++) {
    gsize start = g_array_index(starts, gsize, i);
    if (start != G_MAXSIZE) {
      g_array_index(texts, GemAdaptText, i).tokens = &g_array_index(tokens, guint32, start);
    }
  }
}

gboolean
gem_adapt_row_data_init(GemAdaptRowData *self,
                        const GemAdaptData *data,
                        GemTokenizer *tokenizer,
                        const char *ask_template,
                        guint64 seed,
                        GError **error)
{
  g_auto(GemAskFrame) frame = {0};
  if (!gem_ask_frame_init(&frame, tokenizer, ask_template, error)) {
    return FALSE;
  }
  guint framed = frame.head->len + frame.tail->len;
  const Wrapping wrapping = {.frame = &frame,
                             .bos = gem_tokenizer_bos(tokenizer),
                             .eos = gem_tokenizer_eos(tokenizer),
                             .room = GEM_ADAPT_ROW_CROP > framed ? GEM_ADAPT_ROW_CROP - framed : 1};
  GemRandom random = gem_random_seeded(seed, 0xa5c);
  g_autoptr(GArray) own = g_array_new(FALSE, FALSE, sizeof(gsize)),
                    others = g_array_new(FALSE, FALSE, sizeof(gsize));
  self->texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  self->replay = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  self->tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  wrap_side(&wrapping, data->texts, data->n_texts, &random, self->texts, own, self->tokens);
  wrap_side(&wrapping, data->replay, data->n_replay, &random, self->replay, others, self->tokens);
  point_at(self->texts, own, self->tokens);
  point_at(self->replay, others, self->tokens);
  self->data = (GemAdaptData){.texts = (const GemAdaptText *)(gpointer)self->texts->data,
                              .n_texts = self->texts->len,
                              .replay = (const GemAdaptText *)(gpointer)self->replay->data,
                              .n_replay = self->replay->len,
                              .bos = data->bos};
  return TRUE;
}

void
gem_adapt_row_data_clear(GemAdaptRowData *self)
{
  g_clear_pointer(&self->texts, g_array_unref);
  g_clear_pointer(&self->replay, g_array_unref);
  g_clear_pointer(&self->tokens, g_array_unref);
}
