#include "daemon/learned/gem-learning.h"

#include <glib/gstdio.h>
#include <string.h>

#include "daemon/learned/gem-replay.h"
#include "daemon/learned/gem-trainer.h"

/* Of the whole, what the other domains' texts take when they are not there yet; the trainer's share is of the
 * rest. */
#define REPLAY_SHARE 0.1
/* What the process may take beyond its time before it counts as dead: it plans for less than that, on a
 * machine that may be short of everything. */
#define GRACE_SECONDS 60u
#define GRACE_SHARE   4u /* and of the time one in so many */
/* A share that is told stays below 1 until it is over. */
#define MOST_SHARE 0.999

struct _GemLearning {
  const GemConfig *config;
  GemEngine *engine;
  GemLearnedModel *model;
  const GemLearningEvents *events;
  gpointer data;
  GCancellable *gone;
  GemAdaptPacket *start; /* with the files; NULL until they are open */
  GemReplay *replay;
  GemTrainer *trainer;
  gboolean spoke; /* the process has said something */
};

/* What the thread opens. */
typedef struct {
  GemLearnedModel *model;
  char *folder;
  GemLearnedFiles files;
  GemAdaptPacket *start; /* with the model's files; NULL when it was taken */
} Opening;

static void
opening_free(gpointer data)
{
  Opening *opening = data;

  gem_learned_files_clear(&opening->files);
  g_clear_pointer(&opening->start, gem_adapt_packet_free);
  gem_learned_model_unref(opening->model);
  g_free(opening->folder);
  g_free(opening);
}

/* One start after the other: what a start that was given up would open may be the next one's by now. */
static gboolean
open_files(Opening *opening, GCancellable *cancellable, GError **error)
{
  static GMutex mutex;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&mutex);

  return !g_cancellable_set_error_if_cancelled(cancellable, error) &&
         gem_learned_files_open(opening->folder, &opening->files, error);
}

static void
open_all(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Opening *opening = data;
  GError *error = NULL;

  if (gem_learned_model_open(opening->model, &opening->start->start, &error) &&
      open_files(opening, cancellable, &error)) {
    g_task_return_boolean(task, TRUE);
  } else {
    g_task_return_error(task, error);
  }
}

static void
learning_end(
    GemLearning *self, GemLearningEnd end, GVariant *figures, const char *reason, const GError *error)
{
  self->events->ended(end, figures, reason, error, self->data);
}

/* ---- what it came to ---- */

static GVariant *
describe_result(const GemAdaptResult *result)
{
  GVariantBuilder figures, others;

  g_variant_builder_init(&others, G_VARIANT_TYPE("a{sd}"));
  for (guint i = 0; i < result->others->len; i++) {
    const GemAdaptOther *other = &g_array_index(result->others, GemAdaptOther, i);

    g_variant_builder_add(&others, "{sd}", other->domain, other->percent);
  }
  g_variant_builder_init(&figures, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&figures, "{sv}", "held_out_before", g_variant_new_double(result->held_out_before));
  g_variant_builder_add(&figures, "{sv}", "held_out_after", g_variant_new_double(result->held_out_after));
  g_variant_builder_add(&figures, "{sv}", "worst_other_percent",
                        g_variant_new_double(result->worst_other_percent));
  g_variant_builder_add(&figures, "{sv}", "others", g_variant_builder_end(&others));
  g_variant_builder_add(&figures, "{sv}", "routed_share", g_variant_new_double(result->routed_share));
  g_variant_builder_add(&figures, "{sv}", "tokens", g_variant_new_uint64(result->tokens));
  g_variant_builder_add(&figures, "{sv}", "steps", g_variant_new_uint64(result->steps));
  g_variant_builder_add(&figures, "{sv}", "seconds", g_variant_new_double(result->seconds));
  return g_variant_ref_sink(g_variant_builder_end(&figures));
}

/* The process that learned is not the judge of it: its figures are held against the bounds here. NULL when
 * they hold. Transfer full. */
