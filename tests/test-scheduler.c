/*
 * Whose prompt is read next, counted in turns of the scheduler: nothing here depends on time. Each turn runs
 * a block of prefill; the jobs are done with the first output of their last token.
 */
#include <string.h>

#include "daemon/engine/gem-fair.h"
#include "daemon/engine/gem-room.h"
#include "daemon/engine/gem-scheduler.h"
#include "tests/gem-test-engine.h"

#define BLOCK 8u
#define LONG  64u /* tokens of a long prompt */

#define BLOCKS_OF_LONG (LONG / BLOCK)
#define OWNERS         4u

typedef struct {
  GemTestEngine *test;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemScheduler *scheduler;
  guint turns;
  guint rows[OWNERS]; /* run so far */
  guint jobs;         /* that have not ended */
  gpointer last;      /* TestJob: the last that was added */
} Scene;

typedef struct {
  GemJob job;
  Scene *scene;
  guint tokens;
  guint *ret_turn; /* the turn in which it was done; NULL: not asked for */
  guint8 route;
  guint more;         /* tokens that follow one by one, as those of an answer do */
  gboolean cancel;    /* it is cancelled while the router is at it */
  GError **ret_error; /* NULL: it ends without one */
} TestJob;

static gboolean
job_prepare(GemJob *job, GError **error)
{
  TestJob *self = (TestJob *)job;
  const GemRouting routing = {.forced = !self->cancel, .route = self->route};
  g_autofree guint32 *tokens = g_new(guint32, self->tokens);

  for (guint i = 0; i < self->tokens; i++) {
    tokens[i] = 1 + i % 20;
  }
  job->sequence = gem_sequence_state_new(job->runtime, 0);
  if (self->cancel) {
    g_atomic_int_set(&job->control->cancelled, TRUE);
  }
  return gem_sequence_state_append(job->runtime, job->sequence, tokens, self->tokens, &routing, NULL, error);
}

static void
job_output(GemJob *job, guint position, const float *values)
{
  ((TestJob *)job)->scene->rows[job->owner]++;
}

static gboolean
job_advance(GemJob *job, GError **error)
{
  TestJob *self = (TestJob *)job;
  const GemRouting routing = {.forced = TRUE, .route = self->route};
  const guint32 token = 1;

  if (self->more > 0) {
    self->more--;
    return gem_sequence_state_append(job->runtime, job->sequence, &token, 1, &routing, NULL, error);
  }
  job->done = TRUE;
  return TRUE;
}

static void
job_end(GemJob *job, GError *error)
{
  TestJob *self = (TestJob *)job;

  if (self->cancel) {
    g_assert_error(error, GEM_ERROR, GEM_ERROR_CANCELLED);
    g_assert_cmpuint(job->sequence->tokens->len, ==, 0);
    g_clear_error(&error);
    g_atomic_rc_box_release(job->control);
  }
  if (self->ret_error != NULL && error != NULL) {
    g_propagate_error(self->ret_error, g_steal_pointer(&error));
  }
  g_assert_no_error(error);
  if (self->ret_turn != NULL) {
    *self->ret_turn = self->scene->turns;
  }
  self->scene->jobs--;
  gem_sequence_state_free(job->runtime, job->sequence);
  g_free(self);
}

static void
add(Scene *self, guint owner, gboolean batch, guint tokens, guint *ret_turn)
{
  static const GemJobClass class = {
      .prepare = job_prepare, .output = job_output, .advance = job_advance, .end = job_end};
  TestJob *job = g_new0(TestJob, 1);

  job->job = (GemJob){.class = &class, .owner = owner, .batch = batch, .hidden = TRUE};
  job->scene = self;
  job->tokens = tokens;
  job->ret_turn = ret_turn;
  job->route = GEM_ROUTE_GENERAL;
  self->jobs++;
  self->last = job;
  gem_scheduler_add(self->scheduler, &job->job);
}

static void
turn(Scene *self)
{
  self->turns++;
  g_assert_true(gem_scheduler_turn(self->scheduler));
}

static void
run_all(Scene *self)
{
  while (self->jobs > 0) {
    turn(self);
  }
  g_assert_false(gem_scheduler_turn(self->scheduler));
}

static void
setup(Scene *self, gconstpointer data)
{
  self->test = gem_test_engine_new();
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
  self->scheduler = gem_scheduler_new(self->runtime, BLOCK, NULL);
}

