#include <string.h>

#include "format/gem-sha256.h"
#include "training/text/gem-corpus.h"

static void
add_array(GemSha256 *hash, const GArray *array)
{
  guint32 length = array->len;
  gem_sha256_update(hash, &length, sizeof length);
  gem_sha256_update(hash, array->data, (gsize)array->len * g_array_get_element_size((GArray *)array));
}

static void
add_source(GemSha256 *hash, const GemSource *source)
{
  const guint32 kind[] = {(guint32)source->domain, source->is_task, source->documents->len};
  gem_sha256_update(hash, source->name, strlen(source->name) + 1);
  gem_sha256_update(hash, kind, sizeof kind);
  for (guint i = 0; i < source->documents->len; i++) {
    const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
    const guint32 frame[] = {document->length, document->answer, document->n_forks, document->n_rivals};
    gem_sha256_update(hash, frame, sizeof frame);
  }
  add_array(hash, source->tokens);
  add_array(hash, source->forks->others);
  add_array(hash, source->rival_tokens);
}

char *
gem_corpus_digest(const GemCorpus *self)
{
  g_autoptr(GemSha256) hash = gem_sha256_new();
  for (guint i = 0; i < self->sources->len; i++) {
    add_source(hash, self->sources->pdata[i]);
  }
  g_autofree char *digest = gem_sha256_finish(hash);
  return g_strndup(digest, GEM_CORPUS_DIGEST_LENGTH);
}
