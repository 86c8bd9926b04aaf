/* What gem-client makes of text before a terminal gets it: control bytes, pieces of characters, columns,
 * sizes, JSON. */
#include <locale.h>
#include <string.h>

#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-routes.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-table.h"

static void
test_escape_controls(void)
{
  guint c;

  for (c = 1; c < 0x100; c++) {
    char text[8] = {0};
    g_autofree char *shown = NULL;

    g_unichar_to_utf8(c, text);
    shown = gem_escape_text(text, GEM_ESCAPE_STREAM);
    if (c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) || c >= 0xa0) {
      g_assert_cmpstr(shown, ==, text);
    } else {
      const char *p;

      for (p = shown; *p != '\0'; p++) {
        g_assert_true(g_ascii_isprint(*p));
      }
      g_assert_cmpuint(strlen(shown), >, 1);
    }
  }
}

static void
test_escape_cell(void)
{
  g_autofree char *shown = gem_escape_text(" a\nb\tc", GEM_ESCAPE_CELL);

  g_assert_cmpstr(shown, ==,
                  "\xe2\x96\x81"
                  "a\\nb\\tc");
}

/* However the bytes are cut, the same comes out. */
static void
test_escape_parts(void)
{
  static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x1b[0m\xffz\xe2\x80\xaa\xc2\x85";
  g_autofree char *whole = gem_escape_text(text, GEM_ESCAPE_STREAM);
  const gsize length = sizeof text - 1;
  gsize first, second;

  g_assert_cmpstr(whole, ==, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80^[[0m<0xFF>z<U+202A><U+0085>");
  for (first = 0; first <= length; first++) {
    for (second = first; second <= length; second++) {
      GemEscaper escaper = {.mode = GEM_ESCAPE_STREAM};
      g_autoptr(GString) out = g_string_new(NULL);

      gem_escaper_push(&escaper, text, first, out);
      gem_escaper_push(&escaper, text + first, second - first, out);
      gem_escaper_push(&escaper, text + second, length - second, out);
      gem_escaper_finish(&escaper, out);
      g_assert_cmpstr(out->str, ==, whole);
    }
  }
}

static void
test_escape_unfinished(void)
{
  GemEscaper escaper = {.mode = GEM_ESCAPE_STREAM};
  g_autoptr(GString) out = g_string_new(NULL);

  gem_escaper_push(&escaper, "a\xe2\x82", 3, out);
  g_assert_cmpstr(out->str, ==, "a");
  gem_escaper_finish(&escaper, out);
  g_assert_cmpstr(out->str, ==, "a<0xE2><0x82>");
}

static void
test_table_width(void)
{
  g_assert_cmpuint(gem_table_text_width(""), ==, 0);
  g_assert_cmpuint(gem_table_text_width("abc"), ==, 3);
  g_assert_cmpuint(gem_table_text_width("\xe6\xbc\xa2\xe5\xad\x97"), ==, 4); /* two ideographs */
  g_assert_cmpuint(gem_table_text_width("e\xcc\x81"), ==, 1);                /* a combining accent */
}

static void
test_sizes(void)
{
  static const struct {
    guint64 bytes;
    const char *text;
  } cases[] = {
      {0, "0 B"},
      {999, "999 B"},
      {1000, "1.0 kB"},
      {13700000, "13.7 MB"},
      {G_GUINT64_CONSTANT(2500000000), "2.5 GB"},
      {G_MAXUINT64, "18446744.1 TB"},
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *text = gem_output_size(cases[i].bytes);

    g_assert_cmpstr(text, ==, cases[i].text);
  }
}

static void
test_counts(void)
{
  g_autoptr(GVariant) counts =
      g_variant_ref_sink(g_variant_new_parsed("{'b': uint32 2, 'a': 2, 'general': 7, 'unused': 0}"));
  g_autofree char *text = gem_routes_describe_counts(counts);

  g_assert_cmpstr(text, ==, "general 7, a 2, b 2");
}

static char *
to_json(const char *value)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autoptr(GVariant) variant = g_variant_ref_sink(g_variant_new_parsed(value));
  g_autoptr(JsonNode) root = NULL;

  /* A value of its own needs a container. */
  json_builder_begin_array(builder);
  gem_json_add_variant(builder, variant);
  json_builder_end_array(builder);
  root = json_builder_get_root(builder);
  return json_to_string(root, FALSE);
}

static void
test_json(void)
{
  static const struct {
    const char *variant, *json;
  } cases[] = {
      {"true", "true"},
      {"uint32 4294967295", "4294967295"},
      {"int32 -1", "-1"},
      {"uint64 9223372036854775807", "9223372036854775807"},
      {"uint64 9223372036854775808", "\"9223372036854775808\""},
      {"0.5", "0.5"},
      {"inf", "null"},
      {"'a\"\\n'", "\"a\\\"\\n\""},
      {"{'k': <['x']>}", "{\"k\":[\"x\"]}"},
      {"('a', 1.5)", "[\"a\",1.5]"},
      {"@a{sv} {}", "{}"},
      {"objectpath '/a'", "\"/a\""},
      {"byte 0x07", "\"0x07\""},
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *json = to_json(cases[i].variant);

    g_autofree char *wrapped = g_strdup_printf("[%s]", cases[i].json);

    g_assert_cmpstr(json, ==, wrapped);
  }
}

static void
test_run_options(void)
{
  g_autoptr(GError) error = NULL;
  GemRunArguments none = {0}, wrong = {.clusters = (char *)"16x"};
  g_autoptr(GVariant) empty = g_variant_ref_sink(gem_run_arguments_to_variant(&none, &error));

  g_assert_no_error(error);
  g_assert_cmpuint(g_variant_n_children(empty), ==, 0);
  g_assert_null(gem_run_arguments_to_variant(&wrong, &error));
  g_assert_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
  g_assert_nonnull(strstr(error->message, "--clusters"));
}

int
main(int argc, char **argv)
{
  setlocale(LC_ALL, "C");
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/client-text/escape/controls", test_escape_controls);
  g_test_add_func("/client-text/escape/cell", test_escape_cell);
  g_test_add_func("/client-text/escape/parts", test_escape_parts);
  g_test_add_func("/client-text/escape/unfinished", test_escape_unfinished);
  g_test_add_func("/client-text/table-width", test_table_width);
  g_test_add_func("/client-text/sizes", test_sizes);
  g_test_add_func("/client-text/counts", test_counts);
  g_test_add_func("/client-text/json", test_json);
  g_test_add_func("/client-text/run-options", test_run_options);
  return g_test_run();
}