static void
teardown(Scene *self, gconstpointer data)
{
  gem_scheduler_free(self->scheduler);
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
  gem_test_engine_free(self->test);
}

/* Eight long prompts of one owner hold up another's first token by no more than one of them would. */
static void
test_many_prompts_of_one(Scene *self, gconstpointer data)
{
  guint alone = 0, beside = 0;

  add(self, 2, FALSE, LONG, &alone);
  run_all(self);
  self->turns = 0;
  for (guint i = 0; i < 8; i++) {
    add(self, 1, FALSE, LONG, NULL);
  }
  /* Well in the middle of the first one. */
  turn(self);
  turn(self);
  self->turns = 0;
  add(self, 2, FALSE, LONG, &beside);
  run_all(self);
  g_assert_cmpuint(alone, >=, BLOCKS_OF_LONG);
  g_assert_cmpuint(beside, <=, alone + BLOCKS_OF_LONG);
}

/* Owners have equal shares of the blocks, however many prompts each of them has. */
static void
test_equal_shares(Scene *self, gconstpointer data)
{
  for (guint i = 0; i < 6; i++) {
    add(self, 1, FALSE, LONG, NULL);
  }
  add(self, 2, FALSE, LONG, NULL);
  add(self, 3, FALSE, LONG, NULL);
  while (self->rows[2] < LONG && self->rows[3] < LONG) {
    turn(self);
    g_assert_cmpuint(self->rows[1], <=, self->rows[2] + 2 * BLOCK);
    g_assert_cmpuint(self->rows[1], <=, self->rows[3] + 2 * BLOCK);
  }
  run_all(self);
  g_assert_cmpuint(self->rows[1], ==, 6 * LONG);
}

/* Rows count, not turns: a prompt that leaves one row of each block has no more of them than who gets that
 * row, be it long or short. */
static void
test_equal_rows(Scene *self, gconstpointer data)
{
  gboolean batch = GPOINTER_TO_INT(data);

  add(self, 2, batch, LONG, NULL);
  while (self->rows[2] < LONG - BLOCK) {
    while (self->jobs < 4) {
      add(self, 1, batch, BLOCK - 1, NULL);
    }
    turn(self);
    g_assert_cmpuint(self->rows[1], <=, self->rows[2] + 2 * BLOCK);
  }
  g_assert_cmpuint(self->rows[1] + 2 * BLOCK, >=, self->rows[2]);
  run_all(self);
}

/* Who comes later, or comes again, has an equal share from then on, and no more of it. */
static void
test_nothing_is_saved_up(Scene *self, gconstpointer data)
{
  guint before;

  add(self, 2, FALSE, BLOCK, NULL);
  add(self, 1, FALSE, 2 * LONG, NULL);
  while (self->rows[1] < LONG) {
    turn(self);
  }
  before = self->rows[1];
  add(self, 2, FALSE, LONG, NULL);
  add(self, 3, FALSE, LONG, NULL);
  while (self->rows[1] < 2 * LONG - BLOCK) {
    turn(self);
    g_assert_cmpuint(self->rows[2], <=, BLOCK + self->rows[1] - before + 2 * BLOCK);
    g_assert_cmpuint(self->rows[3], <=, self->rows[1] - before + 2 * BLOCK);
    g_assert_cmpuint(self->rows[1] - before, <=, self->rows[3] + 2 * BLOCK);
  }
  run_all(self);
}

/* The prompts of one owner take turns, too: a short one does not wait for all the long ones before it. */
static void
test_prompts_of_one_owner(Scene *self, gconstpointer data)
{
  guint done = 0;

  for (guint i = 0; i < 3; i++) {
    add(self, 1, FALSE, LONG, NULL);
  }
  add(self, 1, FALSE, BLOCK, &done);
  run_all(self);
  /* Four are prepared, one a turn, and then each has had one at the latest. */
  g_assert_cmpuint(done, <=, 4 + 4);
}

/* A batch prompt that came first, even of the same owner, gives way at the next turn. */
static void
test_batch_gives_way(Scene *self, gconstpointer data)
{
  guint batch = 0, interactive = 0;

  add(self, 1, TRUE, LONG, &batch);
  turn(self);
  turn(self);
  add(self, 1, FALSE, LONG, &interactive);
  run_all(self);
  g_assert_cmpuint(interactive, <=, 2 + BLOCKS_OF_LONG);
  g_assert_cmpuint(batch, <=, 2 * BLOCKS_OF_LONG);
}

