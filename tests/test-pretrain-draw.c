/* Draws as sequences of a batch: where weights and forks stand, and what is left out. */
#include "tests/gem-test-model.h"
#include "tests/gem-test-training.h"
#include "training/network/gem-presets.h"
#include "training/text/gem-pretrain-draw.h"

#define LENGTH 60u /* tokens of the input: 300, 301, ... */
#define BEFORE 7u  /* tokens of another document before the line */
#define BOS    1u

/* <s><|user|> input <|model|> 7 8 9 </s>, where 7 may be 17 or 27 and 9 may be 19; or else 17 </s>, 27 28
 * </s> or 7 8 19 </s>. */
typedef struct {
  GemAskFrame frame;
  GemSource source;
  GemDocument document;
} Line;

static void
line_init(Line *self)
{
  g_autoptr(GemTokenizer) tokenizer = gem_test_byte_tokenizer_new();
  const guint32 answer[] = {7, 8, 9, 2}, rivals[] = {17, 2, 27, 28, 2, 7, 8, 19, 2};
  const GemRival places[] = {{0, 2}, {2, 3}, {5, 4}};
  guint32 text[LENGTH];
  *self = (Line){.source = {.is_task = TRUE, .domain = 2}};
  g_assert_true(gem_ask_frame_init(&self->frame, tokenizer, GEM_PRESET_ASK_TEMPLATE, NULL));
  self->source.tokens = g_array_new(FALSE, TRUE, sizeof(guint32));
  self->source.forks = gem_forks_new();
  self->source.rivals = g_array_new(FALSE, FALSE, sizeof(GemRival));
  self->source.rival_tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_vals(self->source.rival_tokens, rivals, G_N_ELEMENTS(rivals));
  g_array_append_vals(self->source.rivals, places, G_N_ELEMENTS(places));
  g_array_set_size(self->source.tokens, BEFORE);
  for (guint32 i = 0; i < LENGTH; i++) {
    text[i] = 300 + i;
  }
  gem_ask_frame_append(&self->frame, text, LENGTH, self->source.tokens);
  guint at = self->source.tokens->len;
  gem_forks_add(self->source.forks, at, (const guint32[]){17, 27}, 2);
  gem_forks_add(self->source.forks, at + 2, (const guint32[]){19}, 1);
  g_array_append_vals(self->source.tokens, answer, G_N_ELEMENTS(answer));
  self->document = (GemDocument){BEFORE, self->source.tokens->len - BEFORE, at - BEFORE, 0, 2, 0, 3};
}

static void
line_clear(Line *self)
{
  gem_ask_frame_clear(&self->frame);
  g_array_unref(self->source.tokens);
  gem_forks_free(self->source.forks);
  g_array_unref(self->source.rivals);
  g_array_unref(self->source.rival_tokens);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Line, line_clear)

/* The line without its first `skipped` tokens, as a draw. */
static GemDraw
line_draw(const Line *self, guint skipped)
{
  const guint32 *tokens = (const guint32 *)(gpointer)self->source.tokens->data;
  return (GemDraw){.tokens = tokens + BEFORE + skipped,
                   .n = self->document.length - skipped,
                   .answer = self->document.answer - skipped,
                   .at_start = skipped == 0,
                   .source = &self->source,
                   .document = &self->document,
                   .domain = self->source.domain,
                   .is_task = TRUE};
}

/* The only row whose target is `target`. */
static gsize
row_before(const GemBatch *batch, gsize first, gint32 target)
{
  gsize found = G_MAXSIZE;
  for (gsize i = first; i < batch->n; i++) {
    g_assert_true(batch->target[i] != target || found == G_MAXSIZE);
    found = batch->target[i] == target ? i : found;
  }
  g_assert_cmpuint(found, !=, G_MAXSIZE);
  return found;
}

/* The last sequence of the batch: the answer's tokens alone have weight, and its forks stand at the rows
 * whose targets they are told from. */
static void
check_sequence(const GemBatch *batch, gsize first)
{
  static const gint32 answer[] = {7, 8, 9, 2};
  for (gsize i = 0; i < G_N_ELEMENTS(answer); i++) {
    g_assert_cmpuint(row_before(batch, first, answer[i]), ==, batch->n - 1 - G_N_ELEMENTS(answer) + i);
  }
  for (gsize i = first; i < batch->n; i++) {
    gboolean learned = i + 1 + G_N_ELEMENTS(answer) >= batch->n && i + 1 < batch->n;
    g_assert_cmpfloat(batch->weight[i], ==, learned ? 3.0f : 0.0f);
  }
  const GemFork *forks =
      (const GemFork *)(gpointer)batch->forks->places->data + batch->forks->places->len - 2;
  g_assert_cmpuint(forks[0].at, ==, row_before(batch, first, 7));
  g_assert_cmpuint(forks[1].at, ==, row_before(batch, first, 9));
  g_assert_cmpuint(g_array_index(batch->forks->others, guint32, forks[0].first), ==, 17);
  g_assert_cmpuint(g_array_index(batch->forks->others, guint32, forks[1].first), ==, 19);
  g_assert_cmpfloat(g_array_index(batch->fork_weight, float, batch->fork_weight->len - 1), ==, 5.0f);
  /* the router reads up to the answer both ways */
  g_assert_cmpuint(batch->prefix[gem_batch_n_sequences(batch) - 1], ==,
                   batch->n - first - G_N_ELEMENTS(answer));
}

