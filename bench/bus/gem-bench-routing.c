#include "bench/bus/gem-bench-routing.h"

#include "bench/bus/gem-bench-calls.h"

typedef struct {
  GArray *texts;
  const GPtrArray *names;
} Run;

static void
routed_text_clear(gpointer data)
{
  GemBenchRoutedText *text = data;

  g_free(text->text);
  g_clear_pointer(&text->routes, gem_bench_routes_free);
}

GArray *
gem_bench_routed_texts_new(void)
{
  GArray *texts = g_array_new(FALSE, FALSE, sizeof(GemBenchRoutedText));

  g_array_set_clear_func(texts, routed_text_clear);
  return texts;
}

void
gem_bench_routed_texts_add(GArray *texts, char *text, guint source)
{
  GemBenchRoutedText entry = {.text = text, .source = source};

  g_array_append_val(texts, entry);
}

static GemBenchRoutedText *
text_at(const Run *run, guint index)
{
  return &g_array_index(run->texts, GemBenchRoutedText, index);
}

static GVariant *
make_arguments(guint index, gpointer data)
{
  return g_variant_new("(s@a{sv})", text_at(data, index)->text, g_variant_new("a{sv}", NULL));
}

static void
take_answer(guint index, GVariant *reply, const GError *refusal, gpointer data)
{
  GemBenchRoutedText *text = text_at(data, index);

  if (reply == NULL) {
    text->fate = gem_bench_fate_of_refusal(refusal);
  } else {
    text->routes = gem_bench_routes_new(reply);
  }
}

static const char *
get_name(guint index, gpointer data)
{
  const Run *run = data;

  return run->names->pdata[text_at(run, index)->source];
}

gboolean
gem_bench_routed_texts_run(GemRemote *remote, GArray *texts, const GPtrArray *names, GError **error)
{
  Run run = {.texts = texts, .names = names};
  GemBenchCalls calls = {
      .method = "Route",
      .reply_type = "(a(sttsa{sd}))",
      .n = texts->len,
      .arguments = make_arguments,
      .answered = take_answer,
      .name = get_name,
  };

  return gem_bench_calls_run(remote, &calls, &run, error);
}
