/* The training loop: its arithmetic against double precision, and that a run which is stopped, killed or out
 * of disk loses nothing. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include <glib/gstdio.h>

#include "tests/gem-test-model.h"
#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/network/gem-centroids.h"
#include "training/network/gem-trainer.h"

enum { LANES = 2, NEVER = 1000000 };

/* ---- a small network in training ---- */

typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  GemBackbonePass *passes[LANES];
  GemBatch *batches[LANES];
  GemLanes *lanes;
  guint64 signal_at; /* the step before which `signal` is raised */
  int signal;
  double first_loss, last_loss; /* per token, of the first and last step */
} Network;

/* Sequences in which every token follows from the one before. */
static double
prepare(gpointer data, guint lane, guint index, guint64 step)
{
  Network *self = data;
  GemRandom random = gem_random_seeded(77, step * LANES + lane);
  if (lane == 0 && step == self->signal_at) {
    raise(self->signal);
  }
  gem_batch_clear(self->batches[lane]);
  for (guint s = 0; s < 4; s++) {
    guint32 tokens[12] = {(guint32)gem_random_below(&random, 32)};
    for (gsize i = 1; i < G_N_ELEMENTS(tokens); i++) {
      tokens[i] = (5 * tokens[i - 1] + 3) % 32;
    }
    gem_batch_append(self->batches[lane], tokens, G_N_ELEMENTS(tokens), (gint8)(s % 2), 1.0f);
  }
  return gem_batch_total_weight(self->batches[lane]);
}

static void
run(gpointer data,
    guint lane,
    guint index,
    float scale,
    const float *values,
    float *gradients,
    GemTrainerTally *tally)
{
  Network *self = data;
  GemLoss loss;
  gem_backbone_run(self->backbone, values, self->centroids->values, 0, self->batches[lane], scale,
                   self->passes[lane], gradients, NULL, &loss);
  tally->loss += loss.loss;
  tally->tokens += loss.tokens;
  if (lane == 0) {
    self->last_loss = loss.loss / (double)loss.tokens;
    self->first_loss = self->first_loss > 0.0 ? self->first_loss : self->last_loss;
  }
}

static void
network_init(Network *self)
{
  *self = (Network){.signal_at = NEVER};
  self->backbone =
      gem_test_backbone_new("vocab=262,width=32,heads=1,layers=1,ffn=64,domain-ffn=32,domains=2", 16);
  self->centroids = gem_centroids_new(self->backbone, 1);
  self->lanes = gem_lanes_new(LANES);
  for (guint lane = 0; lane < LANES; lane++) {
    self->passes[lane] = gem_backbone_pass_new(self->backbone);
    self->batches[lane] = gem_batch_new(64);
  }
}

static void
network_clear(Network *self)
{
  for (guint lane = 0; lane < LANES; lane++) {
    gem_backbone_pass_free(self->passes[lane]);
    gem_batch_free(self->batches[lane]);
  }
  gem_lanes_free(self->lanes);
  gem_centroids_free(self->centroids);
  gem_backbone_free(self->backbone);
}

static GemTrainerOptions
options_for(const char *checkpoint, guint64 steps)
{
  return (GemTrainerOptions){.steps = steps,
                             .warm_up = 2,
                             .peak_rate = 1e-2,
                             .decay_share = 0.5,
                             .weight_decay = 0.01,
                             .clip = 1.0,
                             .accumulate = 1,
                             .seed = 4,
                             .checkpoint = checkpoint,
                             .checkpoint_seconds = 0.0, /* after every step */
                             .title = "test"};
}

static gboolean
train(Network *self, const GemTrainerOptions *options, gboolean resume, GError **error)
{
  g_autoptr(GemTrainer) trainer = gem_trainer_new(self->backbone->parameters, options, self->lanes);
  if (resume) {
    g_autoptr(GemGguf) file = gem_gguf_open(options->checkpoint, error);
    if (file == NULL || !gem_trainer_resume(trainer, file, error)) {
      return FALSE;
    }
  }
  const GemTrainee trainee = {self, prepare, run, NULL, NULL, NULL};
  return gem_trainer_run(trainer, &trainee, error);
}

static guint64
step_of(const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = gem_gguf_open(path, &error);
  guint64 step = 0;
  g_assert_no_error(error);
  g_assert_true(gem_gguf_get_uint(file, "train.step", &step, NULL));
  return step;
}

