#include "adaptation/trainer/gem-adapt-documents.h"

#include <string.h>

#include "adaptation/trainer/gem-adapt-text-check.h"
#include "training/arithmetic/gem-random.h"
#include "training/text/gem-data-folder.h"

#define HELD_OUT_EVERY 10u /* one document or window of so many */
#define LONG_WINDOWS   4u  /* of more a document is long */
#define BLOCK_WINDOWS  30u
#define LEAST_LEARNED  256u /* tokens */
#define LEAST_HELD_OUT 32u

/* A document's place in the tokens. */
typedef struct {
  gsize first;
  guint n;
  gboolean repeated; /* the same document is there once more */
} Place;

typedef struct {
  GArray *tokens;             /* guint32 */
  GArray *places;             /* Place */
  GArray *learned, *held_out; /* GemAdaptText whose `tokens` is an index until all are there */
  guint32 bos, eos;
  guint64 seed;
} Splitting;

/* ---- reading ---- */

static GHashTable *
count_documents(const char *text, gsize length)
{
  GHashTable *counts = g_hash_table_new_full((GHashFunc)g_bytes_hash, (GEqualFunc)g_bytes_equal,
                                             (GDestroyNotify)g_bytes_unref, NULL);
  const char *at = text, *document;
  gsize size;
  while ((document = gem_data_next_document(&at, text + length, &size)) != NULL) {
    GBytes *key = g_bytes_new_static(document, size);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key));
    g_hash_table_insert(counts, key, GUINT_TO_POINTER(count + 1));
  }
  return counts;
}

static gboolean
read_document(Splitting *self,
              const char *document,
              gsize size,
              GemTokenizer *tokenizer,
              const char *ask_template,
              GError **error)
{
  if (ask_template != NULL) {
    g_autofree char *copy = g_strndup(document, size);
    gboolean encoded = gem_tokenizer_encode_template(tokenizer, ask_template, copy, self->tokens, error);
    explicit_bzero(copy, size);
    return encoded;
  }
  g_array_append_val(self->tokens, self->bos);
  if (!gem_tokenizer_encode(tokenizer, document, (gssize)size, self->tokens, NULL, error)) {
    return FALSE;
  }
  g_array_append_val(self->tokens, self->eos);
  return TRUE;
}

static gboolean
read_documents(Splitting *self,
               const char *text,
               gsize length,
               GemTokenizer *tokenizer,
               const char *ask_template,
               GError **error)
{
  g_autoptr(GHashTable) counts = count_documents(text, length);
  const char *at = text, *document;
  gsize size;
  while ((document = gem_data_next_document(&at, text + length, &size)) != NULL) {
    g_autoptr(GBytes) key = g_bytes_new_static(document, size);
    Place place = {.first = self->tokens->len,
                   .repeated = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key)) > 1};
    if (!read_document(self, document, size, tokenizer, ask_template, error)) {
      return FALSE;
    }
    place.n = (guint)(self->tokens->len - place.first);
    g_array_append_val(self->places, place);
  }
  return TRUE;
}

/* ---- splitting ---- */

static void
add_text(GArray *texts, gsize first, guint n)
{
  GemAdaptText text = {.tokens = GSIZE_TO_POINTER(first), .n = n, .domain = GEM_ROUTE_GENERAL};
  g_array_append_val(texts, text);
}

/* In pieces that can be measured, each with <s> before it. */
static void
hold_out(Splitting *self, gsize first, guint n)
{
  guint has_bos = g_array_index(self->tokens, guint32, first) == self->bos ? 1 : 0;
  for (guint done = 0; done < n;) {
    guint added = done == 0 && has_bos ? 0 : 1;
    guint piece = MIN(n - done, GEM_ADAPT_HELD_OUT - added);
    gsize at = first + done;
    if (added == 1) {
      g_autofree guint32 *copy =
          g_memdup2(&g_array_index(self->tokens, guint32, first + done), piece * sizeof(guint32));
      at = self->tokens->len;
      g_array_append_val(self->tokens, self->bos);
      g_array_append_vals(self->tokens, copy, piece);
      explicit_bzero(copy, piece * sizeof(guint32));
    }
    if (piece + added >= 2) {
      add_text(self->held_out, at, piece + added);
    }
    done += piece;
  }
}

typedef enum { WINDOW_LEARNED, WINDOW_HELD_OUT, WINDOW_BESIDE } WindowUse;

/* What becomes of each of a long document's windows. */
static void
plan_windows(const Splitting *self, gsize document, guint8 *uses, guint n)
{
  GemRandom random = gem_random_seeded(self->seed, document + 1);
  for (guint first = 0; first < n; first += BLOCK_WINDOWS) {
    guint block = MIN(n - first, BLOCK_WINDOWS), held = MAX(block / HELD_OUT_EVERY, 1);
    if (block > LONG_WINDOWS) {
      memset(uses + first + gem_random_below(&random, block - held + 1), WINDOW_HELD_OUT, held);
    }
  }
  for (guint i = 0; i < n; i++) {
    gboolean beside =
        (i > 0 && uses[i - 1] == WINDOW_HELD_OUT) || (i + 1 < n && uses[i + 1] == WINDOW_HELD_OUT);
    uses[i] = uses[i] == WINDOW_LEARNED && beside ? WINDOW_BESIDE : uses[i];
  }
}

