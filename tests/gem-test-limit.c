#include "tests/gem-test-limit.h"

#define PROMPT "the old house on the hill and the garden behind it in the rain"

GemTestAnswer *
gem_test_limit_start(GemSequence *sequence, guint tokens, const char *domain, GemPageIn page_in)
{
  g_auto(GemGenerateOptions)
      options = {.max_tokens = tokens, .run = {.domain = g_strdup(domain), .page_in = page_in}};

  return gem_test_generate(sequence, PROMPT, &options);
}

GemTestAnswer *
gem_test_limit_answer(GemSequence *sequence, const char *domain, GemPageIn page_in)
{
  GemTestAnswer *started = gem_test_limit_start(sequence, GEM_TEST_LIMIT_TOKENS, domain, page_in);

  gem_test_answer_wait(started);
  return started;
}

GemTestAnswer *
gem_test_limit_answer_alone(GemTestLimit *self, const char *domain, GemPageIn page_in)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(self->engine, NULL, NULL);

  return gem_test_limit_answer(sequence, domain, page_in);
}

char *
gem_test_limit_text_alone(GemTestLimit *self, const char *domain)
{
  g_autoptr(GemTestAnswer) alone = gem_test_limit_answer_alone(self, domain, GEM_PAGE_IN_DEFAULT);

  g_assert_no_error(alone->error);
  return g_strdup(alone->text->str);
}

void
gem_test_limit_relieve(GemEngine *engine, GemRelief step)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;

  gem_engine_relieve_async(engine, step, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_relieve_finish(engine, result, NULL, NULL));
}

void
gem_test_limit_set(GemTestLimit *self, guint64 bytes)
{
  gem_engine_set_memory_limit(self->engine, bytes);
  gem_test_limit_relieve(self->engine, GEM_RELIEF_OVER);
}

GemEngineCounters
gem_test_limit_counters(GemTestLimit *self)
{
  GemEngineCounters counters;

  gem_test_limit_relieve(self->engine, GEM_RELIEF_OVER);
  gem_engine_get_counters(self->engine, &counters);
  return counters;
}

gboolean
gem_test_limit_is_resident(GemTestLimit *self, const char *domain)
{
  g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(self->engine, domain);

  return info->state == GEM_PATHWAY_RESIDENT;
}

void
gem_test_limit_init(GemTestLimit *self)
{
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) measured = NULL;
  g_autoptr(GemPathwayInfo) info = NULL;

  self->test = gem_test_engine_new();
  self->test->config.threshold_percent = 0;
  gem_test_engine_start(self->test);
  self->engine = self->test->engine;
  self->fixed = gem_engine_get_fixed_bytes(self->engine);
  sequence = gem_engine_new_sequence(self->engine, NULL, NULL);
  measured = gem_test_limit_answer(sequence, NULL, GEM_PAGE_IN_DEFAULT);
  self->cache = measured->cache_bytes;
  g_assert_cmpuint(g_hash_table_size(measured->tokens_by_pathway), ==, 3);
  info = gem_engine_get_pathway(self->engine, "legal");
  self->pathway = info->resident_bytes;
  gem_test_limit_relieve(self->engine, GEM_RELIEF_OVER);
  self->router = gem_engine_get_resident_bytes(self->engine) - self->fixed - self->cache - 3 * self->pathway;
  gem_test_limit_relieve(self->engine, GEM_RELIEF_ALL_BUT_GENERAL);
  g_assert_cmpuint(self->fixed, >, 0);
  g_assert_cmpuint(self->router, >, 0);
  g_assert_cmpuint(self->cache, >, self->pathway / 2);
}

void
gem_test_limit_clear(GemTestLimit *self)
{
  gem_test_engine_free(self->test);
}
guint64
gem_test_limit_for(const GemTestLimit *self, guint halves)
{
  return self->fixed + self->router + self->cache + halves * self->pathway / 2;
}
