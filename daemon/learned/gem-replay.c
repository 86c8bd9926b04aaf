#include "daemon/learned/gem-replay.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Half of them is what a new domain is judged by: 1 % of a perplexity is not to be told from noise with fewer
 * than some thousand tokens. */
#define TEXTS_A_DOMAIN 64u
#define TEXT_TOKENS    128u
#define TEMPERATURE    1.0
/* Written side by side: more pass through a matrix together, and fewer leave it to others. */
#define SIDE_BY_SIDE 8u

/* A text needs a beginning; the rest is the domain's, and each has a seed of its own. */
static const char *const openings[] = {"The", "A",    "In",   "It",   "This", "When", "For", "How",
                                       "I",   "What", "With", "They", "On",   "We",   "If",  "One"};
G_STATIC_ASSERT(TEXTS_A_DOMAIN % G_N_ELEMENTS(openings) == 0);

/* One text that is being written; it frees itself when it is over. */
typedef struct {
  GemReplay *replay; /* NULL: it is gone */
  guint index;       /* among the slots */
  const char *domain;
  GString *text;
  GemSequence *sequence;
  GemGeneration *generation;
} Slot;

struct _GemReplay {
  GemEngine *engine;
  char *path; /* of the file that is kept */
  const GemReplayEvents *events;
  gpointer data;
  GCancellable *gone;
  GPtrArray *domains; /* const char*, "general" first */
  guint texts, started, ended;
  gboolean incomplete; /* a domain cannot be had now: what is written is for this once */
  GError *error;       /* the first; nothing more is started then */
  Slot *slots[SIDE_BY_SIDE];
  GVariantBuilder *builder; /* a(ss) */
  guint idle;
};

static void
replay_go_on(GemReplay *self);

/* ---- the file ---- */

static void
open_file(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  int fd = open(data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  g_task_return_int(task, fd);
}

typedef struct {
  char *path;
  GVariant *texts;
  gboolean keep; /* else nothing is left of it but the descriptor */
} File;

static void
file_free(gpointer data)
{
  File *file = data;

  g_free(file->path);
  g_variant_unref(file->texts);
  g_free(file);
}

/* The texts of other models go: they can be written again. */
static void
keep_alone(const char *path)
{
  g_autofree char *folder = g_path_get_dirname(path);
  g_autofree char *own = g_path_get_basename(path);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *other = g_build_filename(folder, name, NULL);

    if (!g_str_equal(name, own)) {
      g_unlink(other);
    }
  }
}

static void
write_file(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const File *file = data;
  g_autofree char *folder = g_path_get_dirname(file->path);
  GError *error = NULL;
  int fd = -1;

  if (g_mkdir_with_parents(folder, 0700) == 0 &&
      g_file_set_contents_full(file->path, g_variant_get_data(file->texts),
                               (gssize)g_variant_get_size(file->texts), G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                               NULL)) {
    keep_alone(file->path);
    fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (!file->keep) {
      g_unlink(file->path);
    }
  }
  if (fd < 0) {
    error = g_error_new(GEM_ERROR, GEM_ERROR_FAILED, "the texts of the other domains cannot be kept: %s",
                        g_strerror(errno));
    g_task_return_error(task, error);
  } else {
    g_task_return_int(task, fd);
  }
}

/* Whether there is still somebody; else what came is thrown away. */
static gboolean
take_descriptor(GAsyncResult *result, int *ret_fd, GError **error)
{
  gboolean gone = g_cancellable_is_cancelled(g_task_get_cancellable(G_TASK(result)));
  g_autoptr(GError) local = NULL;
  int fd = (int)g_task_propagate_int(G_TASK(result), &local);

  fd = local == NULL ? fd : -1;
  if (gone && fd >= 0) {
    close(fd);
  }
  if (!gone && local != NULL) {
    g_propagate_error(error, g_steal_pointer(&local));
  }
  *ret_fd = fd;
  return !gone;
}

static void
on_written(GObject *source, GAsyncResult *result, gpointer data)
{
  GemReplay *self = data;
  g_autoptr(GError) error = NULL;
  int fd = -1;

  if (take_descriptor(result, &fd, &error)) {
    self->events->ready(fd, error, self->data);
  }
}

static void
replay_write(GemReplay *self)
{
  g_autoptr(GTask) task = g_task_new(NULL, self->gone, on_written, self);
  File *file = g_new0(File, 1);

  file->path = g_strdup(self->path);
  file->keep = !self->incomplete;
  file->texts = g_variant_ref_sink(g_variant_builder_end(self->builder));
  g_task_set_check_cancellable(task, FALSE);
  g_task_set_task_data(task, file, file_free);
  g_task_run_in_thread(task, write_file);
}

/* ---- the texts ---- */

static void
slot_free(Slot *slot)
{
  g_clear_object(&slot->generation);
  g_clear_object(&slot->sequence);
  g_string_free(slot->text, TRUE);
  g_free(slot);
}

static gboolean
on_idle(gpointer data)
{
  GemReplay *self = data;

  self->idle = 0;
  replay_go_on(self);
  return G_SOURCE_REMOVE;
}

/* The first failure counts. A domain that cannot be had is left out, this time: the service runs without it,
 * too. */
static void
replay_note_failure(GemReplay *self, const GError *error)
{
  if (g_error_matches(error, GEM_ERROR, GEM_ERROR_PATHWAY)) {
    self->incomplete = TRUE;
  } else if (self->error == NULL) {
    self->error = g_error_copy(error);
  }
}

