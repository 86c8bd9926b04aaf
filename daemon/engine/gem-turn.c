/*
 * One turn of a conversation on the engine thread: routes and prefills the prompt, then draws, shows and
 * appends one token a step.
 *
 * A turn that ends before its first token (cancelled, failed) leaves the sequence as it was before, but for
 * what slid out. One that ends later leaves its prompt and its answer so far; the last token drawn waits
 * there to be run at the start of the next turn, an end of text included.
 */
#include "daemon/engine/gem-generation-private.h"

#include <string.h>

#include "daemon/engine/gem-prompt.h"
#include "daemon/engine/gem-room.h"

typedef struct {
  GemJob job;
  GemGeneration *generation; /* a reference of the main loop's, on its way back to it */
  GemTurnPlan plan;
  gboolean strip_space;
  guint first; /* the turn's first token in the sequence; valid with `has_first` */
  gboolean has_first;
  guint rows_before[GEM_MAX_PATHWAYS];
  guint degraded_before;
  guint32 drawn;
  gboolean has_drawn; /* FALSE: no logit was finite, as when the state has overflowed */
  gsize drawn_bytes;  /* that the drawn token adds to the answer */
  gboolean stopped;   /* it completes a stop string */
  GString *shown;     /* what may be shown of the answer and is not posted yet */
  gsize answer_bytes;
  guint generated, slides;
  gint64 started, prefilled; /* monotonic; 0: not yet */
  GemFinishReason reason;
} Turn;

static guint32
token_at(const GArray *tokens, guint index)
{
  return g_array_index(tokens, guint32, index);
}

/* ---- events ---- */

static void
post_text(Turn *turn, GString *text, GPtrArray *routed)
{
  GemTurnEvent *event = g_new0(GemTurnEvent, 1);

  event->text = text;
  event->routed = routed;
  event->tokens = turn->job.sequence->tokens->len;
  gem_generation_post(turn->generation, event);
}

/* The routes of the prompt, which stands at turn->first; probabilities [n][classes]. */
static void
post_prompt_routes(Turn *turn, const float *probabilities)
{
  const GemSequenceState *sequence = turn->job.sequence;
  guint classes = gem_routing_count_classes(turn->job.runtime, &turn->plan.routing);
  GPtrArray *routed = g_ptr_array_new_with_free_func((GDestroyNotify)gem_routed_token_free);

  for (guint i = 0; i < turn->plan.prompt->len; i++) {
    const GemPlace *place = &g_array_index(turn->plan.places, GemPlace, i);

    g_ptr_array_add(routed, gem_routed_token_new(turn->job.runtime, turn->plan.routing.learned,
                                                 token_at(turn->plan.prompt, i), place->offset, place->length,
                                                 sequence->routes->data[turn->first + i],
                                                 probabilities + (gsize)i * classes));
  }
  post_text(turn, NULL, routed);
}

/* ---- prefill ---- */

/* Makes room for the prompt and one token of the answer. */
static gboolean
slide_for_prompt(Turn *turn, GError **error)
{
  GemRuntime *runtime = turn->job.runtime;
  GemSequenceState *sequence = turn->job.sequence;
  guint needed = turn->plan.prompt->len + 1;

  while (turn->plan.slide && sequence->tokens->len + needed > runtime->context &&
         gem_sequence_state_slide(runtime, sequence, gem_tokenizer_bos(runtime->tokenizer)) > 0) {
    turn->slides++;
  }
  if (sequence->tokens->len + needed > runtime->context) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED,
                "the prompt and one token need %u tokens, the context of %u has %u left", needed,
                runtime->context, runtime->context - sequence->tokens->len);
    return FALSE;
  }
  return TRUE;
}

/* What the turn's own rows are told from. */
static void
note_counts(Turn *turn)
{
  memcpy(turn->rows_before, turn->job.sequence->rows_by_pathway, sizeof turn->rows_before);
  turn->degraded_before = turn->job.sequence->degraded_rows;
}

