#include "bench/bus/gem-bench-held-out.h"

#include <math.h>

#include "bench/bus/gem-bench-calls.h"
#include "bench/questions/gem-bench-data.h"

/* Which document a call is of. */
typedef struct {
  GemBenchHeldOutText *text;
  const char *document;
} DocumentCall;

struct _GemBenchHeldOut {
  GPtrArray *texts; /* of GemBenchHeldOutText */
  GArray *calls;    /* of DocumentCall */
  guint time;       /* of the scores that come in */
};

static void
text_free(gpointer data)
{
  GemBenchHeldOutText *text = data;

  g_free(text->name);
  g_ptr_array_unref(text->documents);
  g_ptr_array_unref(text->all);
  g_free(text);
}

GemBenchHeldOut *
gem_bench_held_out_new(void)
{
  GemBenchHeldOut *self = g_new0(GemBenchHeldOut, 1);

  self->texts = g_ptr_array_new_with_free_func(text_free);
  self->calls = g_array_new(FALSE, FALSE, sizeof(DocumentCall));
  return self;
}

void
gem_bench_held_out_free(GemBenchHeldOut *self)
{
  g_ptr_array_unref(self->texts);
  g_array_unref(self->calls);
  g_free(self);
}

const GemBenchHeldOutText *
gem_bench_held_out_add(GemBenchHeldOut *self, const char *name, const char *path, guint most, GError **error)
{
  GPtrArray *all = gem_bench_data_read_documents(path, error);
  GemBenchHeldOutText *text;

  if (all == NULL) {
    return NULL;
  }
  text = g_new0(GemBenchHeldOutText, 1);
  *text = (GemBenchHeldOutText){.name = g_strdup(name), .all = all, .documents = g_ptr_array_new()};
  g_ptr_array_add(self->texts, text);
  for (guint i = 0; i < all->len && text->documents->len < most; i += GEM_BENCH_DATA_HELD_OUT_EVERY) {
    DocumentCall call = {text, all->pdata[i]};

    g_ptr_array_add(text->documents, all->pdata[i]);
    g_array_append_val(self->calls, call);
  }
  if (text->documents->len == 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: there is no document to score", path);
    return NULL;
  }
  return text;
}

/* ---- scores ---- */

static GVariant *
make_arguments(guint index, gpointer data)
{
  const GemBenchHeldOut *self = data;

  return g_variant_new("(sa{sv})", g_array_index(self->calls, DocumentCall, index).document, NULL);
}

static void
take_answer(guint index, GVariant *reply, const GError *refusal, gpointer data)
{
  const GemBenchHeldOut *self = data;
  GemBenchHeldOutText *text = g_array_index(self->calls, DocumentCall, index).text;
  double log_likelihood = 0;
  guint64 tokens = 0;

  if (reply == NULL) {
    text->skipped += self->time == 0; /* each time the same ones */
    return;
  }
  g_variant_get(reply, "(dt)", &log_likelihood, &tokens);
  text->nats[self->time] -= log_likelihood;
  text->tokens[self->time] += tokens;
}

static const char *
get_name(guint index, gpointer data)
{
  const GemBenchHeldOut *self = data;

  return g_array_index(self->calls, DocumentCall, index).text->name;
}

gboolean
gem_bench_held_out_score(GemBenchHeldOut *self, GemRemote *remote, guint time, GError **error)
{
  const GemBenchCalls calls = {
      .method = "Score",
      .reply_type = "(dt)",
      .n = self->calls->len,
      .arguments = make_arguments,
      .answered = take_answer,
      .name = get_name,
  };

  self->time = time;
  return gem_bench_calls_run(remote, &calls, self, error);
}

GPtrArray *
gem_bench_held_out_get(const GemBenchHeldOut *self)
{
  return self->texts;
}

double
gem_bench_held_out_perplexity(const GemBenchHeldOutText *text, guint time)
{
  return text->tokens[time] == 0 ? NAN : exp(text->nats[time] / (double)text->tokens[time]);
}
