/* Between callers' text and tokens. */
#include "daemon/engine/gem-engine-private.h"

#include <string.h>

void
gem_wipe_array(GArray *array)
{
  if (array != NULL) {
    explicit_bzero(array->data, array->len * g_array_get_element_size(array));
    g_array_unref(array);
  }
}

/* A space becomes a character of three bytes, each a token where the vocabulary has no piece for it: an array
 * with so much room never moves, so that no copy is left behind. */
static guint
most_tokens(const char *text)
{
  return 3 * (guint)strlen(text) + 16;
}

GArray *
gem_engine_encode(GemEngine *self, const char *ask_template, const char *text, GError **error)
{
  g_autoptr(GemTokenArray) tokens =
      g_array_sized_new(FALSE, FALSE, sizeof(guint32),
                        most_tokens(text) + (ask_template != NULL ? most_tokens(ask_template) : 0));
  g_autoptr(GError) cause = NULL;

  if (text[0] == '\0') {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "the text is empty");
    return NULL;
  }
  if (!gem_tokenizer_encode_template(self->tokenizer, ask_template, text, tokens, &cause)) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, cause->message);
    return NULL;
  }
  return g_steal_pointer(&tokens);
}

GArray *
gem_engine_encode_plain(GemEngine *self, const char *text, GArray *offsets, GError **error)
{
  g_autoptr(GemTokenArray) tokens = g_array_sized_new(FALSE, FALSE, sizeof(guint32), most_tokens(text));
  g_autoptr(GError) cause = NULL;

  if (text[0] == '\0') {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "the text is empty");
    return NULL;
  }
  if (!gem_tokenizer_encode(self->tokenizer, text, -1, tokens, offsets, &cause)) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, cause->message);
    return NULL;
  }
  return g_steal_pointer(&tokens);
}

gboolean
gem_engine_check_length(GemEngine *self, const char *what, const char *text, GError **error)
{
  gsize length = strlen(text);
  gsize fewest = length / self->longest_piece;

  if (fewest > self->context_tokens) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED,
                "%s of %" G_GSIZE_FORMAT " bytes needs at least %" G_GSIZE_FORMAT
                " tokens, the context has %u",
                what, length, fewest, self->context_tokens);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_engine_check_fits(GemEngine *self, const char *what, guint tokens, GError **error)
{
  if (tokens > self->context_tokens) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED, "%s needs %u tokens, the context has %u", what,
                tokens, self->context_tokens);
    return FALSE;
  }
  return TRUE;
}

const char *
gem_route_name(const GemModelShape *shape, const GemLearnedView *learned, guint route)
{
  const char *name = NULL;

  if (route < shape->n_domains) {
    return shape->domains[route];
  }
  if (route < GEM_FIRST_LEARNED || route >= GEM_MAX_PATHWAYS) {
    return "general";
  }
  name = learned != NULL ? gem_learned_view_get_name(learned, (guint8)route) : NULL;
  return name != NULL ? name : "learned";
}

/* Whole characters as they are, each byte of a part as <0xNN>; a control token by its name. */
static char *
describe_token(GemTokenizer *tokenizer, guint32 token)
{
  gsize length;
  const char *bytes = gem_tokenizer_token_bytes(tokenizer, token, &length);
  g_autoptr(GString) shown = g_string_new(NULL);

  if (gem_tokenizer_is_control(tokenizer, token)) {
    return g_strdup(gem_tokenizer_token_piece(tokenizer, token));
  }
  if (g_utf8_validate_len(bytes, length, NULL)) {
    return g_strndup(bytes, length);
  }
  for (gsize i = 0; i < length; i++) {
    g_string_append_printf(shown, "<0x%02X>", (guint8)bytes[i]);
  }
  return g_string_free(g_steal_pointer(&shown), FALSE);
}

GemRoutedToken *
gem_routed_token_new(const GemRuntime *runtime,
                     GemLearnedView *learned,
                     guint32 token,
                     gsize offset,
                     gsize length,
                     guint8 route,
                     const float *probabilities)
{
  GemRoutedToken *self = g_new0(GemRoutedToken, 1);
  guint n = learned != NULL ? learned->n_names : runtime->shape->n_domains;

  self->piece = describe_token(runtime->tokenizer, token);
  self->offset = offset;
  self->length = length;
  self->learned = learned != NULL ? gem_learned_view_ref(learned) : NULL;
  self->pathway = gem_route_name(runtime->shape, learned, route);
  self->classes = learned != NULL ? learned->names : (const char *const *)runtime->shape->domains;
  self->probabilities = g_new0(double, MAX(n, 1));
  for (guint i = 0; i < n; i++) {
    self->probabilities[i] = (double)probabilities[learned != NULL ? learned->columns[i] : i];
  }
  return self;
}

void
gem_routed_token_free(GemRoutedToken *token)
{
  explicit_bzero(token->piece, strlen(token->piece));
  g_free(token->piece);
  g_free(token->probabilities);
  g_clear_pointer(&token->learned, gem_learned_view_unref);
  g_free(token);
}