static void
assert_same_files(const char *a, const char *b)
{
  g_autofree char *left = NULL, *right = NULL;
  gsize left_size = 0, right_size = 0;
  g_assert_true(g_file_get_contents(a, &left, &left_size, NULL));
  g_assert_true(g_file_get_contents(b, &right, &right_size, NULL));
  g_assert_cmpuint(left_size, ==, right_size);
  gem_test_assert_same_bytes(left, right, left_size, "checkpoint");
}

/* ---- the arithmetic ---- */

static void
test_rate(void)
{
  const GemTrainerOptions options = {.steps = 110, .warm_up = 10, .peak_rate = 2.0, .decay_share = 0.5};
  g_assert_cmpfloat_with_epsilon(gem_trainer_rate(&options, 0), 0.2, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_trainer_rate(&options, 9), 2.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_trainer_rate(&options, 60), 2.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_trainer_rate(&options, 85), 0.1 + 0.5 * 1.9, 1e-12); /* half way down */
  g_assert_cmpfloat_with_epsilon(gem_trainer_rate(&options, 110), 0.1, 1e-12);
  const GemTrainerOptions plain = {.steps = 100, .warm_up = 0, .peak_rate = 1.0, .decay_share = 1.0};
  g_assert_cmpfloat_with_epsilon(gem_trainer_rate(&plain, 0), 1.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_trainer_rate(&plain, 50), 0.525, 1e-12);
}

enum { MATRIX = 3 * 70, NORM = 5, VALUES = MATRIX + NORM, ADAM_STEPS = 6 };

/* A gradient that depends on lane, batch and step alone. */
static float
made_gradient(guint lane, guint index, guint64 step, gsize i)
{
  GemRandom random = gem_random_seeded((step << 8) + (lane << 4) + index, i);
  return (float)gem_random_normal(&random);
}

static double
prepare_made(gpointer step_done, guint lane, guint index, guint64 step)
{
  *(guint64 *)step_done = step;
  return 2.0; /* the sum of weights: LANES x 3 batches make 12 */
}

static void
run_made(gpointer step,
         guint lane,
         guint index,
         float scale,
         const float *values,
         float *gradients,
         GemTrainerTally *tally)
{
  for (gsize i = 0; i < VALUES; i++) {
    gradients[i] += scale * made_gradient(lane, index, *(guint64 *)step, i);
  }
  tally->loss += 1.0;
  tally->tokens += 1;
}

/* AdamW from its paper, in double precision, with the gradient's norm clipped. */
static void
adamw_reference(const GemTrainerOptions *options, double *values)
{
  double m[VALUES] = {0}, v[VALUES] = {0};
  for (guint64 step = 0; step < ADAM_STEPS; step++) {
    double gradient[VALUES] = {0}, square = 0.0;
    for (gsize i = 0; i < VALUES; i++) {
      for (guint batch = 0; batch < 3 * LANES; batch++) {
        gradient[i] += (double)made_gradient(batch % LANES, batch / LANES, step, i) / 12.0;
      }
      square += gradient[i] * gradient[i];
    }
    double clip = MIN(1.0, options->clip / sqrt(square)), rate = gem_trainer_rate(options, step);
    for (gsize i = 0; i < VALUES; i++) {
      m[i] = 0.9 * m[i] + 0.1 * gradient[i] * clip;
      v[i] = 0.98 * v[i] + 0.02 * gradient[i] * gradient[i] * clip * clip;
      values[i] *= i < MATRIX ? 1.0 - rate * options->weight_decay : 1.0; /* norms do not decay */
      values[i] -= rate * (m[i] / (1.0 - pow(0.9, (double)step + 1.0))) /
                   (sqrt(v[i] / (1.0 - pow(0.98, (double)step + 1.0))) + 1e-8);
    }
  }
}

static void
test_adamw(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemParameters) parameters = gem_parameters_new();
  gem_parameters_add(parameters, "general", 3, 70, 0.5f, "matrix");
  gem_parameters_add(parameters, "general", 1, NORM, -1.0f, "norm");
  g_autoptr(GemLanes) lanes = gem_lanes_new(LANES);
  GemTrainerOptions options = options_for(NULL, ADAM_STEPS);
  options.accumulate = 3;
  options.clip = 0.5;
  options.weight_decay = 0.3;
  g_autoptr(GemTrainer) trainer = gem_trainer_new(parameters, &options, lanes);
  double expected[VALUES];
  for (gsize i = 0; i < VALUES; i++) {
    expected[i] = (double)gem_trainer_values(trainer)[i];
  }
  guint64 step = 0;
  const GemTrainee trainee = {&step, prepare_made, run_made, NULL, NULL, NULL};
  g_assert_true(gem_trainer_run(trainer, &trainee, &error));
  adamw_reference(&options, expected);
  for (gsize i = 0; i < VALUES; i++) {
    g_assert_cmpfloat_with_epsilon((double)gem_trainer_values(trainer)[i], expected[i], 2e-6);
  }
}

