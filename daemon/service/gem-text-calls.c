#include "daemon/service/gem-text-calls.h"

#include <string.h>

#include "daemon/service/gem-answer.h"
#include "daemon/service/gem-cut.h"
#include "daemon/service/gem-service.h"

#define FEWEST_LABELS    2u
#define MOST_LABELS      256u
#define MOST_LABEL_BYTES 1024u
#define MOST_ALL_BYTES   16384u /* of all labels: what one call may make the engine run */
/* Rows of Route: they are some 250 bytes each. */
#define MOST_ROWS 16384u

/* A call whose text is on its way to the engine: part of it is the same for all. */
typedef struct _TextCall TextCall;
struct _TextCall {
  GemCall *call;
  const char *text;    /* the call's */
  GVariant *value;     /* labels of Classify; NULL: none */
  const char **labels; /* its strings, NULL-terminated */
  GemCallOptions options;
  /* Hands it over; `prompt` is in the options. */
  void (*start)(const TextCall *self, GemEngine *engine, GCancellable *cancellable);
};

static void
text_call_free(TextCall *self)
{
  gem_call_options_clear(&self->options);
  g_free(self->labels);
  g_clear_pointer(&self->value, g_variant_unref);
  g_free(self);
}

static void
on_cut(GemPrompt *prompt, GError *error, gpointer data)
{
  TextCall *self = data;

  if (!gem_call_check(self->call)) {
    g_clear_error(&error);
  } else if (prompt == NULL) {
    gem_call_fail(self->call, error);
  } else {
    self->options.generate.run.prompt = prompt;
    self->start(self, gem_call_get_engine(self->call), gem_call_get_cancellable(self->call));
  }
  text_call_free(self);
}

/* Takes what `self` owns. */
static void
text_call_begin(const TextCall *self, GemPromptForm form)
{
  const GemPromptSpec spec = {
      .form = form, .places = form == GEM_PROMPT_ALONE, .labels = (const char *const *)self->labels};

  gem_cut(gem_call_get_engine(self->call), self->text, &spec, on_cut, g_memdup2(self, sizeof *self));
}

/* ---- Route ---- */

static GVariant *
make_rows(gpointer data)
{
  const GPtrArray *tokens = data;
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(sttsa{sd})"));
  for (guint i = 0; i < tokens->len; i++) {
    g_variant_builder_add_value(&builder, gem_answer_route(tokens->pdata[i]));
  }
  return g_variant_new("(a(sttsa{sd}))", &builder);
}

static void
on_routed(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GemEngine *engine = GEM_ENGINE(source);
  GError *error = NULL;
  g_autoptr(GPtrArray) tokens = gem_engine_route_finish(engine, result, &error);

  if (tokens == NULL) {
    gem_call_fail(call, error);
    return;
  }
  if (tokens->len > MOST_ROWS) {
    gem_call_fail(call, g_error_new(GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
                                    "the text has %u tokens, up to %u are routed at a time", tokens->len,
                                    MOST_ROWS));
    return;
  }
  gem_call_return_made(call, make_rows, g_steal_pointer(&tokens), (GDestroyNotify)g_ptr_array_unref);
}

static void
start_route(const TextCall *self, GemEngine *engine, GCancellable *cancellable)
{
  gem_engine_route_async(engine, self->text, &self->options.generate.run, cancellable, on_routed, self->call);
}

void
gem_route_run(GemCall *call)
{
  TextCall self = {.call = call, .text = gem_call_read_text(call, 0), .start = start_route};

  if (self.text != NULL && gem_call_read_options(call, 1, GEM_OPTIONS_NONE, 0, &self.options)) {
    text_call_begin(&self, GEM_PROMPT_ALONE);
  }
}

/* ---- Classify ---- */

static void
on_classified(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GError *error = NULL;
  g_autoptr(GArray) scores = gem_engine_classify_finish(GEM_ENGINE(source), result, &error);
  g_autoptr(GVariant) labels = g_variant_get_child_value(gem_call_get_parameters(call), 1);
  GVariantBuilder builder;

  if (scores == NULL) {
    gem_call_fail(call, error);
    return;
  }
  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(sd)"));
  for (guint i = 0; i < scores->len; i++) {
    const char *label = NULL;

    g_variant_get_child(labels, i, "&s", &label);
    g_variant_builder_add(&builder, "(sd)", label, g_array_index(scores, double, i));
  }
  gem_call_return(call, g_variant_new("(a(sd))", &builder));
}