static char *
find_fault(const GemAdaptResult *result, const GemAdaptStart *asked)
{
  double gain =
      result->held_out_before > 0 ? 100 * (1 - result->held_out_after / result->held_out_before) : 0;
  double worst = result->worst_other_percent;

  for (guint i = 0; i < result->others->len; i++) {
    worst = MAX(worst, g_array_index(result->others, GemAdaptOther, i).percent);
  }
  if (!(gain >= asked->least_gain_percent)) {
    return g_strdup_printf("the perplexity of the held-out text fell by %.1f %%, %.1f %% are wanted", gain,
                           asked->least_gain_percent);
  }
  if (!(worst <= asked->worst_other_percent)) {
    return g_strdup_printf("the perplexity of another domain rose by %.2f %%, %.2f %% are allowed", worst,
                           asked->worst_other_percent);
  }
  return NULL;
}

static void
on_ended(const GemAdaptPacket *packet, const GError *error, gpointer data)
{
  GemLearning *self = data;
  g_autoptr(GVariant) figures = NULL;
  g_autoptr(GError) told = NULL;
  g_autofree char *fault = NULL;

  if (packet == NULL) {
    learning_end(self, self->spoke ? GEM_LEARNING_DIED : GEM_LEARNING_NOT_BEGUN, NULL, NULL, error);
    return;
  }
  if (packet->kind == GEM_ADAPT_ERROR || packet->kind == GEM_ADAPT_BAD_TEXT) {
    told =
        g_error_new(GEM_ERROR, packet->kind == GEM_ADAPT_BAD_TEXT ? GEM_ERROR_INVALID_TEXT : GEM_ERROR_FAILED,
                    "the domain cannot be learned: %s", packet->message);
    learning_end(self, GEM_LEARNING_FAILED, NULL, NULL, told);
    return;
  }
  figures = describe_result(&packet->result);
  fault = packet->kind == GEM_ADAPT_REFUSED ? g_strdup(packet->result.reason)
                                            : find_fault(&packet->result, &self->start->start);
  learning_end(self, fault != NULL ? GEM_LEARNING_REFUSED : GEM_LEARNING_DONE, figures, fault, NULL);
}

static void
on_progress(const GemAdaptProgress *progress, gpointer data)
{
  GemLearning *self = data;
  double share = REPLAY_SHARE + (1 - REPLAY_SHARE) * progress->share;

  self->spoke = TRUE;
  self->events->progress(MIN(share, MOST_SHARE), gem_adapt_phase_name(progress->phase), self->data);
}

/* ---- the way there ---- */

static void
learning_run(GemLearning *self)
{
  static const GemTrainerEvents events = {on_progress, on_ended};
  g_autoptr(GError) error = NULL;
  guint seconds = self->start->start.seconds;

  self->trainer = gem_trainer_start(self->config, self->start,
                                    seconds + seconds / GRACE_SHARE + GRACE_SECONDS, &events, self, &error);
  if (self->trainer == NULL) {
    learning_end(self,
                 g_error_matches(error, GEM_ERROR, GEM_ERROR_NOT_SUPPORTED) ? GEM_LEARNING_FAILED
                                                                            : GEM_LEARNING_NOT_BEGUN,
                 NULL, NULL, error);
  }
}

static void
on_replay_progress(double share, gpointer data)
{
  GemLearning *self = data;

  self->events->progress(share * REPLAY_SHARE, "replaying", self->data);
}

static void
on_replay(int fd, const GError *error, gpointer data)
{
  GemLearning *self = data;

  g_clear_pointer(&self->replay, gem_replay_free);
  if (fd < 0) {
    /* The model left in the middle of it: another one may come, or the same again. */
    learning_end(self,
                 g_error_matches(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN) ? GEM_LEARNING_NOT_BEGUN
                                                                            : GEM_LEARNING_FAILED,
                 NULL, NULL, error);
    return;
  }
  self->start->start.files[GEM_ADAPT_REPLAY] = fd;
  learning_run(self);
}