static void
test_loss_falls(void)
{
  Network network;
  g_autoptr(GError) error = NULL;
  network_init(&network);
  const GemTrainerOptions options = options_for(NULL, 60);
  train(&network, &options, FALSE, &error);
  g_assert_no_error(error);
  g_assert_cmpfloat_with_epsilon(network.first_loss, log(262.0), 0.3); /* knows nothing */
  g_assert_cmpfloat(network.last_loss, <, 1.0);
  network_clear(&network);
}

static void
run_not_finite(gpointer data,
               guint lane,
               guint index,
               float scale,
               const float *values,
               float *gradients,
               GemTrainerTally *tally)
{
  tally->loss = *(guint64 *)data == 2 ? NAN : 1.0;
}

static void
run_bad_gradient(gpointer data,
                 guint lane,
                 guint index,
                 float scale,
                 const float *values,
                 float *gradients,
                 GemTrainerTally *tally)
{
  gradients[5] = *(guint64 *)data == 2 ? NAN : 0.1f;
  tally->loss = 1.0;
}

/* A run whose loss or gradient is lost stops, and its values and its last checkpoint are those of before. */
static void
check_not_finite(void (*run_lane)(gpointer, guint, guint, float, const float *, float *, GemTrainerTally *),
                 const char *message)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *dir = gem_test_folder_new(), *path = g_build_filename(dir, "state.gguf", NULL);
  g_autoptr(GemParameters) parameters = gem_parameters_new();
  gem_parameters_add(parameters, "general", 3, 70, 0.5f, "matrix");
  g_autoptr(GemLanes) lanes = gem_lanes_new(1);
  const GemTrainerOptions options = options_for(path, 9);
  g_autoptr(GemTrainer) trainer = gem_trainer_new(parameters, &options, lanes);
  guint64 step = 0;
  const GemTrainee trainee = {&step, prepare_made, run_lane, NULL, NULL, NULL};
  g_assert_false(gem_trainer_run(trainer, &trainee, &error));
  g_assert_error(error, GEM_TRAINER_ERROR, GEM_TRAINER_ERROR_NOT_FINITE);
  g_assert_cmpstr(error->message, ==, message); /* whoever has an option says so */
  g_assert_cmpuint(step_of(path), ==, 2);
  for (gsize i = 0; i < parameters->size; i++) {
    g_assert_true(isfinite(gem_trainer_values(trainer)[i]));
  }
  gem_test_folder_remove(dir);
}

static void
test_not_finite(void)
{
  check_not_finite(run_not_finite, "step 3: the loss is not finite");
  check_not_finite(run_bad_gradient, "step 3: the gradient is not finite");
}

/* ---- stopped and resumed ---- */

/* The checkpoint DIR/stopped.gguf that this program leaves when it is run again as `process`. */
static char *
stop_process(const char *dir, const char *process)
{
  g_assert_true(g_setenv("GEM_TEST_FOLDER", dir, TRUE));
  g_test_trap_subprocess(process, 0, G_TEST_SUBPROCESS_DEFAULT);
  return g_build_filename(dir, "stopped.gguf", NULL);
}

/* In that process: six steps, but for the signal. */
static gboolean
train_in_process(int signal, guint64 signal_at, double checkpoint_seconds, GError **error)
{
  Network network;
  g_autofree char *path = g_build_filename(g_getenv("GEM_TEST_FOLDER"), "stopped.gguf", NULL);
  network_init(&network);
  network.signal = signal;
  network.signal_at = signal_at;
  GemTrainerOptions options = options_for(path, 6);
  options.checkpoint_seconds = checkpoint_seconds;
  gboolean done = train(&network, &options, FALSE, error);
  network_clear(&network);
  return done;
}