/* What its owner's texts may not be routed to any more, since it is no longer shared, is not for the tokens
 * of earlier turns either. */
static void
forget_unshared(Turn *turn)
{
  const GemLearnedView *learned = turn->plan.routing.learned;

  gem_sequence_state_forget_pathways(turn->job.sequence,
                                     GEM_LEARNED_PATHWAYS & ~(learned != NULL ? learned->allowed : 0));
}

static gboolean
turn_prepare(GemJob *job, GError **error)
{
  Turn *turn = (Turn *)job;
  GemSequenceState *sequence = job->sequence;
  guint n = turn->plan.prompt->len;
  g_autofree float *probabilities = NULL;
  const GemRouting *routing = &turn->plan.routing;

  turn->started = g_get_monotonic_time();
  turn->first = sequence->tokens->len;
  note_counts(turn);
  forget_unshared(turn);
  if (job->required && routing->route != GEM_ROUTE_GENERAL &&
      !gem_room_expect(job->runtime, routing->route, error)) {
    return FALSE;
  }
  if (!slide_for_prompt(turn, error)) {
    return FALSE;
  }
  turn->first = sequence->tokens->len;
  turn->has_first = TRUE;
  probabilities = g_new0(float, (gsize)n *MAX(1, gem_routing_count_classes(job->runtime, routing)));
  if (!gem_sequence_state_append(job->runtime, sequence, (const guint32 *)(gpointer)turn->plan.prompt->data,
                                 n, routing, probabilities, error)) {
    return FALSE;
  }
  if (turn->plan.places != NULL) {
    post_prompt_routes(turn, probabilities);
  }
  job->outputs_from = sequence->tokens->len - 1;
  return TRUE;
}

static void
turn_output(GemJob *job, guint position, const float *logits)
{
  Turn *turn = (Turn *)job;

  turn->has_drawn = gem_sampler_pick(turn->plan.sampler, logits, job->runtime->vocab, &turn->drawn);
}

/* ---- decode ---- */

/* The bytes that the drawn token adds to the answer. */
static const char *
bytes_of_drawn(Turn *turn, gsize *ret_length)
{
  const char *bytes = gem_tokenizer_token_bytes(turn->job.runtime->tokenizer, turn->drawn, ret_length);

  if (turn->strip_space && *ret_length > 0) {
    turn->strip_space = FALSE;
    if (bytes[0] == ' ') {
      bytes++;
      (*ret_length)--;
    }
  }
  return bytes;
}

static void
finish(Turn *turn, GemFinishReason reason)
{
  turn->reason = reason;
  turn->job.done = TRUE;
}

/* After a token: is this the end, and if not, is there room for the next one? */
static void
look_for_end(Turn *turn, gboolean stopped)
{
  GemRuntime *runtime = turn->job.runtime;
  GemSequenceState *sequence = turn->job.sequence;

  if (stopped) {
    finish(turn, GEM_FINISH_STOP);
  } else if (turn->generated >= turn->plan.max_tokens) {
    finish(turn, GEM_FINISH_LIMIT);
  } else if (sequence->tokens->len >= runtime->context) {
    if (!turn->plan.slide) {
      finish(turn, GEM_FINISH_CONTEXT);
      return;
    }
    gem_sequence_state_slide(runtime, sequence, gem_tokenizer_bos(runtime->tokenizer));
    turn->slides++;
  }
}

/* Takes what was drawn: its bytes go through the text stream, the token waits to be appended. */
static gboolean
turn_advance(GemJob *job, GError **error)
{
  Turn *turn = (Turn *)job;

  if (turn->prefilled == 0) {
    turn->prefilled = g_get_monotonic_time();
  }
  if (!turn->has_drawn) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the model gave no finite logits");
    return FALSE;
  }
  turn->drawn_bytes = 0;
  turn->stopped = FALSE;
  if (turn->drawn != gem_tokenizer_eos(job->runtime->tokenizer)) {
    const char *bytes = bytes_of_drawn(turn, &turn->drawn_bytes);

    turn->stopped = gem_text_stream_push(turn->plan.text, bytes, turn->drawn_bytes, turn->shown);
  }
  job->next = turn->drawn;
  job->next_routing = turn->plan.routing;
  job->next_routing.causal = TRUE;
  job->has_next = TRUE;
  return TRUE;
}