static gboolean
check_labels(const char *const *labels, gsize count, GError **error)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  gsize all_bytes = 0;

  if (count < FEWEST_LABELS || count > MOST_LABELS) {
    gem_error_set_argument(error, "labels", "there are %" G_GSIZE_FORMAT ", %u to %u are wanted", count,
                           FEWEST_LABELS, MOST_LABELS);
    return FALSE;
  }
  for (gsize i = 0; i < count; i++) {
    gsize length = strlen(labels[i]);

    if (length < 1 || length > MOST_LABEL_BYTES) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT,
                  "label %" G_GSIZE_FORMAT " has %" G_GSIZE_FORMAT " bytes, 1 to %u are wanted", i + 1,
                  length, MOST_LABEL_BYTES);
      return FALSE;
    }
    if (!g_hash_table_add(seen, (gpointer)labels[i])) {
      gem_error_set_argument(error, "labels", "label %" G_GSIZE_FORMAT " stands there twice", i + 1);
      return FALSE;
    }
    all_bytes += length;
  }
  if (all_bytes > MOST_ALL_BYTES) {
    gem_error_set_argument(error, "labels",
                           "they have %" G_GSIZE_FORMAT " bytes together, at most %u are taken", all_bytes,
                           MOST_ALL_BYTES);
    return FALSE;
  }
  return TRUE;
}

static void
start_classify(const TextCall *self, GemEngine *engine, GCancellable *cancellable)
{
  gem_engine_classify_async(engine, self->text, (const char *const *)self->labels,
                            &self->options.generate.run, cancellable, on_classified, self->call);
}

void
gem_classify_run(GemCall *call)
{
  TextCall self = {.call = call, .text = gem_call_read_text(call, 0), .start = start_classify};
  g_autofree const char **labels = NULL;
  g_autoptr(GVariant) value = NULL;
  gsize count = 0;
  GError *error = NULL;

  if (self.text == NULL || !gem_call_read_options(call, 2, GEM_OPTIONS_RUN, 0, &self.options)) {
    return;
  }
  value = g_variant_get_child_value(gem_call_get_parameters(call), 1);
  labels = g_variant_get_strv(value, &count);
  if (!check_labels(labels, count, &error)) {
    gem_call_options_clear(&self.options);
    gem_call_fail(call, error);
    return;
  }
  self.labels = g_steal_pointer(&labels);
  self.value = g_steal_pointer(&value);
  text_call_begin(&self, GEM_PROMPT_ASK);
}

/* ---- Embed ---- */

static GVariant *
doubles(const GArray *values)
{
  return g_variant_new_fixed_array(G_VARIANT_TYPE_DOUBLE, values->data, values->len, sizeof(double));
}

static void
on_embedded(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GError *error = NULL;
  g_autoptr(GArray) vector = gem_engine_embed_finish(GEM_ENGINE(source), result, &error);

  if (vector == NULL) {
    gem_call_fail(call, error);
  } else {
    gem_call_return(call, g_variant_new("(@ad)", doubles(vector)));
  }
}

static void
start_embed(const TextCall *self, GemEngine *engine, GCancellable *cancellable)
{
  gem_engine_embed_async(engine, self->text, &self->options.generate.run, cancellable, on_embedded,
                         self->call);
}

void
gem_embed_run(GemCall *call)
{
  TextCall self = {.call = call, .text = gem_call_read_text(call, 0), .start = start_embed};

  if (self.text != NULL && gem_call_read_options(call, 1, GEM_OPTIONS_RUN, 0, &self.options)) {
    text_call_begin(&self, GEM_PROMPT_RAW);
  }
}

/* ---- Score ---- */

static void
on_scored(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GError *error = NULL;
  double log_likelihood = 0;
  guint64 tokens = 0;

  if (!gem_engine_score_finish(GEM_ENGINE(source), result, &log_likelihood, &tokens, &error)) {
    gem_call_fail(call, error);
  } else {
    gem_call_return(call, g_variant_new("(dt)", log_likelihood, tokens));
  }
}

static void
start_score(const TextCall *self, GemEngine *engine, GCancellable *cancellable)
{
  gem_engine_score_async(engine, self->text, &self->options.generate.run, cancellable, on_scored, self->call);
}

void
gem_score_run(GemCall *call)
{
  TextCall self = {.call = call, .text = gem_call_read_text(call, 0), .start = start_score};

  if (self.text != NULL && gem_call_read_options(call, 1, GEM_OPTIONS_RUN, 0, &self.options)) {
    text_call_begin(&self, GEM_PROMPT_RAW);
  }
}

/* ---- CountTokens ---- */

static void
start_count(const TextCall *self, GemEngine *engine, GCancellable *cancellable)
{
  guint64 tokens = gem_prompt_count_tokens(self->options.generate.run.prompt);

  gem_call_return(self->call, g_variant_new("(t)", tokens));
}

void
gem_count_tokens_run(GemCall *call)
{
  TextCall self = {.call = call, .text = gem_call_read_text(call, 0), .start = start_count};

  if (self.text != NULL) {
    text_call_begin(&self, GEM_PROMPT_COUNT);
  }
}
