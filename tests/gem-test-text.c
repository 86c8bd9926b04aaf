#include "tests/gem-test-text.h"

typedef struct {
  gunichar first, last;
} Range;

/* Some more than once, to be met more often. */
static const Range ranges[] = {
    {'a', 'z'},         {'a', 'z'},         {'a', 'z'},         {'a', 'e'},       {' ', ' '},
    {' ', ' '},         {' ', ' '},         {'0', '9'},         {'A', 'Z'},       {0x01, 0x09},
    {'!', '/'},         {0xa0, 0x17f},      {0x300, 0x36f},     {0x400, 0x44f},   {0x5d0, 0x5ea},
    {0x621, 0x64a},     {0x905, 0x939},     {0xe01, 0xe30},     {0x200b, 0x200f}, {0x2013, 0x2026},
    {0x3042, 0x30f6},   {0x4e00, 0x4f00},   {0xac00, 0xad00},   {0xfe0f, 0xfe0f}, {0xfffd, 0xffff},
    {0x1f300, 0x1f5ff}, {0x1f3fb, 0x1f3ff}, {0x1f600, 0x1f64f}, {0x01, 0xd7ff},   {0xe000, 0x10ffff},
};

char *
test_text_random(GRand *random, guint n)
{
  GString *text = g_string_new(NULL);

  for (guint i = 0; i < n; i++) {
    const Range *range = &ranges[g_rand_int_range(random, 0, G_N_ELEMENTS(ranges))];
    const gunichar character =
        (gunichar)g_rand_int_range(random, (gint32)range->first, (gint32)range->last + 1);

    if (character == '\n' || character == 0x2581) {
      continue;
    }
    g_string_append_unichar(text, character);
    /* Characters come in runs, as they do in words and indents. */
    while (g_rand_int_range(random, 0, 3) == 0) {
      g_string_append_unichar(text, character);
    }
  }
  return g_string_free(text, FALSE);
}