/* Posts what the token that was appended adds to the answer. */
static void
show_drawn(Turn *turn, const float *probabilities)
{
  const GemSequenceState *sequence = turn->job.sequence;
  GPtrArray *routed = NULL;

  if (turn->plan.places != NULL) {
    routed = g_ptr_array_new_with_free_func((GDestroyNotify)gem_routed_token_free);
    g_ptr_array_add(routed,
                    gem_routed_token_new(turn->job.runtime, turn->plan.routing.learned, turn->drawn,
                                         turn->answer_bytes, turn->drawn_bytes,
                                         sequence->routes->data[sequence->tokens->len - 1], probabilities));
  }
  if (turn->shown->len > 0 || routed != NULL) {
    GString *text = turn->shown->len > 0 ? turn->shown : NULL;

    if (text != NULL) {
      turn->shown = g_string_new(NULL);
    }
    post_text(turn, text, routed);
  }
}

static void
turn_appended(GemJob *job, const float *probabilities)
{
  Turn *turn = (Turn *)job;

  show_drawn(turn, probabilities);
  turn->answer_bytes += turn->drawn_bytes;
  turn->generated++;
  job->deadline = 0; /* there is something of an answer */
  if (turn->drawn == gem_tokenizer_eos(job->runtime->tokenizer)) {
    finish(turn, GEM_FINISH_END);
    return;
  }
  look_for_end(turn, turn->stopped);
  job->outputs_from = job->sequence->tokens->len - 1;
}

/* ---- end ---- */

/* As if the turn had not been asked for. What the router remembers is made again for the next one: a copy for
 * each turn would be as much memory again. */
static void
roll_back(Turn *turn)
{
  if (turn->job.sequence->tokens->len > turn->first) {
    gem_sequence_state_truncate(turn->job.sequence, turn->first);
    gem_sequence_state_set_router(turn->job.runtime, turn->job.sequence, NULL);
  }
}

static GemFinishReason
reason_of_error(const GError *error)
{
  if (g_error_matches(error, GEM_ERROR, GEM_ERROR_CANCELLED)) {
    return GEM_FINISH_CANCELLED;
  }
  if (g_error_matches(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN)) {
    return GEM_FINISH_SHUTDOWN;
  }
  return GEM_FINISH_FAILED;
}

/* By names; those that `learned` (may be NULL) does not have as "learned". */
static GHashTable *
count_by_pathway(const Turn *turn, const GemLearnedView *learned)
{
  GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < GEM_MAX_PATHWAYS; i++) {
    const char *name = gem_route_name(turn->job.runtime->shape, learned, i);
    guint rows = turn->job.sequence->rows_by_pathway[i] - turn->rows_before[i];

    if (rows > 0) {
      rows += GPOINTER_TO_UINT(g_hash_table_lookup(table, name));
      g_hash_table_insert(table, g_strdup(name), GUINT_TO_POINTER(rows));
    }
  }
  return table;
}

static GemGenerateStats
make_stats(const Turn *turn)
{
  gint64 now = g_get_monotonic_time();
  gint64 started = turn->started > 0 ? turn->started : now;
  gint64 prefilled = turn->prefilled > 0 ? turn->prefilled : now;

  return (GemGenerateStats){
      .reason = turn->reason,
      .prompt_tokens = turn->plan.prompt->len,
      .generated_tokens = turn->generated,
      .slides = turn->slides,
      .prefill_seconds = (double)(prefilled - started) / G_USEC_PER_SEC,
      .decode_seconds = (double)(now - prefilled) / G_USEC_PER_SEC,
      .tokens_by_pathway = count_by_pathway(turn, turn->plan.routing.learned),
      .public_tokens_by_pathway = count_by_pathway(turn, NULL),
      .degraded_tokens = turn->job.sequence->degraded_rows - turn->degraded_before,
      .cache_bytes = gem_kv_cache_bytes(turn->job.sequence->cache),
  };
}

