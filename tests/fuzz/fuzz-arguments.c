/* Any bytes as the options that a caller sends over the bus: an a{sv}. */
#include "daemon/service/gem-call-options.h"
#include "tests/fuzz/gem-fuzz.h"

static void
parse(GVariant *options, guint accepted)
{
  static const char *const domains[] = {"legal", "stem", NULL};
  GemOptionRules rules = {.accepted = accepted, .most_tokens = 256, .domains = domains};
  g_auto(GemCallOptions) parsed = {0};
  GError *error = NULL;
  gboolean success = gem_call_options_parse(options, &rules, &parsed, &error);

  gem_fuzz_check_outcome(success, error);
  if (success) {
    g_assert_cmpuint(parsed.generate.max_tokens, <=, rules.most_tokens);
    g_assert_true(parsed.generate.temperature >= 0 && parsed.generate.top_p >= 0 &&
                  parsed.generate.top_p <= 1);
  }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  /* As GDBus hands it over: of any form, but every value of its type. */
  g_autoptr(GBytes) bytes = g_bytes_new(data, size);
  g_autoptr(GVariant) raw =
      g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE_VARDICT, bytes, FALSE));
  g_autoptr(GVariant) options = g_variant_get_normal_form(raw);

  parse(options, GEM_OPTIONS_NONE);
  parse(options, GEM_OPTIONS_ASK);
  parse(options, GEM_OPTIONS_ASK | GEM_OPTIONS_GENERATE);
  return 0;
}
