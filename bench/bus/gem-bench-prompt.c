#include "bench/bus/gem-bench-prompt.h"

#include <string.h>

#include "dbus/gem-names.h"

/* What a prompt is made of, again and again. */
static const char *const words[] = {"The",  "ship", "left",  "the", "harbour", "at",   "dawn", "and",
                                    "nine", "days", "later", "it",  "reached", "some", "far",  "shore."};

static char *
make_text(guint n_words)
{
  GString *text = g_string_new(NULL);
  guint i;

  for (i = 0; i < n_words; i++) {
    g_string_append_printf(text, "%s%s", i == 0 ? "" : " ", words[i % G_N_ELEMENTS(words)]);
  }
  return g_string_free(text, FALSE);
}

static gboolean
count_tokens(GemRemote *remote, const char *text, guint64 *ret_tokens, GError **error)
{
  g_autoptr(GVariant) reply =
      gem_remote_call_manager(remote, "CountTokens", g_variant_new("(s)", text), "(t)", error);

  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(t)", ret_tokens);
  return TRUE;
}

char *
gem_bench_make_prompt(GemRemote *remote, guint tokens, GError **error)
{
  guint low = 1, high = tokens + 1; /* a word is a token at least */

  while (high - low > 1) {
    guint middle = (low + high) / 2;
    g_autofree char *text = make_text(middle);
    guint64 n = strlen(text) > GEM_MAX_TEXT_BYTES ? G_MAXUINT64 : 0;

    if (n == 0 && !count_tokens(remote, text, &n, error)) {
      return NULL;
    }
    if (n <= tokens) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return make_text(low);
}