/* Interactive prompts without end leave a batch prompt every 16th block. */
static void
test_batch_is_not_forgotten(Scene *self, gconstpointer data)
{
  guint batch = 0;
  guint waited = 0, longest = 0;

  add(self, 1, TRUE, LONG, &batch);
  while (batch == 0 && longest <= 2 * GEM_FAIR_BATCH_AFTER + 1) {
    guint before = self->rows[1];

    while (self->jobs < 4) {
      add(self, 2, FALSE, LONG, NULL);
    }
    turn(self);
    waited = self->rows[1] > before ? 0 : waited + 1;
    longest = MAX(longest, waited);
  }
  /* It is prepared in one turn and read in the next ones. */
  g_assert_cmpuint(longest, <=, 2 * GEM_FAIR_BATCH_AFTER + 1);
  g_assert_cmpuint(batch, >, BLOCKS_OF_LONG);
  run_all(self);
}

/* Two of the batch kind, of different owners, share what there is for batch. */
static void
test_batch_shares(Scene *self, gconstpointer data)
{
  add(self, 1, TRUE, LONG, NULL);
  add(self, 1, TRUE, LONG, NULL);
  add(self, 2, TRUE, LONG, NULL);
  while (self->rows[2] < LONG) {
    turn(self);
    g_assert_cmpuint(self->rows[1], <=, self->rows[2] + 2 * BLOCK);
  }
  run_all(self);
}

/* The same where others leave them a block now and then: what the others were given does not count. */
static void
test_batch_shares_beside(Scene *self, gconstpointer data)
{
  for (guint i = 0; i < 3; i++) {
    add(self, 1, TRUE, LONG, NULL);
  }
  add(self, 2, TRUE, LONG, NULL);
  while (self->rows[2] < LONG / 2) {
    while (self->jobs < 6) {
      add(self, 3, FALSE, LONG, NULL);
    }
    turn(self);
    g_assert_cmpuint(self->rows[1], <=, self->rows[2] + 2 * BLOCK);
  }
  run_all(self);
}

/* Short prompts share a block. */
static void
test_short_prompts_together(Scene *self, gconstpointer data)
{
  guint done[2] = {0};

  add(self, 1, FALSE, LONG, NULL);
  turn(self);
  turn(self);
  add(self, 2, FALSE, BLOCK / 2, &done[0]);
  add(self, 3, FALSE, BLOCK / 2, &done[1]);
  run_all(self);
  g_assert_cmpuint(MAX(done[0], done[1]), <=, 2 + 3);
}

/* A job that is cancelled while the router is at its text ends then and there. */
static void
test_cancelled_in_router(Scene *self, gconstpointer data)
{
  guint done = 0;
  TestJob *job;

  add(self, 1, FALSE, LONG, &done);
  job = self->last;
  job->cancel = TRUE;
  job->job.control = g_atomic_rc_box_new0(GemJobControl);
  turn(self);
  g_assert_cmpuint(done, ==, 1);
  /* The next one's router is not stopped. */
  add(self, 1, FALSE, LONG, &done);
  run_all(self);
  g_assert_cmpuint(self->rows[1], ==, LONG);
}

/* Of three whose pathways do not fit together two are left out at a time. Each counts its own steps, so that
 * it is each one's turn; and each is done. */
static void
test_left_out(Scene *self, gconstpointer data)
{
  guint waited[OWNERS] = {0}, before[OWNERS] = {0}, longest = 0;
  guint64 pathway;

  g_assert_true(gem_pager_page_in(self->runtime->pager, 0, NULL));
  pathway = gem_pager_get_spare_bytes(self->runtime->pager, 0);
  for (guint owner = 1; owner < OWNERS; owner++) {
    TestJob *job;

    add(self, owner, FALSE, 1, NULL);
    job = self->last;
    job->route = (guint8)(owner - 1);
    job->more = LONG - 1;
  }
  for (guint i = 1; i < OWNERS; i++) {
    turn(self);
  }
  gem_room_set_limit(self->runtime, gem_runtime_bytes(self->runtime) - pathway / 2 - pathway);
  while (self->jobs > 0) {
    memcpy(before, self->rows, sizeof before);
    turn(self);
    for (guint owner = 1; owner < OWNERS; owner++) {
      gboolean waits = self->rows[owner] == before[owner] && self->rows[owner] < LONG;

      waited[owner] = waits ? waited[owner] + 1 : 0;
      longest = MAX(longest, waited[owner]);
    }
  }
  g_test_message("waited %u steps at most", longest);
  g_assert_cmpuint(longest, >=, GEM_ROOM_STEPS);
  g_assert_cmpuint(longest, <=, 3 * GEM_ROOM_STEPS);
  for (guint owner = 1; owner < OWNERS; owner++) {
    g_assert_cmpuint(self->rows[owner], ==, LONG);
  }
}