/* Whole lines and windows that begin in the input, of which tokens are left out. */
static void
test_input_dropout(void)
{
  g_auto(Line) line = {0};
  g_autoptr(GemBatch) batch = gem_batch_new(1024);
  g_autoptr(GArray) window = g_array_new(FALSE, FALSE, sizeof(guint32));
  GemRandom random = gem_random_seeded(5, 0);
  line_init(&line);
  const GemPretrainDraw draw = {{.input_share = 0.0,
                                 .input_dropout = 0.5,
                                 .answer_weight = 3.0,
                                 .answer_least = 90.0,
                                 .choice_weight = 10.0},
                                BOS,
                                line.frame};
  const guint skipped[] = {0, 10, 20, 0};
  for (gsize i = 0; i < G_N_ELEMENTS(skipped); i++) {
    GemDraw drawn = line_draw(&line, skipped[i]);
    gsize first = batch->n;
    gem_pretrain_draw_append(&draw, &drawn, &random, window, batch);
    gsize whole = drawn.n + (skipped[i] > 0 ? 1 : 0);
    g_assert_cmpuint(batch->token[first], ==, BOS);
    g_assert_cmpuint(batch->n - first, <, whole - 5);
    g_assert_cmpuint(batch->n - first, >, 8);
    g_assert_cmpint(batch->route[first], ==, 2);
    check_sequence(batch, first);
  }
  g_assert_cmpuint(batch->forks->places->len, ==, 2 * G_N_ELEMENTS(skipped));
}

/* An input that is learned is whole, whatever is dropped of the others. */
static void
test_input_learned(void)
{
  g_auto(Line) line = {0};
  g_autoptr(GemBatch) batch = gem_batch_new(128);
  g_autoptr(GArray) window = g_array_new(FALSE, FALSE, sizeof(guint32));
  GemRandom random = gem_random_seeded(5, 0);
  line_init(&line);
  const GemPretrainDraw draw = {{.input_share = 1.0,
                                 .input_dropout = 0.5,
                                 .answer_weight = 3.0,
                                 .answer_least = 90.0,
                                 .general_only = TRUE},
                                BOS,
                                line.frame};
  GemDraw drawn = line_draw(&line, 0);
  gem_pretrain_draw_append(&draw, &drawn, &random, window, batch);
  g_assert_cmpuint(batch->n, ==, drawn.n);
  g_assert_cmpuint(batch->forks->places->len, ==, 0);
  g_assert_cmpint(batch->route[0], ==, GEM_ROUTE_GENERAL);
  gsize answer = row_before(batch, 0, 7);
  for (gsize i = 0; i + 1 < batch->n; i++) { /* 4 tokens weigh 90 together */
    g_assert_cmpfloat(batch->weight[i], ==, i < answer ? 1.0f : 22.5f);
  }
}

/* A sequence of the batch is the line's prompt and one of its rivals, which has no weight of its own. Returns
 * which. */
static guint
check_rival(const GemBatch *batch, guint sequence, gsize prompt)
{
  static const gint32 firsts[] = {17, 27, 7};
  static const guint lengths[] = {2, 3, 4};
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data + sequence;
  guint which = G_N_ELEMENTS(firsts);
  for (guint i = 0; i < G_N_ELEMENTS(firsts); i++) {
    which = batch->target[start[0] + prompt - 1] == firsts[i] ? i : which;
  }
  g_assert_cmpuint(which, <, G_N_ELEMENTS(firsts));
  g_assert_cmpuint(start[1] - start[0], ==, prompt + lengths[which]);
  g_assert_cmpmem(batch->token + start[0], prompt * sizeof(guint32), batch->token, prompt * sizeof(guint32));
  for (guint32 i = start[0]; i < start[1]; i++) {
    g_assert_cmpfloat(batch->weight[i], ==, 0.0f);
    g_assert_cmpint(batch->route[i], ==, 2);
  }
  g_assert_cmpuint(batch->prefix[sequence], ==, prompt);
  return which;
}

/* Other choices follow the right one, as many as are wanted and fit, all of them in turn; then nothing is
 * taught where they part. */
