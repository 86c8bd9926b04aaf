#include "training/text/gem-pretrain-draw.h"

#include <string.h>

#include "training/text/gem-copies.h"

/* Of one of the `n` tokens of an answer: a short answer, which is a label as a rule, would else be lost among
 * its input's tokens. One that is taught as a choice is not. */
static float
answer_token_weight(const GemPretrainDrawOptions *options, gsize n, gboolean is_choice)
{
  double least = is_choice ? 0.0 : options->answer_least / (double)n;
  return (float)MAX(options->answer_weight, least);
}

/* The forks of the answer that the window holds; token i of the draw is token first + i of the batch, but for
 * those of the input that are gone. Together they have the weight of one choice. Returns whether there are
 * any. */
static gboolean
append_forks(const GemPretrainDrawOptions *options, const GemDraw *draw, gsize first, GemBatch *batch)
{
  const GemForks *forks = draw->source->forks;
  const guint32 *tokens = (const guint32 *)(gpointer)draw->source->tokens->data;
  guint n = options->choice_weight > 0.0 && draw->answer < draw->n ? draw->document->n_forks : 0,
        in_window = 0;
  for (guint pass = 0; pass < 2; pass++) {
    for (guint i = 0; i < n; i++) {
      const GemFork *fork = &g_array_index(forks->places, GemFork, draw->document->first_fork + i);
      gsize at = fork->at - (gsize)(draw->tokens - tokens); /* in the window; token at - 1 predicts it */
      if (at > 0 && at < draw->n && pass == 0) {
        in_window++;
      } else if (at > 0 && at < draw->n) {
        gem_batch_add_fork(batch, (guint32)(first + at - 1),
                           &g_array_index(forks->others, guint32, fork->first), fork->n,
                           (float)(options->choice_weight / in_window));
      }
    }
  }
  return in_window > 0;
}

/* Whether the window ends where the document does, with the whole answer in it. */
static gboolean
holds_answer(const GemDraw *draw)
{
  const guint32 *tokens = (const guint32 *)(gpointer)draw->source->tokens->data;
  return draw->answer < draw->n &&
         draw->tokens + draw->n == tokens + draw->document->first + draw->document->length;
}

/* After the sequence of the right choice, whose first `answer` tokens are those of `window`: sequences of
 * others, drawn by chance, those of them that have room. Returns whether there are any: a contest then. */
static gboolean
append_contest(const GemPretrainDrawOptions *options,
               const GemDraw *draw,
               guint answer,
               gint8 route,
               GemRandom *random,
               GArray *window,
               GemBatch *batch)
{
  const GemSource *source = draw->source;
  guint n = options->contest_weight > 0.0 && answer > 0 && holds_answer(draw) ? draw->document->n_rivals : 0;
  guint wanted = MIN(n, options->most_rivals), taken = 0;
  for (guint i = 0; i < n && taken < wanted; i++) {
    const GemRival *rival = &g_array_index(source->rivals, GemRival, draw->document->first_rival + i);
    if (gem_random_below(random, n - i) >= wanted - taken ||
        answer + rival->n > MIN((gsize)options->longest, gem_batch_room(batch))) {
      continue;
    }
    g_array_set_size(window, answer);
    g_array_append_vals(window, &g_array_index(source->rival_tokens, guint32, rival->first), rival->n);
    gem_batch_append(batch, (const guint32 *)(gpointer)window->data, window->len, route, 0.0f);
    batch->prefix[gem_batch_n_sequences(batch) - 1] = answer;
    taken++;
  }
  if (taken > 0) {
    gem_batch_add_contest(batch, taken + 1, answer, (float)options->contest_weight);
  }
  return taken > 0;
}

/* Of the corpus, by chance: a passage and which sentence comes next. */
static gboolean
append_passage(const GemPretrainDraw *self,
               const GemDraw *draw,
               gint8 route,
               GemRandom *random,
               GArray *window,
               GemBatch *batch)
{
  const GemPassageOptions passage = {self->options.most_rivals, self->options.longest,
                                     (float)self->options.contest_weight};
  return !draw->is_task && self->sentences != NULL && self->options.passage_share > 0.0 &&
         gem_random_uniform(random) < self->options.passage_share &&
         gem_passage_contest_append(self->sentences, &self->frame, &passage, draw, route, random, window,
                                    batch);
}

/* Of the corpus, by chance: a passage and pieces of it. */
static gboolean
append_copies(const GemPretrainDraw *self,
              const GemDraw *draw,
              gint8 route,
              GemRandom *random,
              GArray *window,
              GemBatch *batch)
{
  return !draw->is_task && self->options.copy_share > 0.0 &&
         gem_random_uniform(random) < self->options.copy_share &&
         gem_copies_append(draw, self->bos, self->options.longest, route, random, window, batch);
}

void
gem_pretrain_draw_append(
    const GemPretrainDraw *self, const GemDraw *draw, GemRandom *random, GArray *window, GemBatch *batch)
{
  const GemPretrainDrawOptions *options = &self->options;
  /* drawn in any case, so that the model to compare with sees the same text */
  gboolean dropped = gem_random_uniform(random) < options->residual_dropout || options->general_only;
  gint8 route = dropped ? GEM_ROUTE_GENERAL : draw->domain;
  if (append_passage(self, draw, route, random, window, batch) ||
      append_copies(self, draw, route, random, window, batch)) {
    return;
  }
  g_array_set_size(window, 0);
  guint shift = draw->at_start ? 0 : 1;
  if (shift) {
    g_array_append_val(window, self->bos);
  }
  g_array_append_vals(window, draw->tokens, draw->n);
  gsize first = batch->n, answer = (gsize)draw->answer + shift, gone = 0;
  /* a window without the answer has nothing else to learn */
  gboolean answer_alone = draw->is_task && answer < window->len && options->input_share < 1.0 &&
                          gem_random_uniform(random) >= options->input_share;
  if (answer_alone && options->input_dropout > 0.0) {
    gone = gem_ask_frame_drop(&self->frame, window, (guint)answer, options->input_dropout, random);
    answer -= gone;
  }
  gem_batch_append(batch, (const guint32 *)(gpointer)window->data, window->len, route, 1.0f);
  if (answer_alone) {
    memset(batch->weight + first, 0, window->len * sizeof(float));
  }
  /* the router reads the prompt both ways and what follows causally; a document, up to a point by chance */
  gsize n_sequences = gem_batch_n_sequences(batch), n = window->len;
  batch->prefix[n_sequences - 1] =
      draw->is_task ? (guint32)answer : (guint32)gem_random_below(random, window->len);
  gboolean is_choice =
      draw->is_task && (append_contest(options, draw, (guint)answer, route, random, window, batch) ||
                        append_forks(options, draw, first + shift - gone, batch));
  for (gsize i = answer; draw->is_task && i < n; i++) {
    /* token i - 1 predicts token i */
    batch->weight[first + i - 1] = answer_token_weight(options, n - answer, is_choice);
  }
}
