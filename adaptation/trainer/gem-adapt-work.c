#include "adaptation/trainer/gem-adapt-work.h"

#include <math.h>
#include <string.h>

#include "adaptation/gem-adapt-fields.h"
#include "adaptation/trainer/gem-adapt-bias.h"
#include "adaptation/trainer/gem-adapt-learn.h"
#include "adaptation/trainer/gem-adapt-measure.h"
#include "adaptation/trainer/gem-adapt-memory.h"
#include "adaptation/trainer/gem-adapt-near.h"
#include "adaptation/trainer/gem-adapt-origin.h"
#include "adaptation/trainer/gem-adapt-output.h"
#include "adaptation/trainer/gem-adapt-row.h"
#include "adaptation/trainer/gem-adapt-text-check.h"
#include "format/gem-sha256.h"

#define MOST_TEXT ((guint64)64 << 20) /* bytes */
/* Tokens of held-out text that are measured: more would take time, and tell no more. */
#define MOST_MEASURED 40000u
/* Of the time that there is, what is kept for what nobody foresees. */
#define RESERVE 0.05
/* What looking at what was learned takes, in times of the first measurement: the same again, and the search
 * for the bias. */
#define CHECKING 4.0

/* Where on the way of the whole each phase ends. */
#define READ_SHARE     0.02
#define HELD_OUT_SHARE 0.04
#define OTHERS_SHARE   0.06
#define MEASURED_SHARE 0.08
#define LEARNED_SHARE  0.92
#define LOOKED_SHARE   0.95
#define CHOSEN_SHARE   0.98

typedef struct {
  const GemAdaptStart *start;
  GCancellable *cancellable;
  GemAdaptWorkProgress progress;
  gpointer data;
  gint64 started;

  GemAdaptModel *model;
  GemAdaptDocuments *documents;
  GemAdaptReplay *replay;
  char *identity;
  guint n_lanes;
  GemLanes *lanes;
  GArray *held_out;                         /* GemAdaptText, evenly picked */
  float *row;                               /* [router width + 1] */
  GemAdaptSums *own_before, *own_after;     /* [held_out] */
  GemAdaptSums *other_before, *other_after; /* [replay->kept] */
  GemAdaptWatch watch;
  guint64 steps;

  GemAdaptPhase phase; /* what the shares below are of */
  double from, to;
} Work;