static void
learning_take_files(GemLearning *self, Opening *opening)
{
  int *files = opening->start->start.files;

  files[GEM_ADAPT_TEXT] = g_steal_fd(&opening->files.text);
  files[GEM_ADAPT_CHECKPOINT] = g_steal_fd(&opening->files.checkpoint);
  files[GEM_ADAPT_OUTPUT] = g_steal_fd(&opening->files.output);
  self->start = g_steal_pointer(&opening->start);
}

static void
on_opened(GObject *source, GAsyncResult *result, gpointer data)
{
  static const GemReplayEvents events = {on_replay_progress, on_replay};
  GTask *task = G_TASK(result);
  GemLearning *self = data;
  g_autoptr(GError) error = NULL;

  if (g_cancellable_is_cancelled(g_task_get_cancellable(task))) {
    return;
  }
  if (!g_task_propagate_boolean(task, &error)) {
    learning_end(self, GEM_LEARNING_NOT_BEGUN, NULL, NULL, error); /* files may be few for a moment */
    return;
  }
  learning_take_files(self, g_task_get_task_data(task));
  self->replay = gem_replay_new(self->engine, self->config->state_dir, self->model->identity, &events, self);
}

static GemAdaptPacket *
make_start(const GemConfig *config, const GemLearnedModel *model, const GemLearnedRecord *record)
{
  GemAdaptPacket *packet = gem_adapt_packet_new(GEM_ADAPT_START);
  GemAdaptStart *start = &packet->start;

  start->name = g_strdup(record->name);
  start->replaces = record->replaces[0] != '\0' ? g_strdup(record->replaces) : NULL;
  start->general_sha256 = g_strdup(model->general_sha256);
  start->router_sha256 = g_strdup(model->router_sha256);
  start->memory_bytes = CLAMP(config->adapt_memory, GEM_ADAPT_LEAST_MEMORY, GEM_ADAPT_MOST_MEMORY);
  start->seconds = CLAMP(record->order->seconds, 1, GEM_ADAPT_MAX_SECONDS);
  start->threads =
      CLAMP(config->threads > 0 ? config->threads : g_get_num_processors(), 1, GEM_ADAPT_MAX_THREADS);
  start->seed = record->order->seed;
  start->mode = g_str_equal(record->order->mode, "tapt") ? GEM_ADAPT_TAPT : GEM_ADAPT_DAPT;
  start->worst_other_percent = record->order->worst_other_percent;
  start->least_gain_percent = record->order->least_gain_percent;
  return packet;
}

GemLearning *
gem_learning_new(GemLearnedStore *store,
                 const GemConfig *config,
                 GemEngine *engine,
                 GemLearnedModel *model,
                 const GemLearnedRecord *record,
                 const GemLearningEvents *events,
                 gpointer data)
{
  GemLearning *self = g_new0(GemLearning, 1);
  Opening *opening = g_new0(Opening, 1);
  g_autoptr(GTask) task = NULL;

  self->config = config;
  self->engine = g_object_ref(engine);
  self->model = gem_learned_model_ref(model);
  self->events = events;
  self->data = data;
  self->gone = g_cancellable_new();
  *opening = (Opening){gem_learned_model_ref(model),
                       gem_learned_store_get_folder(store, record),
                       {-1, -1, -1},
                       make_start(config, model, record)};
  task = g_task_new(NULL, self->gone, on_opened, self);
  g_task_set_check_cancellable(task, FALSE);
  g_task_set_task_data(task, opening, opening_free);
  g_task_run_in_thread(task, open_all);
  return self;
}

GemTrainer *
gem_learning_take_trainer(GemLearning *self)
{
  return g_steal_pointer(&self->trainer);
}

void
gem_learning_free(GemLearning *self)
{
  g_cancellable_cancel(self->gone);
  g_clear_pointer(&self->replay, gem_replay_free);
  g_clear_pointer(&self->trainer, gem_trainer_free);
  g_clear_pointer(&self->start, gem_adapt_packet_free);
  g_object_unref(self->gone);
  g_object_unref(self->engine);
  gem_learned_model_unref(self->model);
  g_free(self);
}
