#include <string.h>

#include "daemon/engine/gem-text-stream.h"

/* Pushes `bytes` in pieces of `size`; after every piece what came out must be valid and stay. */
static char *
stream_in_pieces(GemTextStream *stream, const char *bytes, gsize length, gsize size, gboolean *ret_stopped)
{
  GString *text = g_string_new(NULL);

  *ret_stopped = FALSE;
  for (gsize at = 0; at < length && !*ret_stopped; at += size) {
    *ret_stopped = gem_text_stream_push(stream, bytes + at, MIN(size, length - at), text);
    g_assert_true(g_utf8_validate(text->str, (gssize)text->len, NULL));
  }
  if (!*ret_stopped) {
    gem_text_stream_finish(stream, text);
    g_assert_true(g_utf8_validate(text->str, (gssize)text->len, NULL));
  }
  return g_string_free(text, FALSE);
}

static void
check(const char *const *stop, const char *bytes, gsize length, const char *expected, gboolean stopped)
{
  for (gsize size = 1; size <= length; size++) {
    g_autoptr(GemTextStream) stream = gem_text_stream_new(stop);
    gboolean has_stopped;
    g_autofree char *text = stream_in_pieces(stream, bytes, length, size, &has_stopped);

    g_assert_cmpstr(text, ==, expected);
    g_assert_true(has_stopped == stopped);
  }
}

static void
test_characters(void)
{
  static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";

  check(NULL, text, strlen(text), text, FALSE);
}

/* Half a character is held back until the rest comes. */
static void
test_held_back(void)
{
  g_autoptr(GemTextStream) stream = gem_text_stream_new(NULL);
  g_autoptr(GString) text = g_string_new(NULL);

  g_assert_false(gem_text_stream_push(stream, "x\xe2\x82", 3, text));
  g_assert_cmpstr(text->str, ==, "x");
  g_assert_false(gem_text_stream_push(stream, "\xac", 1, text));
  g_assert_cmpstr(text->str, ==, "x\xe2\x82\xac");
}

static void
test_invalid(void)
{
  check(NULL,
        "a\xff\xfe"
        "b",
        4,
        "a\xef\xbf\xbd\xef\xbf\xbd"
        "b",
        FALSE);
  check(NULL, "a\xe2\x82", 3, "a\xef\xbf\xbd\xef\xbf\xbd", FALSE);
  check(NULL, "a\xe2z", 3, "a\xef\xbf\xbdz", FALSE);
  check(NULL, "a\0z", 3, "a\xef\xbf\xbdz", FALSE);
  /* A surrogate, and a character written longer than it needs. */
  check(NULL, "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", FALSE);
  check(NULL, "\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd", FALSE);
}

static void
test_stop(void)
{
  static const char *const stop[] = {"###", "\n\n", NULL};
  static const char *const nested[] = {"abcd", "bc", NULL};
  static const char *const accent[] = {"\xc3\xa9", NULL};

  check(stop, "one##two###three", 16, "one##two", TRUE);
  check(stop, "a\n\nb###", 7, "a", TRUE);
  check(stop, "a\nb##", 5, "a\nb##", FALSE);
  check(nested, "xabce", 5, "xa", TRUE);
  check(accent, "ab\xc3\xa8\xc3\xa9z", 7, "ab\xc3\xa8", TRUE);
}

/* The first place wins, not the first string of the list. */
static void
test_first_place(void)
{
  static const char *const stop[] = {"zz", "b", NULL};

  check(stop, "abzz", 4, "a", TRUE);
}

static void
test_possible_stop_is_held(void)
{
  static const char *const stop[] = {"STOP", NULL};
  g_autoptr(GemTextStream) stream = gem_text_stream_new(stop);
  g_autoptr(GString) text = g_string_new(NULL);

  g_assert_false(gem_text_stream_push(stream, "go SST", 6, text));
  g_assert_cmpstr(text->str, ==, "go S");
  g_assert_false(gem_text_stream_push(stream, "OO", 2, text));
  g_assert_cmpstr(text->str, ==, "go SSTOO");
  g_assert_false(gem_text_stream_push(stream, "ST", 2, text));
  gem_text_stream_finish(stream, text);
  g_assert_cmpstr(text->str, ==, "go SSTOOST");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/text-stream/characters", test_characters);
  g_test_add_func("/text-stream/held-back", test_held_back);
  g_test_add_func("/text-stream/invalid", test_invalid);
  g_test_add_func("/text-stream/stop", test_stop);
  g_test_add_func("/text-stream/first-place", test_first_place);
  g_test_add_func("/text-stream/possible-stop-is-held", test_possible_stop_is_held);
  return g_test_run();
}
