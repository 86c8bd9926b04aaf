/* What the ask template puts around a text, and what may be left out of it. */
#include "tests/gem-test-model.h"
#include "tests/gem-test-training.h"
#include "training/text/gem-ask-frame.h"

#define TEMPLATE "<s><|user|>{text}<|model|>"
#define LENGTH   1000u /* tokens of the text: 1000, 1001, ... */
#define ANSWER   2u

/* <s><|user|> text <|model|> answer. Transfer full. */
static GArray *
framed_line_new(const GemAskFrame *frame)
{
  GArray *line = g_array_new(FALSE, FALSE, sizeof(guint32));
  guint32 text[LENGTH];
  for (guint32 i = 0; i < LENGTH; i++) {
    text[i] = 1000 + i;
  }
  gem_ask_frame_append(frame, text, LENGTH, line);
  const guint32 answer[ANSWER] = {7, 8};
  g_array_append_vals(line, answer, ANSWER);
  return line;
}

static void
check_drop(const GemAskFrame *frame, double share)
{
  g_autoptr(GArray) line = framed_line_new(frame);
  GemRandom random = gem_random_seeded(3, 0);
  guint before = line->len, gone = gem_ask_frame_drop(frame, line, before - ANSWER, share, &random);
  const guint32 *tokens = (const guint32 *)(gpointer)line->data;
  g_assert_cmpuint(line->len, ==, before - gone);
  /* five deviations of a share of 1,000 */
  g_assert_cmpfloat_with_epsilon((double)gone / LENGTH, share, 5.0 * 0.5 / 31.6);
  g_assert_cmpuint(tokens[0], ==, GEM_TEST_BOS);
  g_assert_cmpuint(tokens[1], ==, GEM_TEST_USER);
  g_assert_cmpuint(tokens[line->len - 3], ==, GEM_TEST_MODEL);
  g_assert_cmpuint(tokens[line->len - 2], ==, 7);
  g_assert_cmpuint(tokens[line->len - 1], ==, 8);
  for (guint i = 2; i + 3 < line->len; i++) {
    g_assert_cmpuint(tokens[i], >=, 1000);
    g_assert_true(i == 2 || tokens[i] > tokens[i - 1]);
  }
}

static void
test_drop(void)
{
  g_autoptr(GemTokenizer) tokenizer = gem_test_byte_tokenizer_new();
  g_autoptr(GError) error = NULL;
  g_auto(GemAskFrame) frame = {0};
  g_assert_true(gem_ask_frame_init(&frame, tokenizer, TEMPLATE, &error));
  g_assert_no_error(error);
  const double shares[] = {0.0, 0.2, 0.7};
  for (gsize i = 0; i < G_N_ELEMENTS(shares); i++) {
    check_drop(&frame, shares[i]);
  }
}

/* A window that begins within the text, or is shorter than the frame. */
static void
test_drop_short(void)
{
  g_autoptr(GemTokenizer) tokenizer = gem_test_byte_tokenizer_new();
  g_auto(GemAskFrame) frame = {0};
  g_assert_true(gem_ask_frame_init(&frame, tokenizer, TEMPLATE, NULL));
  for (guint answer = 0; answer <= 3; answer++) {
    g_autoptr(GArray) line = g_array_new(FALSE, TRUE, sizeof(guint32));
    g_array_set_size(line, answer + 1);
    GemRandom random = gem_random_seeded(4, answer);
    g_assert_cmpuint(gem_ask_frame_drop(&frame, line, answer, 0.9, &random), ==, 0);
    g_assert_cmpuint(line->len, ==, answer + 1);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/ask-frame/drop", test_drop);
  g_test_add_func("/ask-frame/drop/short", test_drop_short);
  return g_test_run();
}
