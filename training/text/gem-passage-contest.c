#include "training/text/gem-passage-contest.h"

#include <string.h>

#define LEAST_PASSAGE  16u
#define MOST_PASSAGE   192u
#define LEAST_SENTENCE 4u
#define MOST_SENTENCE  48u
#define TRIES_A_RIVAL  16u

/* Tokens of a text: a sentence, or what stands before it. */
typedef struct {
  const guint32 *tokens;
  guint n;
} Span;

/* The last byte of a piece, that of a byte token one of them; 0: none. */
static char
last_byte(const char *piece)
{
  gsize length = strlen(piece);
  gboolean is_byte = length == 6 && g_str_has_prefix(piece, "<0x");
  return is_byte ? (char)g_ascii_strtoull(piece + 3, NULL, 16) : (length > 0 ? piece[length - 1] : '\0');
}

void
gem_sentences_init(GemSentences *self, GemTokenizer *tokenizer)
{
  guint n = gem_tokenizer_n_tokens(tokenizer);
  self->ends = g_new0(guint8, n);
  self->bos = gem_tokenizer_bos(tokenizer);
  self->eos = gem_tokenizer_eos(tokenizer);
  for (guint32 t = 0; t < n; t++) {
    const char *piece = gem_tokenizer_token_piece(tokenizer, t);
    char last = last_byte(piece);
    self->ends[t] = (last != '\0' && strchr(".!?\n", last) != NULL) || g_str_has_suffix(piece, "。");
  }
}

void
gem_sentences_clear(GemSentences *self)
{
  g_clear_pointer(&self->ends, g_free);
}

/* The sentence that begins at tokens[at]; n 0: none that is neither too short nor too long before `end`. */
static Span
sentence_at(const GemSentences *self, const guint32 *tokens, gsize at, gsize end)
{
  for (gsize i = at; i < end && i - at < MOST_SENTENCE; i++) {
    if (tokens[i] == self->bos || tokens[i] == self->eos) {
      break;
    }
    if (self->ends[tokens[i]] && i + 1 - at >= LEAST_SENTENCE) {
      return (Span){tokens + at, (guint)(i + 1 - at)};
    }
  }
  return (Span){NULL, 0};
}

/* A sentence of the window with enough before it, each with the same chance; n 0: there is none. */
static Span
draw_sentence(const GemSentences *self, const GemDraw *draw, GemRandom *random)
{
  Span drawn = {NULL, 0};
  guint n = 0;
  for (guint i = LEAST_PASSAGE; i < draw->n; i++) {
    Span sentence =
        self->ends[draw->tokens[i - 1]] ? sentence_at(self, draw->tokens, i, draw->n) : (Span){NULL, 0};
    if (sentence.n > 0 && gem_random_below(random, ++n) == 0) {
      drawn = sentence;
    }
  }
  return drawn;
}

/* A sentence of another document of the draw's source; n 0: none was found soon. */
static Span
draw_rival(const GemSentences *self, const GemDraw *draw, GemRandom *random)
{
  const guint32 *tokens = (const guint32 *)(gpointer)draw->source->tokens->data;
  gsize end = draw->source->tokens->len, own = draw->document->first;
  for (guint try = 0; try < TRIES_A_RIVAL; try++) {
    gsize at = gem_random_below(random, end), first = at;
    while (at < end && at - first < MOST_SENTENCE && !self->ends[tokens[at]]) {
      at++;
    }
    /* it begins as the right one does, after an end: else that would tell them apart */
    gboolean begins = at < end && self->ends[tokens[at]];
    Span sentence = begins ? sentence_at(self, tokens, at + 1, end) : (Span){NULL, 0};
    if (sentence.n > 0 && (at < own || at >= own + draw->document->length)) {
      return sentence;
    }
  }
  return (Span){NULL, 0};
}

guint
gem_passage_contest_least_sequence(const GemAskFrame *frame)
{
  return frame->head->len + LEAST_PASSAGE + frame->tail->len + MOST_SENTENCE + 1;
}

static void
append_choice(const GemSentences *self,
              Span choice,
              guint answer,
              gint8 route,
              float weight,
              GArray *window,
              GemBatch *batch)
{
  g_array_set_size(window, answer);
  g_array_append_vals(window, choice.tokens, choice.n);
  g_array_append_val(window, self->eos);
  gem_batch_append(batch, (const guint32 *)(gpointer)window->data, window->len, route, weight);
  batch->prefix[gem_batch_n_sequences(batch) - 1] = answer;
}

gboolean
gem_passage_contest_append(const GemSentences *sentences,
                           const GemAskFrame *frame,
                           const GemPassageOptions *options,
                           const GemDraw *draw,
                           gint8 route,
                           GemRandom *random,
                           GArray *window,
                           GemBatch *batch)
{
  Span right = draw_sentence(sentences, draw, random);
  if (right.n == 0) {
    return FALSE;
  }
  /* a document's <s> is the frame's */
  guint begin = draw->tokens[0] == sentences->bos ? 1 : 0, end = (guint)(right.tokens - draw->tokens);
  guint around = frame->head->len + frame->tail->len + MOST_SENTENCE + 1,
        most = options->longest > around ? MIN(options->longest - around, MOST_PASSAGE) : 0;
  if (most < LEAST_PASSAGE) {
    return FALSE; /* gem_passage_contest_least_sequence() */
  }
  begin = MAX(begin, end > most ? end - most : 0);
  g_array_set_size(window, 0);
  gem_ask_frame_append(frame, draw->tokens + begin, end - begin, window);
  guint answer = window->len, rivals = 0;
  if (gem_batch_room(batch) < 2 * (answer + MOST_SENTENCE + 1)) {
    return FALSE;
  }
  append_choice(sentences, right, answer, route, 1.0f, window, batch);
  while (rivals < options->most_rivals && gem_batch_room(batch) >= answer + MOST_SENTENCE + 1) {
    Span rival = draw_rival(sentences, draw, random);
    if (rival.n == 0) {
      break;
    }
    append_choice(sentences, rival, answer, route, 0.0f, window, batch);
    rivals++;
  }
  if (rivals > 0) {
    gem_batch_add_contest(batch, rivals + 1, answer, options->weight);
  }
  return TRUE;
}