/* Six steps at once, and the rest of six after the three that `stopped` holds, end with the same bytes. */
static void
resume_and_compare(const char *dir, const char *stopped)
{
  Network network;
  g_autoptr(GError) error = NULL;
  g_autofree char *whole = g_build_filename(dir, "whole.gguf", NULL);
  network_init(&network);
  const GemTrainerOptions at_once = options_for(whole, 6), resumed = options_for(stopped, 6);
  train(&network, &at_once, FALSE, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(step_of(stopped), ==, 3);
  train(&network, &resumed, TRUE, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(step_of(stopped), ==, 6);
  assert_same_files(whole, stopped);
  network_clear(&network);
}

/* A run that is told to end early is no failure, and what it leaves goes on like a killed one. */
static void
test_until(void)
{
  Network network;
  g_autoptr(GError) error = NULL;
  g_autofree char *dir = gem_test_folder_new();
  g_autofree char *stopped = g_build_filename(dir, "stopped.gguf", NULL);
  GemTrainerOptions options = options_for(stopped, 6);
  network_init(&network);
  options.until = 3;
  g_assert_true(train(&network, &options, FALSE, &error));
  g_assert_no_error(error);
  network_clear(&network);
  resume_and_compare(dir, stopped);
  gem_test_folder_remove(dir);
}

static void
test_killed_process(void)
{
  train_in_process(SIGKILL, 3, 0.0, NULL);
  g_assert_not_reached();
}

static void
test_killed(void)
{
  g_autofree char *dir = gem_test_folder_new(), *stopped = stop_process(dir, "/trainer/killed/subprocess");
  g_test_trap_assert_failed();
  resume_and_compare(dir, stopped);
  gem_test_folder_remove(dir);
}

/* The step in which the signal comes is still taken, and the checkpoint written though none was due. */
static void
test_interrupted_process(void)
{
  g_autoptr(GError) error = NULL;
  g_assert_false(train_in_process(SIGINT, 2, 1e6, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_nonnull(strstr(error->message, "stopped after step 3 of 6"));
  g_assert_nonnull(strstr(error->message, "--resume"));
}

static void
test_interrupted(void)
{
  g_autofree char *dir = gem_test_folder_new(),
                  *stopped = stop_process(dir, "/trainer/interrupted/subprocess");
  g_test_trap_assert_passed();
  resume_and_compare(dir, stopped);
  gem_test_folder_remove(dir);
}

static guint
count_entries(const char *dir)
{
  g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
  guint n = 0;
  while (g_dir_read_name(entries) != NULL) {
    n++;
  }
  return n;
}

/* The disk is full when the fourth step's checkpoint is written: the third's stands, nothing lies beside it,
 * and the run goes on from there. */
static void
test_full_disk(void)
{
  Network network;
  g_autoptr(GError) error = NULL;
  g_autofree char *dir = gem_test_folder_new(), *path = stop_process(dir, "/trainer/killed/subprocess");
  g_autofree char *copy = g_build_filename(dir, "copy", NULL), *before = NULL;
  gsize size = 0;
  g_assert_true(g_file_get_contents(path, &before, &size, NULL));
  g_assert_true(g_file_set_contents(copy, before, (gssize)size, NULL));

  struct rlimit unlimited, limited;
  signal(SIGXFSZ, SIG_IGN);
  g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &unlimited), ==, 0);
  limited = (struct rlimit){.rlim_cur = size / 2, .rlim_max = unlimited.rlim_max};
  network_init(&network);
  const GemTrainerOptions options = options_for(path, 6);
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limited), ==, 0);
  gboolean done = train(&network, &options, TRUE, &error);
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &unlimited), ==, 0);
  network_clear(&network);
  g_assert_false(done);
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, path));
  assert_same_files(copy, path);
  g_assert_cmpuint(count_entries(dir), ==, 2);
  resume_and_compare(dir, path);
  gem_test_folder_remove(dir);
}

/* A folder that is away in some of the steps: there no checkpoint can be written. */
typedef struct {
  guint64 step; /* first, for prepare_made */
  const char *dir, *away;
  guint64 goes_at, comes_at;
} Moved;

static void
move_folder(gpointer data, guint64 step)
{
  const Moved *moved = data;
  if (step == moved->goes_at) {
    g_assert_cmpint(g_rename(moved->dir, moved->away), ==, 0);
  }
  if (step == moved->comes_at) {
    g_assert_cmpint(g_rename(moved->away, moved->dir), ==, 0);
  }
}

static guint lost; /* checkpoints that were told of */

static void
count_lost(const char *message)
{
  lost += strstr(message, "no checkpoint at step ") != NULL ? 1 : 0;
}

