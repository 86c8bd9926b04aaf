#include "training/gem-pretrain-draw.h"

#include <string.h>

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

void
gem_pretrain_draw_append(
    const GemPretrainDraw *self, const GemDraw *draw, GemRandom *random, GArray *window, GemBatch *batch)
{
  const GemPretrainDrawOptions *options = &self->options;
  g_array_set_size(window, 0);
  guint shift = draw->at_start ? 0 : 1;
  if (shift) {
    g_array_append_val(window, self->bos);
  }
  g_array_append_vals(window, draw->tokens, draw->n);
  /* drawn in any case, so that the model to compare with sees the same text */
  gboolean dropped = gem_random_uniform(random) < options->residual_dropout || options->general_only;
  gsize first = batch->n, answer = (gsize)draw->answer + shift, gone = 0;
  /* a window without the answer has nothing else to learn */
  gboolean answer_alone = draw->is_task && answer < window->len && options->input_share < 1.0 &&
                          gem_random_uniform(random) >= options->input_share;
  if (answer_alone && options->input_dropout > 0.0) {
    gone = gem_ask_frame_drop(&self->frame, window, (guint)answer, options->input_dropout, random);
    answer -= gone;
  }
  gem_batch_append(batch, (const guint32 *)(gpointer)window->data, window->len,
                   dropped ? GEM_ROUTE_GENERAL : draw->domain, 1.0f);
  if (answer_alone) {
    memset(batch->weight + first, 0, window->len * sizeof(float));
  }
  gboolean is_choice = draw->is_task && append_forks(options, draw, first + shift - gone, batch);
  for (gsize i = answer; draw->is_task && i < window->len; i++) {
    /* token i - 1 predicts token i */
    batch->weight[first + i - 1] = answer_token_weight(options, window->len - answer, is_choice);
  }
  /* the router reads the prompt both ways and what follows causally; a document, up to a point by chance */
  gsize n_sequences = gem_batch_n_sequences(batch);
  batch->prefix[n_sequences - 1] =
      draw->is_task ? (guint32)answer : (guint32)gem_random_below(random, window->len);
}
