/* A data folder and a tokenizer of bytes, for tests that read it as a corpus. */
#pragma once

#include "tests/gem-test-training.h"
#include "training/text/gem-corpus.h"

#define GEM_TEST_CORPUS_TEMPLATE "<s><|user|>{text}<|model|>"

typedef struct {
  char *folder;
  GemTokenizer *tokenizer;
} GemTestCorpus;

void
gem_test_corpus_set_up(GemTestCorpus *self, gconstpointer data);
void
gem_test_corpus_tear_down(GemTestCorpus *self, gconstpointer data);

/* Corpora and tasks of the folder. */
GemCorpusOptions
gem_test_corpus_options(const GemTestCorpus *self, GemSplit split);
/* Of the domains legal, stem and finance. */
GemCorpus *
gem_test_corpus_load(const GemTestCorpus *self, const GemCorpusOptions *options);
/* That it is refused, and why. */
void
gem_test_corpus_assert_fails(const GemTestCorpus *self, const GemCorpusOptions *options, const char *with);
/* Borrowed; NULL: there is none of that name. */
const GemSource *
gem_test_corpus_find(const GemCorpus *corpus, const char *name);