/* Nine steps; what the last checkpoint is of afterwards, and how many were lost. */
static gboolean
train_moved(guint64 goes_at, guint64 comes_at, guint64 *ret_step, GError **error)
{
  g_autofree char *dir = gem_test_folder_new(), *folder = g_build_filename(dir, "here", NULL),
                  *away = g_build_filename(dir, "away", NULL),
                  *path = g_build_filename(folder, "state.gguf", NULL);
  g_autoptr(GemParameters) parameters = gem_parameters_new();
  gem_parameters_add(parameters, "general", 3, 70, 0.5f, "matrix");
  gem_parameters_add(parameters, "general", 1, NORM, -1.0f, "norm");
  g_autoptr(GemLanes) lanes = gem_lanes_new(1);
  const GemTrainerOptions options = options_for(path, 9);
  g_autoptr(GemTrainer) trainer = gem_trainer_new(parameters, &options, lanes);
  Moved moved = {.dir = folder, .away = away, .goes_at = goes_at, .comes_at = comes_at};
  const GemTrainee trainee = {&moved, prepare_made, run_made, move_folder, NULL, NULL};
  g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
  lost = 0;
  GPrintFunc before = g_set_printerr_handler(count_lost);
  gboolean done = gem_trainer_run(trainer, &trainee, error);
  g_set_printerr_handler(before);
  g_assert_true(done || g_rename(away, folder) == 0);
  *ret_step = step_of(path);
  gem_test_folder_remove(dir);
  return done;
}

/* On the way a checkpoint may fail, each is told of, and the next is tried; the last may not. */
static void
test_lost_checkpoints(void)
{
  g_autoptr(GError) error = NULL;
  guint64 step = 0;
  g_assert_true(train_moved(1, 3, &step, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(lost, ==, 2);
  g_assert_cmpuint(step, ==, 9);
  g_assert_false(train_moved(6, NEVER, &step, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_assert_nonnull(strstr(error->message, "state.gguf"));
  g_assert_cmpuint(lost, ==, 3);
  g_assert_cmpuint(step, ==, 6);
}

static void
assert_resume_refused(const GemTrainerOptions *options, const char *with)
{
  Network network;
  g_autoptr(GError) error = NULL;
  network_init(&network);
  g_assert_false(train(&network, options, TRUE, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  if (strstr(error->message, with) == NULL || strstr(error->message, options->checkpoint) == NULL) {
    g_test_message("'%s' does not name '%s' and the file", error->message, with);
    g_test_fail();
  }
  network_clear(&network);
}

/* Another run than the one that the checkpoint is of. */
static void
test_other_options(void)
{
  g_autofree char *dir = gem_test_folder_new(), *path = stop_process(dir, "/trainer/killed/subprocess");
  GemTrainerOptions options = options_for(path, 6);
  options.seed = 5;
  assert_resume_refused(&options, "train.seed is 4 there and 5 on the command line");
  options = options_for(path, 6);
  options.accumulate = 2;
  assert_resume_refused(&options, "train.accumulate is 1 there and 2");
  options = options_for(path, 4);
  options.warm_up = 1;
  options.decay_share = 1.0; /* the rate falls from the second step on, in three steps or in five */
  assert_resume_refused(&options, "train.steps is 6 there and 4");
  g_autoptr(GError) error = NULL;
  Network network;
  network_init(&network);
  options = options_for(path, 8); /* the rate has not begun to fall under either */
  train(&network, &options, TRUE, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(step_of(path), ==, 8);
  network_clear(&network);
  gem_test_folder_remove(dir);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  gem_matmul_select("fp32", NULL);
  g_test_add_func("/trainer/rate", test_rate);
  g_test_add_func("/trainer/adamw", test_adamw);
  g_test_add_func("/trainer/loss-falls", test_loss_falls);
  g_test_add_func("/trainer/not-finite", test_not_finite);
  g_test_add_func("/trainer/until", test_until);
  g_test_add_func("/trainer/killed", test_killed);
  g_test_add_func("/trainer/killed/subprocess", test_killed_process);
  g_test_add_func("/trainer/interrupted", test_interrupted);
  g_test_add_func("/trainer/interrupted/subprocess", test_interrupted_process);
  g_test_add_func("/trainer/full-disk", test_full_disk);
  g_test_add_func("/trainer/lost-checkpoints", test_lost_checkpoints);
  g_test_add_func("/trainer/other-options", test_other_options);
  return g_test_run();
}
