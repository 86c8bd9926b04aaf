/*
 * One turn of a conversation: the main loop's side. It checks everything that can be checked, hands the turn
 * to the engine thread (gem-turn.c) and calls back what comes from there.
 */
#include "daemon/engine/gem-generation-private.h"
#include "daemon/engine/gem-prompt.h"

#include <string.h>

G_DEFINE_TYPE(GemGeneration, gem_generation, G_TYPE_OBJECT)

#define DEFAULT_MAX_TOKENS 256u

/* Routes that are told before others have their turn on the main loop: those of a long prompt come at once.
 */
#define ROUTES_AT_A_TIME 64u

static void
turn_event_free(GemTurnEvent *event)
{
  if (event->text != NULL) {
    explicit_bzero(event->text->str, event->text->allocated_len);
    g_string_free(event->text, TRUE);
  }
  g_clear_pointer(&event->routed, g_ptr_array_unref);
  g_clear_error(&event->error);
  g_clear_pointer(&event->stats.tokens_by_pathway, g_hash_table_unref);
  g_clear_pointer(&event->stats.public_tokens_by_pathway, g_hash_table_unref);
  g_free(event);
}

/* FALSE: there are more. */
static gboolean
tell_routes(GemGeneration *self, GemTurnEvent *event)
{
  guint n = event->routed != NULL ? event->routed->len : 0;
  guint end = MIN(n, event->told + ROUTES_AT_A_TIME);

  while (event->told < end) {
    self->events.routed(event->routed->pdata[event->told++], self->data);
  }
  return event->told == n;
}

static void
tell_end(GemGeneration *self, const GemTurnEvent *event)
{
  self->sequence->busy = FALSE;
  if (self->events.finished != NULL) {
    self->events.finished(&event->stats, event->error, self->data);
  }
  if (self->destroy != NULL) {
    self->destroy(g_steal_pointer(&self->data));
  }
}

static gboolean
tell_waiting(gpointer data)
{
  GemGeneration *self = data;
  GemTurnEvent *event;
  gboolean over = FALSE;

  while (!over && (event = g_queue_peek_head(&self->events_waiting)) != NULL) {
    if (event->told == 0) {
      self->sequence->tokens = event->tokens;
      if (event->text != NULL && self->events.text != NULL) {
        self->events.text(event->text->str, event->text->len, self->data);
      }
    }
    if (!tell_routes(self, event)) {
      gem_engine_post(self->sequence->engine, tell_waiting, self);
      return G_SOURCE_REMOVE;
    }
    if (event->last) {
      tell_end(self, event);
      over = TRUE;
    }
    turn_event_free(g_queue_pop_head(&self->events_waiting));
  }
  if (over) {
    g_object_unref(self); /* the reference of the running turn */
  }
  return G_SOURCE_REMOVE;
}

static gboolean
take_event(gpointer data)
{
  GemTurnEvent *event = data;
  GemGeneration *self = event->generation;

  g_queue_push_tail(&self->events_waiting, event);
  return g_queue_get_length(&self->events_waiting) == 1 ? tell_waiting(self) : G_SOURCE_REMOVE;
}

void
gem_generation_post(GemGeneration *self, GemTurnEvent *event)
{
  event->generation = self;
  gem_engine_post(self->sequence->engine, take_event, event);
}

/* The prompt has to fit, with room for one token of an answer: beside what the sequence holds, or, when that
 * may be dropped, beside a BOS. */
static gboolean
check_room(GemSequence *sequence, guint prompt, gboolean slide, GError **error)
{
  guint context = sequence->engine->context_tokens;
  guint held = slide ? MIN(sequence->tokens, 1) : sequence->tokens;

  if (prompt + 1 > context - MIN(held, context)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED,
                "the prompt needs %u tokens and the answer at least 1, the context of %u has %u left", prompt,
                context, context - MIN(held, context));
    return FALSE;
  }
  return TRUE;
}