/* The next job has a deadline that has passed. */
static TestJob *
add_late(Scene *self, guint owner, GError **ret_error)
{
  TestJob *job;

  add(self, owner, FALSE, LONG, NULL);
  job = self->last;
  job->ret_error = ret_error;
  job->job.deadline = 1;
  return job;
}

/* Who waits for a turn or for memory when the deadline has passed ends, and the error says for what; who runs
 * runs on, and who has none waits. */
static void
test_deadline(Scene *self, gconstpointer data)
{
  g_autoptr(GError) busy = NULL, none = NULL, gave_way = NULL, left_out = NULL, no_room = NULL;
  guint done = 0;
  TestJob *job;

  add_late(self, 1, &busy);
  add(self, 2, FALSE, LONG, &done);
  run_all(self);
  g_assert_error(busy, GEM_ERROR, GEM_ERROR_BUSY);
  g_assert_cmpuint(self->rows[1], ==, 0);
  g_assert_cmpuint(done, >=, BLOCKS_OF_LONG);

  job = add_late(self, 1, &none);
  job->job.deadline = G_MAXINT64;
  turn(self);
  job->job.deadline = 1;
  job->job.left_out = 4 * GEM_ROOM_STEPS;
  run_all(self);
  g_assert_no_error(none);
  g_assert_cmpuint(self->rows[1], ==, LONG);

  job = add_late(self, 1, &gave_way);
  job->job.deadline = G_MAXINT64;
  turn(self);
  job->job.deadline = 1;
  job->job.gave_way = TRUE;
  gem_scheduler_turn(self->scheduler);
  g_assert_error(gave_way, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);

  job = add_late(self, 1, &left_out);
  job->job.deadline = G_MAXINT64;
  turn(self);
  job->job.deadline = 1;
  job->job.left_out = 4 * GEM_ROOM_STEPS + 1;
  gem_scheduler_turn(self->scheduler);
  g_assert_error(left_out, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);

  /* All there is is another's. */
  add(self, 2, FALSE, LONG, NULL);
  turn(self);
  turn(self);
  gem_room_set_limit(self->runtime, gem_runtime_bytes(self->runtime));
  add_late(self, 1, &no_room);
  gem_scheduler_turn(self->scheduler);
  g_assert_error(no_room, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_true(g_str_has_prefix(no_room->message, "MemoryLimit: of "));
  gem_room_set_limit(self->runtime, 0);
  run_all(self);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*run)(Scene *, gconstpointer);
    gboolean batch;
  } tests[] = {
      {"/scheduler/many-prompts-of-one", test_many_prompts_of_one},
      {"/scheduler/equal-shares", test_equal_shares},
      {"/scheduler/equal-rows", test_equal_rows},
      {"/scheduler/equal-rows-of-batch", test_equal_rows, TRUE},
      {"/scheduler/nothing-is-saved-up", test_nothing_is_saved_up},
      {"/scheduler/prompts-of-one-owner", test_prompts_of_one_owner},
      {"/scheduler/batch-gives-way", test_batch_gives_way},
      {"/scheduler/batch-is-not-forgotten", test_batch_is_not_forgotten},
      {"/scheduler/batch-shares", test_batch_shares},
      {"/scheduler/batch-shares-beside", test_batch_shares_beside},
      {"/scheduler/short-prompts-together", test_short_prompts_together},
      {"/scheduler/cancelled-in-router", test_cancelled_in_router},
      {"/scheduler/left-out", test_left_out},
      {"/scheduler/deadline", test_deadline},
  };

  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].name, Scene, GINT_TO_POINTER(tests[i].batch), setup, tests[i].run, teardown);
  }
  return g_test_run();
}
