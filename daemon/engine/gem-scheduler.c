#include "daemon/engine/gem-scheduler.h"

#include "daemon/engine/gem-admission.h"
#include "daemon/engine/gem-deadline.h"
#include "daemon/engine/gem-fair.h"
#include "daemon/engine/gem-give-way.h"
#include "daemon/engine/gem-room.h"
#include "daemon/engine/gem-router-memory.h"
#include "daemon/engine/gem-settling.h"

/* One-shot jobs that run at a time; the others wait in their order, without memory for caches. */
#define MAX_ONE_SHOTS 4u

struct GemScheduler {
  GemRuntime *runtime;
  GemStep *step;
  guint prefill_block;
  GPtrArray *jobs; /* of GemJob, in the order in which they came; not owned by the array */
  GemSettling *settling;
  GemFair *fair;
  GPtrArray *waiting;      /* of GemJob: those of whom one is picked */
  GArray *spans;           /* of GemStepSpan: the rows of the step */
  GPtrArray *active;       /* the job of each span */
  const GemJob *preferred; /* whose rows are looked at first when memory is short; only compared */
  guint64 tokens;          /* run so far */
};

GemScheduler *
gem_scheduler_new(GemRuntime *runtime, guint prefill_block, GemBeat *beat)
{
  GemScheduler *self = g_new0(GemScheduler, 1);

  self->runtime = runtime;
  runtime->beat = beat;
  self->step = gem_step_new(runtime, beat);
  self->prefill_block = prefill_block;
  self->jobs = g_ptr_array_new();
  self->fair = gem_fair_new();
  self->waiting = g_ptr_array_new();
  self->spans = g_array_new(FALSE, FALSE, sizeof(GemStepSpan));
  self->active = g_ptr_array_new();
  self->settling = gem_settling_new(runtime, self->jobs);
  return self;
}

void
gem_scheduler_free(GemScheduler *self)
{
  if (self == NULL) {
    return;
  }
  g_assert(self->jobs->len == 0);
  gem_step_free(self->step);
  g_ptr_array_unref(self->jobs);
  g_ptr_array_unref(self->waiting);
  gem_fair_free(self->fair);
  g_array_unref(self->spans);
  g_ptr_array_unref(self->active);
  gem_settling_free(self->settling);
  g_free(self);
}

void
gem_scheduler_add(GemScheduler *self, GemJob *job)
{
  job->runtime = self->runtime;
  if (job->sequence != NULL) {
    job->sequence->busy = TRUE;
  }
  g_ptr_array_add(self->jobs, job);
}

/* What may be taken from whom when memory is short. */
static void
note_busy(GemScheduler *self)
{
  for (guint i = 0; i < self->jobs->len; i++) {
    GemJob *job = self->jobs->pdata[i];

    if (job->sequence != NULL) {
      job->sequence->busy = !gem_job_is_paused(job);
    }
  }
}

GemPathwaySet
gem_scheduler_find_pathways(GemScheduler *self)
{
  GemPathwaySet set = 0;

  note_busy(self);
  for (guint i = 0; i < self->jobs->len; i++) {
    const GemJob *job = self->jobs->pdata[i];

    if (job->sequence != NULL && job->sequence->busy) {
      set |= gem_sequence_state_find_pathways(job->sequence);
    }
  }
  return set;
}

GemPathwaySet
gem_scheduler_find_learned(const GemScheduler *self)
{
  GemPathwaySet set = 0;

  for (guint i = 0; i < self->jobs->len; i++) {
    set |= ((const GemJob *)self->jobs->pdata[i])->learned;
  }
  return set;
}

/* Those that are cancelled, and those whose time to wait is over. */
static void
end_unwanted(GemScheduler *self)
{
  gint64 now = g_get_monotonic_time();

  for (guint i = self->jobs->len; i-- > 0;) {
    GemJob *job = self->jobs->pdata[i];
    GError *error = gem_deadline_find_error(self->runtime, job, now);

    if (error == NULL && gem_job_is_cancelled(job)) {
      error = g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "cancelled");
    }
    if (error != NULL) {
      gem_settling_end(self->settling, job, error);
    }
  }
}

/* ---- who is next ---- */

/* One-shot jobs of a kind that have begun. */
static guint
count_one_shots(const GemScheduler *self, gboolean batch_only)
{
  guint count = 0;

  for (guint i = 0; i < self->jobs->len; i++) {
    const GemJob *job = self->jobs->pdata[i];

    count += job->prepared && job->one_shot && (job->batch || !batch_only) ? 1 : 0;
  }
  return count;
}

/* Batch jobs leave one place to others. */
static gboolean
has_place(const GemScheduler *self, const GemJob *job)
{
  return !job->one_shot || (count_one_shots(self, FALSE) < MAX_ONE_SHOTS &&
                            (!job->batch || count_one_shots(self, TRUE) < MAX_ONE_SHOTS - 1));
}

/* Whether it could run rows, so many or more. */
static gboolean
can_run(const GemJob *job, guint rows)
{
  return job->prepared && !job->gave_way && !gem_job_is_paused(job) &&
         gem_sequence_state_pending(job->sequence) >= rows;
}