static void
split_long(Splitting *self, gsize document, const Place *place)
{
  guint n = (place->n + GEM_ADAPT_WINDOW - 1) / GEM_ADAPT_WINDOW;
  g_autofree guint8 *uses = g_malloc0(n);
  plan_windows(self, document, uses, n);
  for (guint i = 0; i < n;) {
    guint end = i + 1;
    while (end < n && uses[end] == uses[i]) {
      end++;
    }
    gsize first = place->first + (gsize)i * GEM_ADAPT_WINDOW;
    guint tokens = MIN((end - i) * GEM_ADAPT_WINDOW, place->n - i * GEM_ADAPT_WINDOW);
    if (uses[i] == WINDOW_HELD_OUT) {
      hold_out(self, first, tokens);
    } else if (uses[i] == WINDOW_LEARNED) {
      add_text(self->learned, first, tokens);
    }
    i = end;
  }
}

static void
split(Splitting *self)
{
  g_autoptr(GArray) whole = g_array_new(FALSE, FALSE, sizeof(Place));
  for (guint i = 0; i < self->places->len; i++) {
    const Place *place = &g_array_index(self->places, Place, i);
    gboolean is_long = place->n > LONG_WINDOWS * GEM_ADAPT_WINDOW;
    if (is_long && !place->repeated) {
      split_long(self, i, place);
    } else if (place->repeated) {
      add_text(self->learned, place->first, place->n);
    } else {
      g_array_append_val(whole, *place);
    }
  }
  guint every = MIN(HELD_OUT_EVERY, MAX(whole->len, 2));
  for (guint i = 0; i < whole->len; i++) {
    const Place *place = &g_array_index(whole, Place, i);
    if ((i + self->seed) % every == 0) {
      hold_out(self, place->first, place->n);
    } else {
      add_text(self->learned, place->first, place->n);
    }
  }
}

/* ---- the whole ---- */

static gsize
count_tokens(const GArray *texts)
{
  gsize sum = 0;
  for (guint i = 0; i < texts->len; i++) {
    sum += g_array_index(texts, GemAdaptText, i).n;
  }
  return sum;
}

/* Indices become pointers: the tokens move no more. */
static void
settle(GArray *texts, const guint32 *tokens)
{
  for (guint i = 0; i < texts->len; i++) {
    GemAdaptText *text = &g_array_index(texts, GemAdaptText, i);
    text->tokens = tokens + GPOINTER_TO_SIZE(text->tokens);
  }
}

static gboolean
check_enough(const GemAdaptDocuments *self, GError **error)
{
  gsize learned = count_tokens(self->learned), held_out = count_tokens(self->held_out);
  if (learned < LEAST_LEARNED || held_out < LEAST_HELD_OUT) {
    g_set_error(
        error, GEM_ADAPT_TEXT_ERROR, 0,
        "there is too little text: %" G_GSIZE_FORMAT " tokens to learn from and %" G_GSIZE_FORMAT
        " to judge by, where %u and %u are needed; a blank line ends a document, and there have to be two",
        learned, held_out, LEAST_LEARNED, LEAST_HELD_OUT);
    return FALSE;
  }
  return TRUE;
}

GemAdaptDocuments *
gem_adapt_documents_new(const char *text,
                        gsize length,
                        GemTokenizer *tokenizer,
                        const char *ask_template,
                        guint64 seed,
                        GError **error)
{
  g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(Place));
  g_autoptr(GemAdaptDocuments) self = g_new0(GemAdaptDocuments, 1);
  self->learned = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  self->held_out = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  /* Not moved while it grows, as a rule: a token has a byte at least, and what is held out is there twice. */
  gsize most = length + length / 4 + 1024;
  Splitting splitting = {.tokens = g_array_sized_new(FALSE, FALSE, sizeof(guint32), (guint)most),
                         .places = places,
                         .learned = self->learned,
                         .held_out = self->held_out,
                         .bos = gem_tokenizer_bos(tokenizer),
                         .eos = gem_tokenizer_eos(tokenizer),
                         .seed = seed};
  gboolean read = read_documents(&splitting, text, length, tokenizer, ask_template, error);
  if (read) {
    self->n_tokens = splitting.tokens->len;
    split(&splitting);
  }
  self->n_allocated = splitting.tokens->len;
  self->tokens = (guint32 *)(gpointer)g_array_free(splitting.tokens, FALSE);
  settle(self->learned, self->tokens);
  settle(self->held_out, self->tokens);
  return read && check_enough(self, error) ? g_steal_pointer(&self) : NULL;
}

void
gem_adapt_documents_free(GemAdaptDocuments *self)
{
  if (self == NULL) {
    return;
  }
  if (self->tokens != NULL) {
    explicit_bzero(self->tokens, self->n_allocated * sizeof(guint32));
  }
  g_free(self->tokens);
  g_array_unref(self->learned);
  g_array_unref(self->held_out);
  g_free(self);
}
