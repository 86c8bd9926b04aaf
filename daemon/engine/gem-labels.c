#include "daemon/engine/gem-labels.h"

#include <string.h>

#define MIN_LABELS 2u
#define MAX_LABELS 256u

/* Labels are of the answer's language, not of the caller's text, but they are the caller's: errors name them
 * by their place. */
gboolean
gem_labels_check(const char *const *labels, GError **error)
{
  guint n = labels != NULL ? g_strv_length((GStrv)labels) : 0;
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  if (n < MIN_LABELS || n > MAX_LABELS) {
    gem_error_set_argument(error, "labels", "%u of them, there have to be %u..%u", n, MIN_LABELS, MAX_LABELS);
    return FALSE;
  }
  for (guint i = 0; i < n; i++) {
    if (labels[i][0] == '\0') {
      gem_error_set_argument(error, "labels", "label %u is empty", i + 1);
      return FALSE;
    }
    if (!g_hash_table_add(seen, (gpointer)labels[i])) {
      gem_error_set_argument(error, "labels", "label %u stands there twice", i + 1);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
begins(const GArray *label, const GArray *other)
{
  return label->len <= other->len && memcmp(label->data, other->data, label->len * sizeof(guint32)) == 0;
}

/* A label that begins another one is only told from it by the end of the text. Their tokens are compared:
 * texts that differ may have the same. */
static gboolean
check_nested(const GPtrArray *encoded, GError **error)
{
  for (guint i = 0; i < encoded->len; i++) {
    for (guint j = 0; j < encoded->len; j++) {
      if (i != j && begins(encoded->pdata[i], encoded->pdata[j])) {
        gem_error_set_argument(error, "labels",
                               "label %u begins label %u, and the model has no token for the end of a text",
                               i + 1, j + 1);
        return FALSE;
      }
    }
  }
  return TRUE;
}

/* The token that ends a label, which no text has; G_MAXUINT32: the model has none. */
static guint32
find_end(GemTokenizer *tokenizer)
{
  guint32 eos = gem_tokenizer_eos(tokenizer);

  return eos != G_MAXUINT32 && gem_tokenizer_is_control(tokenizer, eos) ? eos : G_MAXUINT32;
}

GPtrArray *
gem_labels_encode(GemEngine *engine, const char *const *labels, guint prefix, GError **error)
{
  g_autoptr(GPtrArray) encoded = g_ptr_array_new_with_free_func((GDestroyNotify)gem_wipe_array);
  guint32 end = find_end(engine->tokenizer);

  if (!gem_engine_check_fits(engine, "the text", prefix, error)) {
    return NULL;
  }
  for (guint i = 0; labels[i] != NULL; i++) {
    GArray *tokens = gem_engine_encode_plain(engine, labels[i], NULL, error);

    if (tokens == NULL) {
      g_prefix_error(error, "labels: label %u: ", i + 1);
      return NULL;
    }
    g_ptr_array_add(encoded, tokens);
    if (!gem_engine_check_fits(engine, "the text with its longest label", prefix + tokens->len, error)) {
      return NULL;
    }
    if (end != G_MAXUINT32) {
      g_array_append_val(tokens, end);
    }
  }
  if (end == G_MAXUINT32 && !check_nested(encoded, error)) {
    return NULL;
  }
  return g_steal_pointer(&encoded);
}