static void
turn_free(Turn *turn)
{
  gem_wipe_array(turn->plan.prompt);
  g_clear_pointer(&turn->plan.routing.learned, gem_learned_view_unref);
  gem_sampler_free(turn->plan.sampler);
  gem_text_stream_free(turn->plan.text);
  explicit_bzero(turn->shown->str, turn->shown->allocated_len);
  g_string_free(turn->shown, TRUE);
  g_clear_pointer(&turn->plan.places, g_array_unref);
  g_atomic_rc_box_release(turn->job.control);
  g_free(turn);
}

static void
turn_end(GemJob *job, GError *error)
{
  Turn *turn = (Turn *)job;
  GemTurnEvent *event = g_new0(GemTurnEvent, 1);

  if (turn->started == 0) {
    note_counts(turn);
  }
  if (error != NULL) {
    turn->reason = reason_of_error(error);
    if (turn->generated == 0 && turn->has_first) {
      roll_back(turn);
    }
  }
  if (turn->reason != GEM_FINISH_STOP && turn->reason != GEM_FINISH_CANCELLED) {
    g_autoptr(GString) rest = g_string_new(NULL);

    gem_text_stream_finish(turn->plan.text, rest);
    if (rest->len > 0) {
      post_text(turn, g_steal_pointer(&rest), NULL);
    }
  }
  event->last = TRUE;
  event->stats = make_stats(turn);
  event->tokens = job->sequence->tokens->len;
  if (turn->reason == GEM_FINISH_FAILED) {
    event->error = g_steal_pointer(&error);
  }
  g_clear_error(&error);
  gem_generation_post(turn->generation, event);
  turn_free(turn);
}

/* ---- start, on the main loop ---- */

/* After a control token the answer begins like a text, with the space that the tokenizer puts before it. */
static gboolean
answer_has_space(GemEngine *engine, const GArray *prompt)
{
  GemTokenizer *tokenizer = engine->runtime->tokenizer;
  g_autoptr(GemTokenArray) sample = gem_engine_encode_plain(engine, "a", NULL, NULL);
  const char *bytes;
  gsize length;

  if (sample == NULL || !gem_tokenizer_is_control(tokenizer, token_at(prompt, prompt->len - 1))) {
    return FALSE;
  }
  bytes = gem_tokenizer_token_bytes(tokenizer, token_at(sample, 0), &length);
  return length > 0 && bytes[0] == ' ';
}

void
gem_turn_start(GemGeneration *generation, GemTurnPlan *plan)
{
  static const GemJobClass class = {.prepare = turn_prepare,
                                    .output = turn_output,
                                    .advance = turn_advance,
                                    .appended = turn_appended,
                                    .end = turn_end};
  GemEngine *engine = generation->sequence->engine;
  Turn *turn = g_new0(Turn, 1);

  turn->job.class = &class;
  turn->job.sequence = generation->sequence->state;
  turn->job.owner = generation->sequence->owner;
  turn->job.batch = plan->batch;
  turn->job.deadline = plan->deadline;
  turn->job.learned = plan->routing.learned != NULL ? plan->routing.learned->set : 0;
  turn->job.degrade = plan->routing.degrade;
  turn->job.required = plan->routing.forced && !plan->routing.degrade;
  turn->job.control = g_atomic_rc_box_acquire(generation->control);
  turn->generation = generation;
  turn->plan = *plan;
  turn->shown = g_string_new(NULL);
  turn->strip_space = answer_has_space(engine, plan->prompt);
  gem_engine_submit(engine, &turn->job);
}