/* The turn's own word, its sequence's, the engine's. */
static GemPageIn
resolve_page_in(const GemSequence *sequence, const GemRunOptions *run)
{
  if (run->page_in != GEM_PAGE_IN_DEFAULT) {
    return run->page_in;
  }
  return sequence->page_in != GEM_PAGE_IN_DEFAULT ? sequence->page_in : sequence->engine->page_in;
}

/* A sequence's cache is clustered by one k for all its turns. */
static gboolean
resolve_run(GemSequence *sequence, const GemRunOptions *run, GemRouting *ret_routing, GError **error)
{
  g_autoptr(GemLearnedView) learned = NULL;
  GemRunOptions effective = {
      .domain = run->domain != NULL ? run->domain : sequence->domain,
      .clusters = run->clusters,
      .owner = sequence->owner,
      .page_in = resolve_page_in(sequence, run),
  };
  GemRouting routing;
  guint cluster_set;

  if (!gem_run_options_resolve(sequence->engine, &effective, &routing, &cluster_set, error)) {
    return FALSE;
  }
  learned = routing.learned;
  if (run->clusters != 0 && cluster_set != sequence->state->cluster_set) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "clusters",
                         "%u, but the session was made with %u and keeps them", run->clusters,
                         sequence->engine->runtime->shape->clusters[sequence->state->cluster_set]);
    return FALSE;
  }
  *ret_routing = routing;
  ret_routing->learned = g_steal_pointer(&learned);
  return TRUE;
}

/* What slides out makes room: such an answer may be as long as it was asked to be. */
static GemTurnNeed
find_need(const GemSequence *sequence, const GemGenerateOptions *options, guint prompt)
{
  guint context = sequence->engine->context_tokens;
  guint held = MIN(sequence->tokens + prompt, context);
  GemTurnNeed need = {
      .prompt_tokens = prompt,
      .max_tokens = options->max_tokens > 0 ? options->max_tokens : DEFAULT_MAX_TOKENS,
  };

  if (!options->slide) {
    need.max_tokens = MIN(need.max_tokens, context - held);
  }
  need.cache_bytes = gem_kv_cache_most_bytes(
      sequence->state->cache, held + MIN(need.max_tokens, context - held), sequence->engine->prefill_block);
  return need;
}

static void
drop_first(GArray *array)
{
  gsize size = g_array_get_element_size(array);

  g_array_remove_index(array, 0);
  explicit_bzero(array->data + array->len * size, size); /* the last one's copy */
}

/* Later turns stand after others: no second BOS. A model may call a piece its BOS that texts have, too: that
 * one stays, as does one that is all there is. */
static gboolean
has_second_bos(const GemSequence *sequence, const GArray *tokens)
{
  GemTokenizer *tokenizer = sequence->engine->runtime->tokenizer;
  guint32 bos = gem_tokenizer_bos(tokenizer);

  return sequence->tokens > 0 && tokens->len > 1 && bos != G_MAXUINT32 &&
         gem_tokenizer_is_control(tokenizer, bos) && g_array_index(tokens, guint32, 0) == bos;
}

/* The plan's own copies. */
static void
plan_prompt(GemTurnPlan *plan, const GemPrompt *prompt, gboolean without_bos, gboolean with_places)
{
  plan->prompt = g_array_copy(prompt->tokens);
  plan->places = with_places ? g_array_copy(prompt->places) : NULL;
  if (without_bos) {
    drop_first(plan->prompt);
  }
  if (without_bos && with_places) {
    drop_first(plan->places);
  }
}

static GemGeneration *
new_generation(GemSequence *sequence,
               const GemGenerationEvents *events,
               gpointer data,
               GDestroyNotify destroy)
{
  GemGeneration *generation = g_object_new(GEM_TYPE_GENERATION, NULL);

  generation->sequence = g_object_ref(sequence);
  generation->events = *events;
  generation->data = data;
  generation->destroy = destroy;
  return generation;
}