static void
test_contest(void)
{
  g_auto(Line) line = {0};
  g_autoptr(GemBatch) batch = gem_batch_new(1024);
  g_autoptr(GArray) window = g_array_new(FALSE, FALSE, sizeof(guint32));
  GemRandom random = gem_random_seeded(5, 0);
  guint seen[3] = {0};
  line_init(&line);
  GemPretrainDraw draw = {{.answer_weight = 3.0,
                           .answer_least = 90.0,
                           .choice_weight = 10.0,
                           .contest_weight = 20.0,
                           .most_rivals = 2,
                           .longest = 1000},
                          BOS,
                          line.frame};
  for (guint round = 0; round < 30; round++) {
    /* whole lines, later windows, and inputs of which tokens are left out */
    guint skipped = round % 3 == 1 ? 10 : 0;
    GemDraw drawn = line_draw(&line, skipped);
    draw.options.input_dropout = round % 3 == 2 ? 0.5 : 0.0;
    gem_batch_clear(batch);
    gem_pretrain_draw_append(&draw, &drawn, &random, window, batch);
    g_assert_cmpuint(gem_batch_n_sequences(batch), ==, 3);
    g_assert_cmpuint(batch->forks->places->len, ==, 0);
    g_assert_cmpuint(batch->contests->len, ==, 1);
    const GemContest *contest = &g_array_index(batch->contests, GemContest, 0);
    const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
    g_assert_cmpuint(contest->sequence, ==, 0);
    g_assert_cmpuint(contest->n, ==, 3);
    g_assert_cmpuint(contest->answer, ==, start[1] - 4);
    g_assert_cmpint(batch->target[contest->answer - 1], ==, 7);
    gboolean whole = contest->answer == drawn.answer + (skipped > 0 ? 1 : 0);
    g_assert_true(whole == (round % 3 != 2));
    g_assert_cmpfloat(batch->weight[contest->answer - 1], ==, 3.0f);
    guint first = check_rival(batch, 1, contest->answer), second = check_rival(batch, 2, contest->answer);
    g_assert_cmpuint(first, <, second);
    seen[first]++;
    seen[second]++;
    g_assert_cmpfloat((float)gem_batch_total_weight(batch), ==, 4 * 3.0f + 20.0f);
  }
  g_assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
}

/* Where no other choice has room or is short enough, or the answer is not whole, it is taught by its forks.
 */
static void
test_no_contest(void)
{
  g_auto(Line) line = {0};
  g_autoptr(GArray) window = g_array_new(FALSE, FALSE, sizeof(guint32));
  GemRandom random = gem_random_seeded(5, 0);
  line_init(&line);
  g_autoptr(GemBatch) small = gem_batch_new(line.document.length + 40);
  g_autoptr(GemBatch) large = gem_batch_new(1024);
  const GemPretrainDraw draw = {{.answer_weight = 3.0,
                                 .choice_weight = 10.0,
                                 .contest_weight = 20.0,
                                 .most_rivals = 3,
                                 .longest = 1000},
                                BOS,
                                line.frame};
  GemDraw drawn = line_draw(&line, 0);
  GemPretrainDraw shorter = draw;
  shorter.options.longest = drawn.answer + 1; /* all others have two tokens or more */
  gem_pretrain_draw_append(&draw, &drawn, &random, window, small);
  g_assert_cmpuint(small->contests->len, ==, 0);
  g_assert_cmpuint(small->forks->places->len, ==, 2);
  gem_pretrain_draw_append(&shorter, &drawn, &random, window, large);
  g_assert_cmpuint(large->contests->len, ==, 0);
  gem_batch_clear(large);
  drawn.n--;
  gem_pretrain_draw_append(&draw, &drawn, &random, window, large);
  g_assert_cmpuint(large->contests->len, ==, 0);
  g_assert_cmpuint(large->forks->places->len, ==, 2);
}

/* A corpus of two documents of 30 sentences of 6 tokens each, whose last is STOP; tokens tell where they
 * stand: 1000 + place. */
enum { STOP = 50, SENTENCE = 6, SENTENCES = 30 };

static void
write_documents(GemSource *source, GemDocument documents[2])
{
  source->tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint d = 0; d < 2; d++) {
    guint32 token = BOS, first = source->tokens->len;
    g_array_append_val(source->tokens, token);
    for (guint i = 1; i <= SENTENCE * SENTENCES; i++) {
      token = i % SENTENCE == 0 ? STOP : 1000 + first + i;
      g_array_append_val(source->tokens, token);
    }
    token = 2;
    g_array_append_val(source->tokens, token);
    documents[d] = (GemDocument){.first = first, .length = source->tokens->len - first};
  }
}

