#include "training/text/gem-copies.h"

#define LEAST_PASSAGE  16u
#define LEAST_PIECE    3u
#define MOST_PIECE     24u
#define SHUFFLED_SHARE 0.25 /* of passages: their tokens in an order that only copying can tell */

/* least .. most */
static guint
between(GemRandom *random, guint least, guint most)
{
  g_assert(least <= most);
  return least + (guint)gem_random_below(random, most - least + 1);
}

static void
shuffle(guint32 *tokens, guint n, GemRandom *random)
{
  for (guint i = n; i > 1; i--) {
    guint j = (guint)gem_random_below(random, i);
    guint32 token = tokens[i - 1];
    tokens[i - 1] = tokens[j];
    tokens[j] = token;
  }
}

gboolean
gem_copies_append(const GemDraw *draw,
                  guint32 bos,
                  guint longest,
                  gint8 route,
                  GemRandom *random,
                  GArray *window,
                  GemBatch *batch)
{
  /* neither <s> nor </s> is a text's */
  guint begin = draw->at_start ? 1 : 0, end = draw->n - 1;
  guint room = (guint)MIN((gsize)longest, gem_batch_room(batch));
  if (room < GEM_COPIES_LEAST_SEQUENCE || end < begin + LEAST_PASSAGE) {
    return FALSE;
  }
  guint n = between(random, LEAST_PASSAGE, MIN(end - begin, room / 2));
  guint first = between(random, begin, end - n), whole = 1 + n + between(random, n / 2, n);
  g_array_set_size(window, 0);
  g_array_append_val(window, bos);
  g_array_append_vals(window, draw->tokens + first, n);
  if (gem_random_uniform(random) < SHUFFLED_SHARE) {
    shuffle((guint32 *)(gpointer)window->data + 1, n, random);
  }
  whole = MIN(whole, room);
  while (window->len < whole) {
    guint piece = between(random, LEAST_PIECE, MIN(MOST_PIECE, n));
    piece = MIN(piece, whole - window->len);
    guint at = 1 + between(random, 0, n - piece);
    for (guint i = 0; i < piece; i++) {
      guint32 token = g_array_index(window, guint32, at + i);
      g_array_append_val(window, token);
    }
  }
  gem_batch_append(batch, (const guint32 *)(gpointer)window->data, window->len, route, 1.0f);
  batch->prefix[gem_batch_n_sequences(batch) - 1] = n + 1;
  return TRUE;
}
