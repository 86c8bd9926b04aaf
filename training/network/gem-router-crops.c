#include "training/network/gem-router-crops.h"

#include <math.h>
#include <string.h>

#include "training/network/gem-router-network.h"
#include "training/text/gem-ask-frame.h"

/* Shares of the crops. A single sentence is what callers often ask about, and about something as a rule: so
 * sentences are cut from the domains' text alone. */
#define SENTENCES   0.35
#define ONE_LINE    0.4 /* of the others: cut at the first end of a line */
#define IN_TEMPLATE 0.4

struct GemRouterCrops {
  GemTokenizer *tokenizer;
  GemAskFrame frame;
  gboolean *ends_line;     /* [tokens] */
  gboolean *ends_sentence; /* [tokens] */
};

static gboolean
ends_with_any(const char *bytes, gsize length, const char *const *ends)
{
  for (gsize i = 0; ends[i] != NULL; i++) {
    gsize n = strlen(ends[i]);
    if (length >= n && memcmp(bytes + length - n, ends[i], n) == 0) {
      return TRUE;
    }
  }
  return FALSE;
}

static void
mark_ends(GemRouterCrops *self)
{
  static const char *const lines[] = {"\n", NULL};
  static const char *const sentences[] = {"\n", ".", "!", "?", "。", "！", "？", "।", "؟", NULL};
  guint n = gem_tokenizer_n_tokens(self->tokenizer);
  self->ends_line = g_new(gboolean, n);
  self->ends_sentence = g_new(gboolean, n);
  for (guint32 token = 0; token < n; token++) {
    gsize length;
    const char *bytes = gem_tokenizer_token_bytes(self->tokenizer, token, &length);
    self->ends_line[token] = ends_with_any(bytes, length, lines);
    self->ends_sentence[token] = ends_with_any(bytes, length, sentences);
  }
}

GemRouterCrops *
gem_router_crops_new(GemTokenizer *tokenizer, const char *ask_template, GError **error)
{
  g_autoptr(GemRouterCrops) self = g_new0(GemRouterCrops, 1);
  self->tokenizer = gem_tokenizer_ref(tokenizer);
  if (!gem_ask_frame_init(&self->frame, tokenizer, ask_template, error)) {
    return NULL;
  }
  mark_ends(self);
  return g_steal_pointer(&self);
}

void
gem_router_crops_free(GemRouterCrops *self)
{
  gem_tokenizer_unref(self->tokenizer);
  gem_ask_frame_clear(&self->frame);
  g_free(self->ends_line);
  g_free(self->ends_sentence);
  g_free(self);
}

/* Tokens first .. first + n - 1 of a draw. */
typedef struct {
  guint first, n;
} Span;

/* Where a crop of n tokens begins: at the document's start, at a line's, or anywhere. */
static guint
crop_start(const GemRouterCrops *self, const GemDraw *draw, guint n, GemRandom *random)
{
  double chance = gem_random_uniform(random);
  guint start = (guint)gem_random_below(random, draw->n - n + 1);
  if (chance < 0.4) {
    return 0;
  }
  for (guint i = start; chance < 0.7 && i > 0; i--) {
    if (self->ends_line[draw->tokens[i - 1]]) {
      return i;
    }
  }
  return chance < 0.7 ? 0 : start;
}

/* Short crops are as frequent as long ones. */
static Span
cut_anywhere(const GemRouterCrops *self, const GemDraw *draw, GemRandom *random)
{
  double longest = GEM_ROUTER_LONGEST_CROP, shortest = GEM_ROUTER_SHORTEST_CROP;
  guint n = (guint)(shortest * pow(longest / shortest, gem_random_uniform(random)) + 0.5);
  n = MIN(n, draw->n);
  guint first = crop_start(self, draw, n, random);
  gboolean one_line = gem_random_uniform(random) < ONE_LINE;
  for (guint i = GEM_ROUTER_SHORTEST_CROP; one_line && i < n; i++) {
    n = self->ends_line[draw->tokens[first + i]] ? i : n;
  }
  return (Span){first, n};
}

/* The sentence that holds a token by chance; n is 0 when it is not whole, or not of a crop's length. */
static Span
cut_sentence(const GemRouterCrops *self, const GemDraw *draw, GemRandom *random)
{
  guint first = (guint)gem_random_below(random, draw->n);
  while (first > 0 && !self->ends_sentence[draw->tokens[first - 1]]) {
    first--;
  }
  if (first == 0 && !draw->at_start) {
    return (Span){0, 0};
  }
  for (guint n = 1; first + n <= draw->n && n <= GEM_ROUTER_LONGEST_CROP; n++) {
    if (self->ends_sentence[draw->tokens[first + n - 1]]) {
      return (Span){first, n >= GEM_ROUTER_SHORTEST_CROP ? n : 0};
    }
  }
  return (Span){0, 0};
}

/* The tokens of a span. A sentence stands alone: its first word has no space before it. */
static void
append_span(const GemRouterCrops *self, const GemDraw *draw, Span span, gboolean alone, GArray *crop)
{
  gsize length = 0;
  const char *bytes = gem_tokenizer_token_bytes(self->tokenizer, draw->tokens[span.first], &length);
  guint skipped = 0;
  if (alone && length > 0 && bytes[0] == ' ') {
    gem_tokenizer_encode(self->tokenizer, bytes + 1, (gssize)length - 1, crop, NULL, NULL);
    skipped = 1;
  }
  g_array_append_vals(crop, draw->tokens + span.first + skipped, span.n - skipped);
}

void
gem_router_crops_append(const GemRouterCrops *self, GemBatch *batch, const GemDraw *draw, GemRandom *random)
{
  gboolean general = draw->domain == GEM_ROUTE_GENERAL;
  gboolean wants_sentence = gem_random_uniform(random) < SENTENCES && !general;
  Span sentence = wants_sentence ? cut_sentence(self, draw, random) : (Span){0, 0};
  Span span = sentence.n > 0 ? sentence : cut_anywhere(self, draw, random);
  /* whatever a crop is taken from, so that the template says nothing about the domain */
  gboolean in_template = gem_random_uniform(random) < IN_TEMPLATE;
  g_autoptr(GArray) bare = g_array_new(FALSE, FALSE, sizeof(guint32)),
                    crop = g_array_new(FALSE, FALSE, sizeof(guint32));
  append_span(self, draw, span, sentence.n > 0, bare);
  if (in_template) {
    gem_ask_frame_append(&self->frame, (const guint32 *)(gpointer)bare->data, bare->len, crop);
  } else {
    g_array_append_vals(crop, bare->data, bare->len);
  }
  guint length = (guint)MIN(MIN((gsize)crop->len, GEM_ROUTER_LONGEST_CROP), gem_batch_room(batch));
  gsize at = batch->n;
  gem_batch_append(batch, (const guint32 *)(gpointer)crop->data, length, GEM_ROUTE_GENERAL, 1.0f);
  gint32 class = general ? GEM_ROUTER_UNIFORM : draw->domain;
  for (gsize i = at; i < batch->n; i++) {
    batch->target[i] = class;
    batch->weight[i] = 1.0f;
  }
  /* bidirectional up to a point by chance, causal after */
  guint prefix = gem_random_uniform(random) < 0.5 ? length : (guint)gem_random_below(random, length + 1);
  batch->prefix[gem_batch_n_sequences(batch) - 1] = prefix;
}
