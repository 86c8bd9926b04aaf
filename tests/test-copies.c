#include "training/text/gem-copies.h"

#include <string.h>

#define BOS     1u
#define FIRST   100u /* tokens of the text: FIRST, FIRST + 1, ... */
#define N_TEXT  200u
#define LONGEST 96u

typedef struct {
  guint32 tokens[N_TEXT];
  GemBatch *batch;
  GArray *window;
} Text;

static void
text_init(Text *self, gsize room)
{
  self->tokens[0] = BOS;
  for (guint i = 1; i < N_TEXT; i++) {
    self->tokens[i] = FIRST + i;
  }
  self->batch = gem_batch_new(room);
  self->window = g_array_new(FALSE, FALSE, sizeof(guint32));
}

static void
text_clear(Text *self)
{
  gem_batch_free(self->batch);
  g_array_unref(self->window);
}

static gboolean
append(Text *self, guint n, gboolean at_start, GemRandom *random)
{
  const GemDraw draw = {
      .tokens = at_start ? self->tokens : self->tokens + 1, .n = n, .answer = n, .at_start = at_start};
  return gem_copies_append(&draw, BOS, LONGEST, 3, random, self->window, self->batch);
}

/* Whether the tokens follow one another in the text. */
static gboolean
is_run(const guint32 *tokens, guint n)
{
  for (guint i = 1; i < n; i++) {
    if (tokens[i] != tokens[0] + i) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Where in the passage a piece of `most` tokens at most begins, at `tokens`; its length in *ret_n. */
static guint
find_piece(const guint32 *passage, guint n_passage, const guint32 *tokens, guint most, guint *ret_n)
{
  for (guint at = 0; at < n_passage; at++) {
    if (passage[at] == tokens[0]) {
      guint n = 1;
      while (n < most && at + n < n_passage && passage[at + n] == tokens[n]) {
        n++;
      }
      *ret_n = n;
      return at;
    }
  }
  g_assert_not_reached();
}

/* <s>, the passage, and nothing but pieces of it, three tokens or more but for the last. */
static gboolean
check_sequence(const GemBatch *batch, guint n_text)
{
  const guint32 *token = batch->token;
  guint n = batch->prefix[0] - 1, whole = (guint)batch->n;
  g_assert_cmpuint(token[0], ==, BOS);
  g_assert_cmpuint(n, >=, 16);
  g_assert_cmpuint(n, <=, LONGEST / 2);
  g_assert_cmpuint(whole, <=, LONGEST);
  g_assert_cmpuint(whole, >=, 1 + n + n / 2);
  for (guint i = 0; i < n; i++) {
    g_assert_cmpuint(token[1 + i], >=, FIRST);
    g_assert_cmpuint(token[1 + i], <, FIRST + n_text);
  }
  for (guint at = 1 + n, length; at < whole; at += length) {
    find_piece(token + 1, n, token + at, whole - at, &length);
    g_assert_true(length >= 3 || at + length == whole);
  }
  for (guint i = 0; i + 1 < whole; i++) {
    g_assert_cmpint(batch->target[i], ==, (gint32)token[i + 1]);
    g_assert_cmpfloat(batch->weight[i], ==, 1.0f);
    g_assert_true(batch->route[i] == 3);
  }
  return is_run(token + 1, n);
}

static void
test_sequences(void)
{
  Text text;
  GemRandom random = gem_random_seeded(7, 0);
  guint in_order = 0, shuffled = 0;
  text_init(&text, 1024);
  for (guint round = 0; round < 200; round++) {
    guint n = 20 + round % 100;
    gem_batch_clear(text.batch);
    g_assert_true(append(&text, n, round % 2 == 0, &random));
    g_assert_cmpuint(gem_batch_n_sequences(text.batch), ==, 1);
    if (check_sequence(text.batch, n)) {
      in_order++;
    } else {
      shuffled++;
    }
  }
  g_assert_cmpuint(in_order, >, 120);
  g_assert_cmpuint(shuffled, >, 20);
  text_clear(&text);
}

/* As long as the batch has room for. */
static void
test_room(void)
{
  GemRandom random = gem_random_seeded(8, 0);
  for (gsize room = GEM_COPIES_LEAST_SEQUENCE; room < LONGEST; room++) {
    Text text;
    text_init(&text, room);
    g_assert_true(append(&text, N_TEXT - 1, TRUE, &random));
    g_assert_cmpuint(text.batch->n, <=, room);
    text_clear(&text);
  }
}

static void
test_too_little(void)
{
  Text text;
  GemRandom random = gem_random_seeded(9, 0);
  text_init(&text, 1024);
  for (guint n = 1; n <= 17; n++) {
    g_assert_false(append(&text, n, TRUE, &random));
  }
  for (guint n = 1; n <= 16; n++) {
    g_assert_false(append(&text, n, FALSE, &random));
  }
  g_assert_true(append(&text, 18, TRUE, &random));
  g_assert_true(append(&text, 17, FALSE, &random));
  text_clear(&text);
  text_init(&text, GEM_COPIES_LEAST_SEQUENCE - 1);
  g_assert_false(append(&text, 100, TRUE, &random));
  g_assert_cmpuint(text.batch->n, ==, 0);
  text_clear(&text);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/copies/sequences", test_sequences);
  g_test_add_func("/copies/room", test_room);
  g_test_add_func("/copies/too-little", test_too_little);
  return g_test_run();
}
