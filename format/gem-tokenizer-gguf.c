/*
 * The vocabulary in GGUF metadata, in the usual "llama" form.
 */
#include "format/gem-tokenizer-private.h"

#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* Leaves `*value` as it is when the key is not there. */
static gboolean
get_optional_bool(GemGguf *file, const char *key, gboolean *value, GError **error)
{
  return !gem_gguf_has_key(file, key) || gem_gguf_get_bool(file, key, value, error);
}

static gboolean
get_optional_id(GemGguf *file, const char *key, guint32 *value, GError **error)
{
  guint64 id;

  if (!gem_gguf_has_key(file, key)) {
    return TRUE;
  }
  if (!gem_gguf_get_uint(file, key, &id, error)) {
    return FALSE;
  }
  if (id >= GEM_NONE) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "%s: %s: %" G_GUINT64_FORMAT " is no token", gem_gguf_get_name(file), key, id);
    return FALSE;
  }
  *value = (guint32)id;
  return TRUE;
}

/* Refuses what would be encoded otherwise than here. */
static gboolean
check_kind(GemGguf *file, GError **error)
{
  g_autofree char *model = gem_gguf_get_string(file, KEY("model"), error);
  gboolean remove_spaces = FALSE;

  if (!model) {
    return FALSE;
  }
  if (strcmp(model, "llama") != 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                "%s: " KEY("model") " is \"%s\"; only \"llama\" is supported", gem_gguf_get_name(file),
                model);
    return FALSE;
  }
  if (!get_optional_bool(file, KEY("remove_extra_whitespaces"), &remove_spaces, error)) {
    return FALSE;
  }
  if (remove_spaces || gem_gguf_has_key(file, KEY("precompiled_charsmap"))) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED, "%s: %s is not supported",
                gem_gguf_get_name(file),
                remove_spaces ? KEY("remove_extra_whitespaces") : KEY("precompiled_charsmap"));
    return FALSE;
  }
  return TRUE;
}

/* An empty tokenizer, to which all pieces are added. */
static GemTokenizer *
read_pieces(GemGguf *file, GError **error)
{
  g_autoptr(GemTokenizer) self = NULL;
  g_autoptr(GArray) scores = NULL;
  g_autoptr(GArray) types = NULL;
  GemGgufStrings pieces = {0};
  const char *piece;
  gsize length;

  if (!gem_gguf_get_strings(file, KEY("tokens"), &pieces, error) ||
      !(scores = gem_gguf_get_float_array(file, KEY("scores"), error)) ||
      !(types = gem_gguf_get_uint_array(file, KEY("token_type"), error))) {
    return NULL;
  }
  if (scores->len != pieces.left || types->len != pieces.left) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "%s: " KEY("tokens") ", .scores and .token_type have %u, %u and %u entries",
                gem_gguf_get_name(file), pieces.left, scores->len, types->len);
    return NULL;
  }
  self = gem_tokenizer_new_empty(pieces.left);
  for (guint i = 0; gem_gguf_strings_next(&pieces, &piece, &length); i++) {
    if (!gem_tokenizer_add_piece(self, piece, length, g_array_index(scores, float, i),
                                 g_array_index(types, guint64, i), error)) {
      g_prefix_error(error, "%s: " KEY("tokens") ": ", gem_gguf_get_name(file));
      return NULL;
    }
  }
  return g_steal_pointer(&self);
}

GemTokenizer *
gem_tokenizer_new_from_gguf(GemGguf *file, GError **error)
{
  g_autoptr(GemTokenizer) self = check_kind(file, error) ? read_pieces(file, error) : NULL;
  gboolean add_bos = TRUE;

  if (!self) {
    return NULL;
  }
  self->add_dummy_prefix = TRUE;
  if (!get_optional_id(file, KEY("bos_token_id"), &self->bos, error) ||
      !get_optional_id(file, KEY("eos_token_id"), &self->eos, error) ||
      !get_optional_id(file, KEY("unknown_token_id"), &self->unknown, error) ||
      !get_optional_bool(file, KEY("add_bos_token"), &add_bos, error) ||
      !get_optional_bool(file, KEY("add_space_prefix"), &self->add_dummy_prefix, error)) {
    return NULL;
  }

  self->add_bos = add_bos && self->bos != GEM_NONE;
  if (!gem_tokenizer_finish(self, error)) {
    g_prefix_error(error, "%s: ", gem_gguf_get_name(file));
    return NULL;
  }
  return g_steal_pointer(&self);
}

static void
write_id(GemGgufWriter *writer, const char *key, guint32 id)
{
  if (id != GEM_NONE) {
    gem_gguf_writer_set_uint(writer, key, id);
  }
}

void
gem_tokenizer_write(GemTokenizer *self, GemGgufWriter *writer)
{
  g_autoptr(GPtrArray) pieces = g_ptr_array_new();
  g_autoptr(GArray) scores = g_array_new(FALSE, FALSE, sizeof(float));
  g_autoptr(GArray) types = g_array_new(FALSE, FALSE, sizeof(gint32));

  for (guint i = 0; i < self->tokens->len; i++) {
    const GemToken *token = gem_tokenizer_token(self, i);
    const gint32 type = (gint32)token->type;

    g_ptr_array_add(pieces, (gpointer)token->piece);
    g_array_append_val(scores, token->score);
    g_array_append_val(types, type);
  }
  g_ptr_array_add(pieces, NULL);

  gem_gguf_writer_set_string(writer, KEY("model"), "llama");
  gem_gguf_writer_set_string_array(writer, KEY("tokens"), (const char *const *)pieces->pdata);
  gem_gguf_writer_set_float_array(writer, KEY("scores"), (const float *)scores->data, scores->len);
  gem_gguf_writer_set_int_array(writer, KEY("token_type"), (const gint32 *)types->data, types->len);
  write_id(writer, KEY("bos_token_id"), self->bos);
  write_id(writer, KEY("eos_token_id"), self->eos);
  write_id(writer, KEY("unknown_token_id"), self->unknown);
  gem_gguf_writer_set_bool(writer, KEY("add_bos_token"), self->add_bos);
  gem_gguf_writer_set_bool(writer, KEY("add_space_prefix"), self->add_dummy_prefix);
}