static void
on_text(const char *text, gsize length, gpointer data)
{
  Slot *slot = data;

  g_string_append_len(slot->text, text, (gssize)length);
}

static void
on_finished(const GemGenerateStats *stats, const GError *error, gpointer data)
{
  Slot *slot = data;
  GemReplay *self = slot->replay;
  g_autoptr(GError) stopped =
      g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the model is no longer served");

  if (self != NULL) {
    if (stats->reason == GEM_FINISH_SHUTDOWN || stats->reason == GEM_FINISH_FAILED) {
      replay_note_failure(self, error != NULL ? error : stopped);
    } else {
      g_variant_builder_add(self->builder, "(ss)", slot->domain, slot->text->str);
    }
    self->slots[slot->index] = NULL;
    self->ended++;
    /* Not from the engine's own callback. */
    if (self->idle == 0) {
      self->idle = g_idle_add(on_idle, self);
    }
  }
  slot_free(slot);
}

/* The next text into a free slot. */
static void
replay_start(GemReplay *self, guint index)
{
  static const GemGenerationEvents events = {.text = on_text, .finished = on_finished};
  const char *opening = openings[self->started % G_N_ELEMENTS(openings)];
  const char *domain = g_ptr_array_index(self->domains, self->started / TEXTS_A_DOMAIN);
  /* Waits for a pathway: what general writes alone is none of the domain's. */
  const GemRunOptions run = {.domain = (char *)domain,
                             .owner = GEM_OWNER_SERVICE,
                             .priority = GEM_PRIORITY_BATCH,
                             .page_in = GEM_PAGE_IN_WAIT};
  const GemGenerateOptions options = {
      .max_tokens = MIN(TEXT_TOKENS, gem_engine_get_context(self->engine) / 2),
      .temperature = TEMPERATURE,
      .seed = self->started + 1,
      .raw = TRUE,
  };
  g_autoptr(GError) error = NULL;
  Slot *slot = g_new0(Slot, 1);

  *slot = (Slot){.replay = self, .index = index, .domain = domain, .text = g_string_new(opening)};
  self->started++;
  slot->sequence = gem_engine_new_sequence(self->engine, &run, &error);
  if (slot->sequence != NULL) {
    slot->generation = gem_sequence_generate(slot->sequence, opening, &options, &events, slot, NULL, &error);
  }
  if (slot->generation != NULL) {
    self->slots[index] = slot;
  } else {
    self->ended++;
    replay_note_failure(self, error);
    slot_free(slot);
  }
}

static void
replay_go_on(GemReplay *self)
{
  g_autoptr(GError) error = NULL;
  guint running = 0;

  for (guint i = 0; i < SIDE_BY_SIDE; i++) {
    while (self->slots[i] == NULL && self->started < self->texts && self->error == NULL) {
      replay_start(self, i);
    }
    running += self->slots[i] != NULL;
  }
  self->events->progress((double)self->ended / self->texts, self->data);
  if (running > 0) {
    return;
  }
  if (self->error != NULL) {
    error = g_steal_pointer(&self->error); /* it may be freed there */
    self->events->ready(-1, error, self->data);
  } else {
    replay_write(self);
  }
}

/* ---- the whole ---- */

static void
on_opened(GObject *source, GAsyncResult *result, gpointer data)
{
  GemReplay *self = data;
  int fd = -1;

  if (!take_descriptor(result, &fd, NULL)) {
    return;
  }
  if (fd >= 0) {
    self->events->ready(fd, NULL, self->data);
  } else {
    replay_go_on(self);
  }
}

GemReplay *
gem_replay_new(
    GemEngine *engine, const char *state_dir, const char *model, const GemReplayEvents *events, gpointer data)
{
  /* Of this many texts: fewer that an earlier version wrote are written anew. */
  g_autofree char *identity = g_strdup_printf("%s %u", model, TEXTS_A_DOMAIN);
  g_autofree char *file = g_compute_checksum_for_string(G_CHECKSUM_SHA256, identity, -1);
  g_autoptr(GTask) task = NULL;
  GemReplay *self = g_new0(GemReplay, 1);
  const char *const *domains = gem_engine_get_domains(engine);

  self->engine = g_object_ref(engine);
  self->path = g_build_filename(state_dir, "replay", file, NULL);
  self->events = events;
  self->data = data;
  self->gone = g_cancellable_new();
  self->builder = g_variant_builder_new(G_VARIANT_TYPE("a(ss)"));
  self->domains = g_ptr_array_new();
  g_ptr_array_add(self->domains, (gpointer) "general");
  for (; *domains != NULL; domains++) {
    g_ptr_array_add(self->domains, (gpointer)g_intern_string(*domains));
  }
  self->texts = self->domains->len * TEXTS_A_DOMAIN;
  task = g_task_new(NULL, self->gone, on_opened, self);
  g_task_set_check_cancellable(task, FALSE);
  g_task_set_task_data(task, g_strdup(self->path), g_free);
  g_task_run_in_thread(task, open_file);
  return self;
}

void
gem_replay_free(GemReplay *self)
{
  g_cancellable_cancel(self->gone);
  g_clear_handle_id(&self->idle, g_source_remove);
  for (guint i = 0; i < SIDE_BY_SIDE; i++) {
    if (self->slots[i] != NULL) {
      self->slots[i]->replay = NULL;
      gem_generation_cancel(self->slots[i]->generation);
    }
  }
  g_variant_builder_unref(self->builder);
  g_ptr_array_unref(self->domains);
  g_clear_error(&self->error);
  g_object_unref(self->gone);
  g_object_unref(self->engine);
  g_free(self->path);
  g_free(self);
}
