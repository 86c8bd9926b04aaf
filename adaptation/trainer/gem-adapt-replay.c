#include "adaptation/trainer/gem-adapt-replay.h"

#include <string.h>

#include "adaptation/gem-adapt-fields.h"
#include "adaptation/trainer/gem-adapt-documents.h"

#define NAME_GENERAL "general"
#define MOST_BYTES   (16u << 20)
#define KEPT_EVERY   2u
#define LEAST_TOKENS 8u /* of a text that is of any use */

const char *
gem_adapt_replay_domain_name(const GemAdaptModel *model, gint8 domain)
{
  return domain == GEM_ROUTE_GENERAL ? NAME_GENERAL : model->backbone->shape.domains[domain];
}

static gboolean
fail(GError **error, const char *message)
{
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: %s", gem_adapt_file_names[GEM_ADAPT_REPLAY],
              message);
  return FALSE;
}

/* All of it, as a variant in normal form. */
static GVariant *
read_variant(int fd, GError **error)
{
  g_autoptr(GemFileReader) reader =
      gem_file_reader_new_from_fd(fd, gem_adapt_file_names[GEM_ADAPT_REPLAY], error);
  if (reader == NULL) {
    return NULL;
  }
  gsize size = (gsize)gem_file_reader_get_size(reader);
  if (size > MOST_BYTES) {
    fail(error, "larger than 16 MiB");
    return NULL;
  }
  g_autofree guint8 *data = g_malloc(MAX(size, 1));
  if (!gem_file_reader_read(reader, 0, data, size, error)) {
    return NULL;
  }
  g_autoptr(GBytes) bytes = g_bytes_new_take(g_steal_pointer(&data), size);
  g_autoptr(GVariant) variant =
      g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE("a(ss)"), bytes, FALSE));
  if (!g_variant_is_normal_form(variant)) {
    fail(error, "no list of domains and texts");
    return NULL;
  }
  return g_steal_pointer(&variant);
}

/* Index of one of the model's own domains, or GEM_ROUTE_GENERAL. */
static gboolean
find_domain(const GemAdaptModel *model, const char *name, gint8 *ret_domain, GError **error)
{
  if (strcmp(name, NAME_GENERAL) == 0) {
    *ret_domain = GEM_ROUTE_GENERAL;
    return TRUE;
  }
  for (guint d = 0; d < model->shape.n_domains; d++) {
    if (strcmp(model->shape.domains[d], name) == 0) {
      *ret_domain = (gint8)d;
      return TRUE;
    }
  }
  return fail(error, "of a domain that the model does not have");
}

typedef struct {
  GArray *tokens; /* guint32 */
  GArray *texts;  /* GemAdaptText whose `tokens` is an index */
} Reading;

static gboolean
read_text(Reading *self, const GemAdaptModel *model, gint8 domain, const char *text, GError **error)
{
  guint32 bos = gem_tokenizer_bos(model->tokenizer);
  gsize first = self->tokens->len;
  g_array_append_val(self->tokens, bos);
  if (!gem_tokenizer_encode(model->tokenizer, text, -1, self->tokens, NULL, error)) {
    return FALSE;
  }
  GemAdaptText added = {.tokens = GSIZE_TO_POINTER(first),
                        .n = (guint)MIN(self->tokens->len - first, GEM_ADAPT_HELD_OUT),
                        .domain = domain,
                        .group = domain == GEM_ROUTE_GENERAL ? model->shape.n_domains : (guint)domain};
  if (added.n >= LEAST_TOKENS) {
    g_array_append_val(self->texts, added);
  }
  return TRUE;
}

static gboolean
read_texts(Reading *self, const GemAdaptModel *model, GVariant *variant, GError **error)
{
  GVariantIter texts;
  const char *name, *text;
  gint8 domain = GEM_ROUTE_GENERAL;
  g_variant_iter_init(&texts, variant);
  while (g_variant_iter_next(&texts, "(&s&s)", &name, &text)) {
    if (!find_domain(model, name, &domain, error)) {
      return FALSE;
    }
    gboolean is_replaced = model->replaced >= 0 && domain == model->replaced;
    if (!is_replaced && !read_text(self, model, domain, text, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Every second text of each group is kept; a group of one has it on both sides. */
static void
divide(GemAdaptReplay *self, const GArray *texts)
{
  guint seen[GEM_MAX_DOMAINS + 1] = {0}, total[GEM_MAX_DOMAINS + 1] = {0};
  for (guint i = 0; i < texts->len; i++) {
    total[g_array_index(texts, GemAdaptText, i).group]++;
  }
  for (guint i = 0; i < texts->len; i++) {
    GemAdaptText text = g_array_index(texts, GemAdaptText, i);
    gboolean kept = seen[text.group]++ % KEPT_EVERY == 1, single = total[text.group] == 1;
    text.tokens = self->tokens + GPOINTER_TO_SIZE(text.tokens);
    if (!kept || single) {
      g_array_append_val(self->learned, text);
    }
    if (kept || single) {
      g_array_append_val(self->kept, text);
    }
  }
}

GemAdaptReplay *
gem_adapt_replay_new(int fd, const GemAdaptModel *model, GError **error)
{
  g_autoptr(GVariant) variant = read_variant(fd, error);
  if (variant == NULL) {
    return NULL;
  }
  g_autoptr(GemAdaptReplay) self = g_new0(GemAdaptReplay, 1);
  g_autoptr(GArray) texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  Reading reading = {g_array_new(FALSE, FALSE, sizeof(guint32)), texts};
  self->learned = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  self->kept = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  gboolean read = read_texts(&reading, model, variant, error);
  self->tokens = (guint32 *)(gpointer)g_array_free(reading.tokens, FALSE);
  if (!read) {
    return NULL;
  }
  divide(self, texts);
  if (self->learned->len == 0) {
    fail(error, "no text of another domain");
    return NULL;
  }
  return g_steal_pointer(&self);
}

void
gem_adapt_replay_free(GemAdaptReplay *self)
{
  if (self == NULL) {
    return;
  }
  g_free(self->tokens);
  g_array_unref(self->learned);
  g_array_unref(self->kept);
  g_free(self);
}