static gboolean
waits_for_prefill(const GemJob *job)
{
  return can_run(job, 2);
}

/* A text is let in while others run only with room for what the router remembers of it. */
static gboolean
has_router_room(const GemScheduler *self, const GemJob *job)
{
  if (gem_router_memory_fits(self->runtime, job->sequence)) {
    return TRUE;
  }
  for (guint i = 0; i < self->jobs->len; i++) {
    if (can_run(self->jobs->pdata[i], 1)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
waits_for_preparation(const GemScheduler *self, const GemJob *job)
{
  return !job->prepared && !gem_job_is_paused(job) && has_place(self, job) && has_router_room(self, job);
}

/* Fills `waiting`; TRUE when a job that is not batch waits in the other line. */
static gboolean
find_waiting(GemScheduler *self, GemFairLine line)
{
  gboolean hurry = FALSE;

  g_ptr_array_set_size(self->waiting, 0);
  for (guint i = 0; i < self->jobs->len; i++) {
    GemJob *job = self->jobs->pdata[i];
    gboolean waits[GEM_FAIR_LINES] = {
        [GEM_FAIR_PREPARE] = waits_for_preparation(self, job),
        [GEM_FAIR_PREFILL] = waits_for_prefill(job),
    };

    if (waits[line]) {
      g_ptr_array_add(self->waiting, job);
    } else {
      hurry = hurry || (!job->batch && (waits[GEM_FAIR_PREPARE] || waits[GEM_FAIR_PREFILL]));
    }
  }
  return hurry;
}

static GemJob *
pick(GemScheduler *self, GemFairLine line, gboolean hurry)
{
  return gem_fair_pick(self->fair, line, (GemJob *const *)self->waiting->pdata, self->waiting->len, hurry);
}

/* Prepares one job that may run and is not prepared; the router's pass over a long turn takes as long as a
 * step, hence one at a time. */
static gboolean
prepare_one(GemScheduler *self)
{
  gboolean hurry = find_waiting(self, GEM_FAIR_PREPARE);
  GemJob *job = pick(self, GEM_FAIR_PREPARE, hurry);
  GError *error = NULL;
  gboolean prepared;

  if (job == NULL) {
    return FALSE;
  }
  gem_fair_charge(self->fair, GEM_FAIR_PREPARE, job, 1);
  job->prepared = TRUE;
  self->runtime->go_on = gem_settling_is_wanted;
  self->runtime->go_on_data = job;
  prepared = job->class->prepare(job, &error);
  self->runtime->go_on = NULL;
  if (prepared) {
    gem_settling_go_on(self->settling, &job, 1);
  } else {
    gem_settling_end(self->settling, job, error);
  }
  return TRUE;
}

static void
output_of_job(gpointer data, guint position, const float *values)
{
  GemJob *job = data;

  job->class->output(job, position, values);
}

static void
add_span(GemScheduler *self, GemJob *job, guint rows)
{
  GemStepSpan span = {
      .sequence = job->sequence,
      .rows = rows,
      .outputs_from = job->outputs_from,
      .hidden = job->hidden,
      .degrade = job->degrade,
      .required = job->required,
      .output = output_of_job,
      .data = job,
  };

  g_array_append_val(self->spans, span);
  g_ptr_array_add(self->active, job);
  job->sequence->busy = TRUE;
}

/* A block of prefill, of as many jobs as it has room for. */
static void
plan_prefill(GemScheduler *self)
{
  gboolean hurry = find_waiting(self, GEM_FAIR_PREFILL);
  guint room = self->prefill_block;

  while (room > 0) {
    GemJob *job = pick(self, GEM_FAIR_PREFILL, hurry);
    guint rows;

    if (job == NULL) {
      return;
    }
    rows = MIN(gem_sequence_state_pending(job->sequence), room);
    add_span(self, job, rows);
    /* Also those that there may be no memory for: nobody else could have them. */
    gem_fair_charge(self->fair, GEM_FAIR_PREFILL, job, rows);
    room -= rows;
    hurry = hurry || !job->batch; /* it may have more */
    g_ptr_array_remove(self->waiting, job);
  }
}

/* One row of each decoding job, and a block of prefill from those that have more. */
static void
plan_all(GemScheduler *self)
{
  g_array_set_size(self->spans, 0);
  g_ptr_array_set_size(self->active, 0);
  for (guint i = 0; i < self->jobs->len; i++) {
    GemJob *job = self->jobs->pdata[i];

    if (can_run(job, 1) && gem_sequence_state_pending(job->sequence) == 1) {
      add_span(self, job, 1);
    }
  }
  plan_prefill(self);
}

static void
plan(GemScheduler *self)
{
  plan_all(self);
  if (self->active->len == 0) {
    /* Those that others gave way to wait for their readers. */
    gem_give_way_end(self->jobs);
    plan_all(self);
  }
}

/* Puts the preferred job's span before all others. */
static void
put_first(GemScheduler *self)
{
  GemStepSpan *spans = (GemStepSpan *)(gpointer)self->spans->data;
  guint index;

  if (g_ptr_array_find(self->active, self->preferred, &index)) {
    GemStepSpan span = spans[index];

    spans[index] = spans[0];
    spans[0] = span;
    self->active->pdata[index] = self->active->pdata[0];
    self->active->pdata[0] = (gpointer)self->preferred;
  }
}

/* Takes the spans without rows out of the step. Of those who were left out, and not refused, the one that was
 * most often is preferred after a while. */
static void
drop_empty(GemScheduler *self, GError *const *refusals)
{
  GemStepSpan *spans = (GemStepSpan *)(gpointer)self->spans->data;
  const GemJob *left_out = NULL;
  guint kept = 0;

  for (guint i = 0; i < self->active->len; i++) {
    GemJob *job = self->active->pdata[i];

    if (spans[i].rows > 0) {
      spans[kept] = spans[i];
      self->active->pdata[kept++] = job;
      job->left_out = 0;
    } else if (refusals[i] == NULL) {
      job->left_out++;
      left_out = left_out == NULL || job->left_out > left_out->left_out ? job : left_out;
    }
  }
  g_array_set_size(self->spans, kept);
  g_ptr_array_set_size(self->active, kept);
  if (left_out != NULL && left_out->left_out >= GEM_ROOM_STEPS) {
    self->preferred = left_out;
  }
}

/* Nothing of the step can run: another one gives way, and the next step is planned anew. When there is none,
 * the text is refused after all. */
static void
make_way(GemScheduler *self)
{
  GemJob *first = gem_give_way_find_first(self->jobs, self->active);
  GError *error = NULL;

  self->preferred = first;
  if (!gem_give_way(self->runtime, self->jobs, first)) {
    gem_budget_refuse(&self->runtime->budget, "the text", 0, &error);
    self->runtime->counters.refusals++;
    gem_settling_end(self->settling, first, error);
  }
  g_array_set_size(self->spans, 0);
  g_ptr_array_set_size(self->active, 0);
}

/* Leaves in the step what there is memory for. */
static void
admit(GemScheduler *self)
{
  GemStepSpan *spans = (GemStepSpan *)(gpointer)self->spans->data;
  g_autofree GError **refusals = NULL;
  g_autofree GemJob **jobs = NULL;
  guint n = self->active->len;

  if (gem_admission_is_free(self->runtime, spans, n)) {
    for (guint i = 0; i < n; i++) {
      ((GemJob *)self->active->pdata[i])->left_out = 0;
    }
    return;
  }
  put_first(self);
  refusals = g_new0(GError *, n);
  jobs = g_memdup2(self->active->pdata, n * sizeof *jobs);
  if (!gem_admission_admit(self->runtime, spans, n, refusals)) {
    make_way(self);
    return;
  }
  drop_empty(self, refusals);
  for (guint i = 0; i < n; i++) {
    if (refusals[i] != NULL) {
      gem_settling_end(self->settling, jobs[i], refusals[i]);
    }
  }
}

static void
count_tokens(GemScheduler *self)
{
  for (guint i = 0; i < self->spans->len; i++) {
    self->tokens += g_array_index(self->spans, GemStepSpan, i).rows;
  }
}

gboolean
gem_scheduler_turn(GemScheduler *self)
{
  g_autoptr(GError) error = NULL;
  gboolean prepared;
  guint failed;

  end_unwanted(self);
  if (self->jobs->len == 0) {
    gem_fair_forget(self->fair);
  }
  note_busy(self);
  prepared = prepare_one(self);
  plan(self);
  if (self->active->len == 0) {
    return prepared;
  }
  admit(self);
  if (self->active->len == 0) {
    return TRUE;
  }
  if (gem_step_run(self->step, (const GemStepSpan *)(gpointer)self->spans->data, self->spans->len, &error)) {
    count_tokens(self);
    gem_settling_go_on(self->settling, (GemJob *const *)self->active->pdata, self->active->len);
    return TRUE;
  }
  failed = gem_step_get_failed(self->step); /* the others are planned again */
  for (guint i = 0; i < self->active->len; i++) {
    if (failed == GEM_STEP_ALL || failed == i) {
      gem_settling_end(self->settling, self->active->pdata[i], g_error_copy(error));
    }
  }
  return TRUE;
}

void
gem_scheduler_measure(const GemScheduler *self, guint64 *ret_tokens, guint *ret_running, guint *ret_waiting)
{
  guint running = 0;

  for (guint i = 0; i < self->jobs->len; i++) {
    const GemJob *job = self->jobs->pdata[i];

    running += job->prepared ? 1 : 0;
  }
  *ret_tokens = self->tokens;
  *ret_running = running;
  *ret_waiting = self->jobs->len - running;
}

void
gem_scheduler_end_all(GemScheduler *self, GemError code, const char *message)
{
  while (self->jobs->len > 0) {
    gem_settling_end(self->settling, self->jobs->pdata[self->jobs->len - 1],
                     g_error_new_literal(GEM_ERROR, code, message));
  }
}