static void
work_clear(Work *self)
{
  g_clear_pointer(&self->model, gem_adapt_model_free);
  g_clear_pointer(&self->documents, gem_adapt_documents_free);
  g_clear_pointer(&self->replay, gem_adapt_replay_free);
  g_clear_pointer(&self->lanes, gem_lanes_free);
  g_clear_pointer(&self->held_out, g_array_unref);
  g_free(self->identity);
  g_free(self->row);
  g_free(self->own_before);
  g_free(self->own_after);
  g_free(self->other_before);
  g_free(self->other_after);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

static double
seconds_since(gint64 moment)
{
  return (double)(g_get_monotonic_time() - moment) / G_USEC_PER_SEC;
}

static void
enter(Work *self, GemAdaptPhase phase, double from, double to)
{
  self->phase = phase;
  self->from = from;
  self->to = to;
  self->progress(phase, from, -1.0, self->data);
}

static void
on_share(double share, gpointer data)
{
  const Work *self = data;
  self->progress(self->phase, self->from + share * (self->to - self->from), -1.0, self->data);
}

static void
on_learned(double share, double loss, gpointer data)
{
  const Work *self = data;
  self->progress(self->phase, self->from + share * (self->to - self->from), loss, self->data);
}

/* ---- reading ---- */

/* What a checkpoint belongs to. */
static char *
make_identity(const GemAdaptStart *start, guint n_lanes, const char *text, gsize length)
{
  g_autoptr(GemSha256) hash = gem_sha256_new();
  g_autofree char *options =
      g_strdup_printf("%s\n%s\n%s\n%s\n%d\n%u\n%" G_GUINT64_FORMAT "\n", start->name,
                      start->replaces != NULL ? start->replaces : "", start->general_sha256,
                      start->router_sha256, (int)start->mode, n_lanes, start->seed);
  gem_sha256_update(hash, options, strlen(options));
  gem_sha256_update(hash, text, length);
  return gem_sha256_finish(hash);
}

static gboolean
read_documents(Work *self, char *text, gsize length, GError **error)
{
  const char *ask_template = self->start->mode == GEM_ADAPT_TAPT ? self->model->shape.ask_template : NULL;
  if (!gem_adapt_text_check(text, &length, error)) {
    return FALSE;
  }
  self->identity = make_identity(self->start, self->n_lanes, text, length);
  self->documents =
      gem_adapt_documents_new(text, length, self->model->tokenizer, ask_template, self->start->seed, error);
  return self->documents != NULL;
}

static gboolean
read_text(Work *self, GemFileReader *reader, GError **error)
{
  gsize size = (gsize)gem_file_reader_get_size(reader);
  g_autofree char *text = g_malloc(size + 1);
  text[size] = '\0';
  gboolean read =
      gem_file_reader_read(reader, 0, text, size, error) && read_documents(self, text, size, error);
  explicit_bzero(text, size);
  return read;
}

static GemFileReader *
open_text(const Work *self, GError **error)
{
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(self->start->files[GEM_ADAPT_TEXT],
                                                                gem_adapt_file_names[GEM_ADAPT_TEXT], error);
  if (reader != NULL && gem_file_reader_get_size(reader) > MOST_TEXT) {
    g_set_error(error, GEM_ADAPT_TEXT_ERROR, 0, "the text has more than %" G_GUINT64_FORMAT " MiB",
                MOST_TEXT >> 20);
    return NULL;
  }
  return g_steal_pointer(&reader);
}

static void
gather_measured(Work *self)
{
  const GArray *held_out = self->documents->held_out;
  guint64 tokens = 0, every;
  self->held_out = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  for (guint i = 0; i < held_out->len; i++) {
    tokens += g_array_index(held_out, GemAdaptText, i).n;
  }
  every = (tokens + MOST_MEASURED - 1) / MOST_MEASURED;
  for (guint i = 0; i < held_out->len; i += (guint)MAX(every, 1)) {
    GemAdaptText text = g_array_index(held_out, GemAdaptText, i);
    text.group = 0;
    g_array_append_val(self->held_out, text);
  }
  self->own_before = g_new0(GemAdaptSums, self->held_out->len);
  self->own_after = g_new0(GemAdaptSums, self->held_out->len);
  self->other_before = g_new0(GemAdaptSums, self->replay->kept->len);
  self->other_after = g_new0(GemAdaptSums, self->replay->kept->len);
}

static gboolean
read_everything(Work *self, GError **error)
{
  enter(self, GEM_ADAPT_READING, 0.0, READ_SHARE);
  g_autoptr(GemFileReader) text = open_text(self, error);
  if (text == NULL ||
      !gem_adapt_memory_choose_lanes(self->start, gem_file_reader_get_size(text), &self->n_lanes, error)) {
    return FALSE;
  }
  self->model = gem_adapt_model_new(self->start, error);
  if (self->model == NULL || !read_text(self, text, error)) {
    return FALSE;
  }
  self->replay = gem_adapt_replay_new(self->start->files[GEM_ADAPT_REPLAY], self->model, error);
  if (self->replay == NULL) {
    return FALSE;
  }
  self->lanes = gem_lanes_new(self->n_lanes);
  self->row = g_new0(float, self->model->base.router_width + 1);
  gather_measured(self);
  return TRUE;
}

/* ---- learning ---- */

static gboolean
measure_own(Work *self, const float *row, GemAdaptSums *sums, GError **error)
{
  return gem_adapt_measure(self->model, self->held_out, GEM_ADAPT_LOOK_BACK, row, self->lanes, &self->watch,
                           sums, error);
}

static gboolean
measure_others(Work *self, const float *row, GemAdaptSums *sums, GError **error)
{
  return gem_adapt_measure(self->model, self->replay->kept, GEM_ADAPT_LOOK_MIXED, row, self->lanes,
                           &self->watch, sums, error);
}

static gboolean
learn(Work *self, GError **error)
{
  gint64 moment = g_get_monotonic_time();
  enter(self, GEM_ADAPT_MEASURING, READ_SHARE, HELD_OUT_SHARE);
  if (!measure_own(self, NULL, self->own_before, error)) {
    return FALSE;
  }
  enter(self, GEM_ADAPT_MEASURING, HELD_OUT_SHARE, OTHERS_SHARE);
  if (!measure_others(self, NULL, self->other_before, error)) {
    return FALSE;
  }
  double measuring = seconds_since(moment);
  enter(self, GEM_ADAPT_MEASURING, OTHERS_SHARE, OTHERS_SHARE);
  if (!gem_adapt_origin_choose(self->model, self->documents, self->lanes, &self->watch, error)) {
    return FALSE;
  }
  enter(self, GEM_ADAPT_LEARNING, MEASURED_SHARE, LEARNED_SHARE);
  if (!gem_adapt_row_learn(self->model, self->documents, self->replay, self->start->seed, self->n_lanes,
                           self->row, error)) {
    return FALSE;
  }
  g_autoptr(GArray) near = gem_adapt_near_pick(self->model, self->replay->learned, self->row, self->lanes);
  const GemAdaptLearning learning = {
      .model = self->model,
      .start = self->start,
      .lanes = self->n_lanes,
      .documents = self->documents,
      .replayed = near,
      .identity = self->identity,
      .seconds = self->start->seconds * (1.0 - RESERVE) - seconds_since(self->started) - CHECKING * measuring,
      .cancellable = self->cancellable,
      .progress = on_learned,
      .data = self,
  };
  return gem_adapt_learn(&learning, &self->steps, error);
}

/* What will be served is what is judged: read again from the file that was written. */
static gboolean
write_output(Work *self, GError **error)
{
  return gem_adapt_output_write(self->model, self->start, self->row, error) &&
         gem_adapt_output_read(self->model, self->start, self->row, error);
}

/* "legal", or "general" for the last group. */
static const char *
group_name(const Work *self, guint group)
{
  gint8 domain = group < self->model->shape.n_domains ? (gint8)group : GEM_ROUTE_GENERAL;
  return gem_adapt_replay_domain_name(self->model, domain);
}

/* What became of the other domains, the worst of them, and its name; NULL: there are none. */
static const char *
compare_others(const Work *self, GemAdaptChange *changes, double *ret_percent)
{
  const char *worst = NULL;
  for (guint group = 0; group <= self->model->shape.n_domains; group++) {
    changes[group] = gem_adapt_sums_compare(self->replay->kept, self->other_before, self->other_after, group);
    if (changes[group].tokens > 0 && (worst == NULL || changes[group].percent > *ret_percent)) {
      worst = group_name(self, group);
      *ret_percent = changes[group].percent;
    }
  }
  return worst;
}

/* The bias that what was learned allows. */
static gboolean
set_bias(Work *self, GError **error)
{
  const GemAdaptBiasSearch search = {.model = self->model,
                                     .own = self->documents->learned,
                                     .others = self->replay->kept,
                                     .other_before = self->other_before,
                                     .most_percent = self->start->worst_other_percent};
  return gem_adapt_bias_set(&search, self->row, self->lanes, &self->watch, error);
}

static gboolean
write_and_check(Work *self, GError **error)
{
  enter(self, GEM_ADAPT_WRITING, LEARNED_SHARE, LEARNED_SHARE);
  if (!write_output(self, error)) {
    return FALSE;
  }
  enter(self, GEM_ADAPT_CHECKING, LEARNED_SHARE, LOOKED_SHARE);
  if (!set_bias(self, error) || !write_output(self, error)) {
    return FALSE;
  }
  enter(self, GEM_ADAPT_CHECKING, LOOKED_SHARE, CHOSEN_SHARE);
  if (!measure_others(self, self->row, self->other_after, error)) {
    return FALSE;
  }
  enter(self, GEM_ADAPT_CHECKING, CHOSEN_SHARE, 1.0);
  return measure_own(self, self->row, self->own_after, error);
}

/* ---- the verdict ---- */

/* Why it is not to be served; NULL: it is. Transfer full. */
static char *
find_fault(const Work *self, const GemAdaptResult *result, const char *worst)
{
  double gain = 100.0 * (1.0 - result->held_out_after / result->held_out_before);
  if (!isfinite(result->held_out_before) || !isfinite(result->held_out_after) ||
      !(gain >= self->start->least_gain_percent)) {
    return g_strdup_printf(
        "the perplexity of text that was held out changed from %.2f to %.2f: %.1f %% lower, "
        "where %.1f %% are asked for",
        result->held_out_before, result->held_out_after, gain, self->start->least_gain_percent);
  }
  if (worst != NULL && !(result->worst_other_percent <= self->start->worst_other_percent)) {
    return g_strdup_printf("the perplexity of %s would grow by %.2f %%, where %.2f %% are allowed", worst,
                           result->worst_other_percent, self->start->worst_other_percent);
  }
  return NULL;
}

static GemAdaptPacket *
judge(const Work *self, GError **error)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(GEM_ADAPT_DONE);
  GemAdaptResult *result = &packet->result;
  GemAdaptSums before = gem_adapt_sums_add(self->held_out, self->own_before, 0),
               after = gem_adapt_sums_add(self->held_out, self->own_after, 0);
  GemAdaptChange changes[GEM_MAX_DOMAINS + 1];
  const char *worst = compare_others(self, changes, &result->worst_other_percent);
  result->held_out_before = gem_adapt_sums_perplexity(&before);
  result->held_out_after = gem_adapt_sums_perplexity(&after);
  result->routed_share = (double)after.own / (double)MAX(after.read, 1);
  result->tokens = self->documents->n_tokens;
  result->steps = self->steps;
  result->seconds = seconds_since(self->started);
  for (guint group = 0; group <= self->model->shape.n_domains; group++) {
    if (changes[group].tokens > 0) {
      gem_adapt_result_add_other(result, group_name(self, group), changes[group].percent);
    }
  }
  result->reason = find_fault(self, result, worst);
  if (result->reason != NULL) {
    packet->kind = GEM_ADAPT_REFUSED;
    if (!gem_adapt_output_clear(self->start, error)) {
      return NULL;
    }
  }
  return g_steal_pointer(&packet);
}

GemAdaptPacket *
gem_adapt_work(const GemAdaptStart *start,
               GCancellable *cancellable,
               GemAdaptWorkProgress progress,
               gpointer data,
               GError **error)
{
  g_auto(Work) self = {.start = start,
                       .cancellable = cancellable,
                       .progress = progress,
                       .data = data,
                       .started = g_get_monotonic_time()};
  self.watch = (GemAdaptWatch){cancellable, on_share, &self};
  if (!read_everything(&self, error) || !learn(&self, error) || !write_and_check(&self, error)) {
    return NULL;
  }
  return judge(&self, error);
}