/* The place in the source of a sequence's choice, which must be a whole sentence with the end after it. */
static guint32
check_sentence(const GemBatch *batch, guint sequence, guint answer)
{
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data + sequence,
                *choice = batch->token + start[0] + answer;
  g_assert_cmpuint(start[1] - start[0] - answer, ==, SENTENCE + 1);
  for (guint i = 1; i + 1 < SENTENCE; i++) {
    g_assert_cmpuint(choice[i], ==, choice[0] + i);
  }
  g_assert_cmpuint(choice[SENTENCE - 1], ==, STOP);
  g_assert_cmpuint(choice[SENTENCE], ==, 2);
  g_assert_cmpuint(batch->prefix[sequence], ==, answer);
  return choice[0] - 1000;
}

/* A passage in the frame, the sentence after it, and others after the same; what has no sentences is read as
 * it is. */
static void
test_passage(void)
{
  g_auto(Line) line = {0};
  g_autoptr(GemBatch) batch = gem_batch_new(2048);
  g_autoptr(GArray) window = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autofree guint8 *ends = g_new0(guint8, 2000);
  GemRandom random = gem_random_seeded(5, 0);
  GemSource source = {.name = (char *)"legal", .domain = 2};
  GemDocument documents[2];
  line_init(&line);
  write_documents(&source, documents);
  ends[STOP] = 1;
  const GemSentences sentences = {ends, BOS, 2};
  const GemPretrainDraw draw = {
      {.contest_weight = 20.0, .most_rivals = 3, .longest = 100, .passage_share = 1.0},
      BOS,
      line.frame,
      &sentences};
  const guint32 *tokens = (const guint32 *)(gpointer)source.tokens->data;
  for (guint round = 0; round < 30; round++) {
    const GemDocument *document = &documents[round % 2];
    const GemDraw drawn = {.tokens = tokens + document->first,
                           .n = document->length,
                           .answer = document->length,
                           .at_start = TRUE,
                           .source = &source,
                           .document = document,
                           .domain = 2};
    gem_batch_clear(batch);
    gem_pretrain_draw_append(&draw, &drawn, &random, window, batch);
    g_assert_cmpuint(batch->contests->len, ==, 1);
    const GemContest *contest = &g_array_index(batch->contests, GemContest, 0);
    g_assert_cmpuint(contest->n, ==, 4);
    g_assert_cmpuint(gem_batch_n_sequences(batch), ==, 4);
    g_assert_cmpuint(contest->answer, <=, 100 - SENTENCE - 1);
    guint32 right = check_sentence(batch, 0, contest->answer);
    guint last = contest->answer - line.frame.tail->len - 1; /* of the passage, which ends a sentence */
    g_assert_cmpuint(batch->token[last], ==, STOP);
    g_assert_cmpuint(batch->token[last - 1], ==, 1000 + right - 2);
    g_assert_cmpuint(batch->token[line.frame.head->len], >=, 1000 + document->first + 1);
    for (guint s = 1; s < 4; s++) {
      guint32 place = check_sentence(batch, s, contest->answer);
      g_assert_true(place / documents[1].first != right / documents[1].first); /* of the other document */
    }
  }
  ends[STOP] = 0;
  const GemDraw drawn = {
      .tokens = tokens, .n = 60, .answer = 60, .at_start = TRUE, .source = &source, .document = documents};
  gem_batch_clear(batch);
  gem_pretrain_draw_append(&draw, &drawn, &random, window, batch);
  g_assert_cmpuint(gem_batch_n_sequences(batch), ==, 1);
  g_assert_cmpuint(batch->n, ==, 60);
  g_assert_cmpuint(batch->contests->len, ==, 0);
  g_array_unref(source.tokens);
}

/* Tokens that end as a sentence does, one that stands for a byte among them. */
static void
test_sentences(void)
{
  g_autoptr(GemTokenizer) tokenizer = gem_test_byte_tokenizer_new();
  g_auto(GemSentences) sentences = {0};
  gem_sentences_init(&sentences, tokenizer);
  for (guint byte = 0; byte < 256; byte++) {
    gboolean ends = byte == '.' || byte == '!' || byte == '?' || byte == '\n';
    g_assert_cmpint(sentences.ends[GEM_TEST_BYTES + byte] != 0, ==, ends);
  }
  g_assert_cmpuint(sentences.bos, ==, gem_tokenizer_bos(tokenizer));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pretrain-draw/input-dropout", test_input_dropout);
  g_test_add_func("/pretrain-draw/input-learned", test_input_learned);
  g_test_add_func("/pretrain-draw/contest", test_contest);
  g_test_add_func("/pretrain-draw/no-contest", test_no_contest);
  g_test_add_func("/pretrain-draw/passage", test_passage);
  g_test_add_func("/pretrain-draw/sentences", test_sentences);
  return g_test_run();
}
