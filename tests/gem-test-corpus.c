#include "tests/gem-test-corpus.h"

#include <string.h>

#include "tests/gem-test-model.h"

static const char *const domains[] = {"legal", "stem", "finance", NULL};

void
gem_test_corpus_set_up(GemTestCorpus *self, gconstpointer data)
{
  self->folder = gem_test_data_folder_new();
  self->tokenizer = gem_test_byte_tokenizer_new();
}

void
gem_test_corpus_tear_down(GemTestCorpus *self, gconstpointer data)
{
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  gem_tokenizer_unref(self->tokenizer);
}

GemCorpusOptions
gem_test_corpus_options(const GemTestCorpus *self, GemSplit split)
{
  return (GemCorpusOptions){.folder = self->folder,
                            .split = split,
                            .corpus = TRUE,
                            .tasks = TRUE,
                            .ask_template = GEM_TEST_CORPUS_TEMPLATE};
}

GemCorpus *
gem_test_corpus_load(const GemTestCorpus *self, const GemCorpusOptions *options)
{
  g_autoptr(GError) error = NULL;
  GemCorpus *corpus = gem_corpus_load(options, domains, self->tokenizer, &error);
  g_assert_no_error(error);
  g_assert_nonnull(corpus);
  return corpus;
}

void
gem_test_corpus_assert_fails(const GemTestCorpus *self, const GemCorpusOptions *options, const char *with)
{
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_corpus_load(options, domains, self->tokenizer, &error));
  g_assert_nonnull(error);
  if (strstr(error->message, with) == NULL) {
    g_test_message("'%s' does not name '%s'", error->message, with);
    g_test_fail();
  }
}

const GemSource *
gem_test_corpus_find(const GemCorpus *corpus, const char *name)
{
  for (guint i = 0; i < corpus->sources->len; i++) {
    const GemSource *source = corpus->sources->pdata[i];
    if (strcmp(source->name, name) == 0) {
      return source;
    }
  }
  return NULL;
}