GemGeneration *
gem_sequence_generate(GemSequence *self,
                      const char *prompt,
                      const GemGenerateOptions *options,
                      const GemGenerationEvents *events,
                      gpointer data,
                      GDestroyNotify destroy,
                      GError **error)
{
  static const GemGenerateOptions defaults = {0};
  const GemGenerateOptions *given = options != NULL ? options : &defaults;
  const GemPromptSpec spec = {.form = given->raw ? GEM_PROMPT_RAW : GEM_PROMPT_ASK,
                              .places = events->routed != NULL};
  g_autoptr(GemGeneration) generation = NULL;
  g_autoptr(GemLearnedView) learned = NULL;
  g_autoptr(GemPrompt) made = NULL;
  GemTurnPlan plan = {0};
  GemTurnNeed need;
  gboolean without_bos;

  if (!gem_engine_check_running(self->engine, error) ||
      !gem_generate_options_check(self->engine, given, error) ||
      !resolve_run(self, &given->run, &plan.routing, error)) {
    return NULL;
  }
  learned = g_steal_pointer(&plan.routing.learned);
  if (self->busy) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_BUSY, "the session already generates");
    return NULL;
  }
  made = gem_prompt_take(self->engine, prompt, &spec, &given->run, error);
  if (made == NULL) {
    return NULL;
  }
  without_bos = has_second_bos(self, made->tokens);
  need = find_need(self, given, made->tokens->len - (without_bos ? 1 : 0));
  if (!check_room(self, need.prompt_tokens, given->slide, error) ||
      (events->admit != NULL && !events->admit(&need, data, error))) {
    return NULL;
  }
  generation = new_generation(self, events, data, destroy);
  self->busy = TRUE;

  plan_prompt(&plan, made, without_bos, spec.places);
  plan.max_tokens = given->max_tokens > 0 ? given->max_tokens : DEFAULT_MAX_TOKENS;
  plan.slide = given->slide;
  plan.deadline = given->run.deadline;
  plan.batch = (given->run.priority != GEM_PRIORITY_UNSET ? given->run.priority : self->priority) ==
               GEM_PRIORITY_BATCH;
  plan.sampler =
      gem_sampler_new(given->temperature, given->top_k, given->top_p > 0 ? given->top_p : 1, given->seed);
  plan.text = gem_text_stream_new((const char *const *)given->stop);
  plan.routing.learned = g_steal_pointer(&learned);
  gem_turn_start(g_object_ref(generation), &plan);
  return g_steal_pointer(&generation);
}

/* The engine thread must see the change even when it waits. */
static void
wake(GemEngine *engine, gpointer data)
{
}

static void
set_control(GemGeneration *self, gint *flag, gint value)
{
  g_atomic_int_set(flag, value);
  if (gem_engine_check_running(self->sequence->engine, NULL)) {
    gem_engine_push(self->sequence->engine, wake, NULL);
  }
}

void
gem_generation_cancel(GemGeneration *self)
{
  set_control(self, &self->control->cancelled, TRUE);
}

void
gem_generation_set_paused(GemGeneration *self, gboolean paused)
{
  set_control(self, &self->control->paused, paused);
}

static void
gem_generation_finalize(GObject *object)
{
  GemGeneration *self = GEM_GENERATION(object);

  g_atomic_rc_box_release(self->control);
  g_clear_object(&self->sequence);
  G_OBJECT_CLASS(gem_generation_parent_class)->finalize(object);
}

static void
gem_generation_class_init(GemGenerationClass *class)
{
  G_OBJECT_CLASS(class)->finalize = gem_generation_finalize;
}

static void
gem_generation_init(GemGeneration *self)
{
  self->control = g_atomic_rc_box_new0(GemJobControl);
  g_queue_init(&self->events_waiting);
}
