#include "daemon/learned/gem-learned-store.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/gem-log.h"
#include "daemon/learned/gem-learned-output.h"
#include "dbus/gem-error.h"

#define RECORD     "domain"
#define TEXT       "text"
#define CHECKPOINT "checkpoint"
#define OUTPUT     "output"

#define MOST_RECORD_BYTES (1u << 20)

struct _GemLearnedStore {
  char *dir;
  GThreadPool *pool; /* of one thread, of GTask */
};

/* One piece of work of the thread. */
typedef struct {
  GTaskThreadFunc work;
  char *root;   /* STATE/learned */
  char *folder; /* of the domain; NULL: all of them */
  char *text;   /* of the record, to be written */
  guint version, previous;
  gboolean learning, keeps_files, commits;
} Work;

static void
work_free(gpointer data)
{
  Work *work = data;

  g_free(work->root);
  g_free(work->folder);
  g_free(work->text);
  g_free(work);
}

static void
run(gpointer data, gpointer unused)
{
  g_autoptr(GTask) task = data;
  const Work *work = g_task_get_task_data(task);

  work->work(task, NULL, (gpointer)work, NULL);
}

GemLearnedStore *
gem_learned_store_new(const char *state_dir)
{
  GemLearnedStore *self = g_new0(GemLearnedStore, 1);

  self->dir = g_build_filename(state_dir, "learned", NULL);
  self->pool = g_thread_pool_new(run, NULL, 1, FALSE, NULL);
  return self;
}

void
gem_learned_store_free(GemLearnedStore *self)
{
  g_thread_pool_free(self->pool, FALSE, TRUE);
  g_free(self->dir);
  g_free(self);
}

static char *
folder_of(const char *dir, const GemLearnedRecord *record)
{
  g_autofree char *user = g_strdup_printf("%u", record->uid);

  return g_build_filename(dir, user, record->name, NULL);
}

static char *
version_file(guint number)
{
  return g_strdup_printf("version-%u.gguf", number);
}

static gboolean
fail(const char *what, GError **error)
{
  int saved = errno;

  g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "%s: %s", what, g_strerror(saved));
  return FALSE;
}

/* ---- the thread's side ---- */

static gboolean
is_named(const char *file, const Work *work)
{
  g_autofree char *version = version_file(work->version), *previous = version_file(work->previous);

  if (g_str_equal(file, RECORD) || (work->version > 0 && g_str_equal(file, version)) ||
      (work->previous > 0 && g_str_equal(file, previous))) {
    return TRUE;
  }
  return work->learning &&
         (g_str_equal(file, TEXT) || g_str_equal(file, CHECKPOINT) || g_str_equal(file, OUTPUT));
}

/* Removes files that `work` does not name (NULL: all) from a folder of plain files. */
static gboolean
sweep(const char *folder, const Work *work)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *file;
  gboolean clean = dir != NULL;

  while (dir != NULL && (file = g_dir_read_name(dir)) != NULL) {
    g_autofree char *path = g_build_filename(folder, file, NULL);

    if (work == NULL || !is_named(file, work)) {
      clean = g_unlink(path) == 0 && clean;
    }
  }
  return clean;
}

static gboolean
sync_folder(const char *path, int flags)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
  gboolean synced = fd >= 0 && fsync(fd) == 0;
  int saved = errno;

  if (fd >= 0) {
    close(fd);
  }
  errno = saved;
  return synced;
}

/* 0: there is none. */
static guint64
size_of(const char *path)
{
  GStatBuf info;

  return g_lstat(path, &info) == 0 && S_ISREG(info.st_mode) ? (guint64)info.st_size : 0;
}

/* FALSE: the one before is still there. */
static gboolean
replace_record(const Work *work, GError **error)
{
  g_autofree char *path = g_build_filename(work->folder, RECORD, NULL);
  g_autoptr(GError) local = NULL;

  if (!g_file_set_contents_full(path, work->text, -1,
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, &local)) {
    errno = g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOSPC) ? ENOSPC : EIO;
    return fail("the record of the domain", error);
  }
  return TRUE;
}

/* What was learned becomes the version's file, and then the record says so. Where that fails nothing names
 * what is left of it, which may be what there was no room for. */
static gboolean
commit_files(const Work *work, const char *path, GError **error)
{
  g_autofree char *output = g_build_filename(work->folder, OUTPUT, NULL);

  if (!gem_learned_output_copy(output, path, error)) {
    g_unlink(output);
    return FALSE;
  }
  if (!replace_record(work, error)) {
    g_unlink(output);
    g_unlink(path);
    return FALSE;
  }
  return TRUE;
}

static void
save(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Work *work = data;
  g_autofree char *file = version_file(work->version);
  g_autofree char *path = g_build_filename(work->folder, file, NULL);
  GError *error = NULL;

  if ((work->commits ? commit_files(work, path, &error) : replace_record(work, &error)) &&
      (sync_folder(work->folder, O_NOFOLLOW) || fail("the folder of the domain", &error)) &&
      !work->keeps_files) {
    sweep(work->folder, work);
  }
  if (error != NULL) {
    g_task_return_error(task, error);
  } else {
    g_task_return_int(task, (gssize)size_of(path));
  }
}

/* With what leads to it, durably: a record is not found by a way that was never written. An administrator
 * may have put links there, and what they lead to may not be ours to open: it is no more than a precaution.
 */
static gboolean
make_folder(const char *folder)
{
  g_autofree char *user = g_path_get_dirname(folder), *all = g_path_get_dirname(user);
  g_autofree char *state = g_path_get_dirname(all);
  const char *const above[] = {user, all, state};

  if (g_mkdir_with_parents(folder, 0700) != 0) {
    return FALSE;
  }
  for (gsize i = 0; i < G_N_ELEMENTS(above); i++) {
    sync_folder(above[i], 0);
  }
  return TRUE;
}

static void
begin(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Work *work = data;
  g_autofree char *path = g_build_filename(work->folder, TEXT, NULL);
  g_autofree char *checkpoint = g_build_filename(work->folder, CHECKPOINT, NULL);
  GError *error = NULL;
  int fd = -1;

  if (make_folder(work->folder)) {
    g_unlink(checkpoint); /* of another text */
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  }
  if (fd < 0) {
    fail("the copy of the text", &error);
    g_task_return_error(task, error);
  } else {
    g_task_return_int(task, fd);
  }
}

/* The record first, durably: without it the domain is none, and what else is left goes with the next start.
 * As long as it is there, all that it names is. */
static gboolean
remove_record(const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename(folder, RECORD, NULL);

  if (g_unlink(path) < 0 && errno != ENOENT) {
    return fail("the record of the domain", error);
  }
  return sync_folder(folder, O_NOFOLLOW) || fail("the folder of the domain", error);
}

/* Whether it is known not to be there: that it cannot be looked at is no answer. */
static gboolean
is_absent(const char *path)
{
  GStatBuf status;

  return g_lstat(path, &status) < 0 && errno == ENOENT;
}

static void
forget(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Work *work = data;
  GError *error = NULL;

  if (!is_absent(work->folder) && remove_record(work->folder, &error) &&
      !(sweep(work->folder, NULL) && g_rmdir(work->folder) == 0)) {
    fail("the files of the domain", &error);
  }
  if (error != NULL) {
    g_task_return_error(task, error);
  } else {
    g_task_return_boolean(task, TRUE);
  }
}

/* What a learning leaves that was begun and never ordered, or never came to anything. */
static void
remove_folder(const char *folder)
{
  sweep(folder, NULL);
  g_rmdir(folder);
}

/* All that was found. */
typedef struct {
  GPtrArray *records;
  GPtrArray *left; /* "UID/NAME" of those whose record does not hold, or cannot be read */
  guint unread;    /* these, and folders that cannot be read */
  guint users;     /* folders of users */
  gboolean there;
} Loaded;

static void
loaded_free(gpointer data)
{
  Loaded *loaded = data;

  g_ptr_array_unref(loaded->records);
  g_ptr_array_unref(loaded->left);
  g_free(loaded);
}

static guint64
size_of_version(const char *folder, guint number)
{
  g_autofree char *file = version_file(number);
  g_autofree char *path = g_build_filename(folder, file, NULL);

  return number > 0 ? size_of(path) : 0;
}

/* One folder: its record; or NULL. One that has a record which cannot be read is left as it is: what else is
 * in it may be wanted. */
static GemLearnedRecord *
load_one(const char *folder, guint uid, const char *name, Loaded *loaded)
{
  g_autofree char *path = g_build_filename(folder, RECORD, NULL);
  g_autofree char *text = NULL;
  g_autoptr(GemLearnedRecord) record = NULL;
  gsize length = 0;

  if (is_absent(path)) {
    remove_folder(folder);
    return NULL;
  }
  if (gem_learned_name_check(name, NULL) && size_of(path) > 0 && size_of(path) <= MOST_RECORD_BYTES &&
      g_file_get_contents(path, &text, &length, NULL)) {
    record = gem_learned_record_from_text(uid, name, text, length, NULL);
  }
  if (record == NULL) {
    g_ptr_array_add(loaded->left, g_strdup_printf("%u/%s", uid, name));
    loaded->unread++;
    return NULL;
  }
  if (record->version.number == 0 && record->order == NULL && record->outcome == NULL) {
    remove_folder(folder);
    return NULL;
  }
  sweep(folder, &(Work){.version = record->version.number,
                        .previous = record->previous.number,
                        .learning = record->order != NULL});
  record->version.bytes = size_of_version(folder, record->version.number);
  record->previous.bytes = size_of_version(folder, record->previous.number);
  return g_steal_pointer(&record);
}

/* A folder that is there and cannot be opened is told of: what was learned would be gone without a word. */
static GDir *
open_folder(const char *path, Loaded *loaded)
{
  g_autoptr(GError) error = NULL;
  GDir *dir = g_dir_open(path, 0, &error);

  if (dir == NULL && !g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
    loaded->unread++;
  }
  return dir;
}

/* The next name; NULL: there is none, or no further one can be read, which is told of. */
static const char *
next_name(GDir *dir, Loaded *loaded)
{
  errno = 0;
  const char *name = g_dir_read_name(dir);

  loaded->unread += name == NULL && errno != 0 ? 1 : 0;
  return name;
}

static void
load_user(const char *root, const char *user, Loaded *loaded)
{
  g_autofree char *path = g_build_filename(root, user, NULL);
  g_autoptr(GDir) dir = NULL;
  guint64 uid = 0;
  const char *name;

  if (!g_ascii_string_to_unsigned(user, 10, 0, G_MAXUINT32, &uid, NULL)) {
    return;
  }
  dir = open_folder(path, loaded);
  loaded->users += dir != NULL ? 1 : 0;
  while (dir != NULL && (name = next_name(dir, loaded)) != NULL) {
    g_autofree char *folder = g_build_filename(path, name, NULL);
    GemLearnedRecord *record = load_one(folder, (guint)uid, name, loaded);

    if (record != NULL) {
      g_ptr_array_add(loaded->records, record);
    }
  }
}

static void
load_all(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Work *work = data;
  Loaded *loaded = g_new0(Loaded, 1);
  g_autoptr(GDir) dir = open_folder(work->root, loaded);
  const char *user;

  loaded->records = g_ptr_array_new_with_free_func((GDestroyNotify)gem_learned_record_free);
  loaded->left = g_ptr_array_new_with_free_func(g_free);
  loaded->there = dir != NULL;
  while (dir != NULL && (user = next_name(dir, loaded)) != NULL) {
    load_user(work->root, user, loaded);
  }
  g_task_return_pointer(task, loaded, loaded_free);
}

/* ---- the main loop's ---- */

/* Takes `work`. `record`: NULL for all of them. */
static void
start(GemLearnedStore *self,
      const GemLearnedRecord *record,
      Work *work,
      GAsyncReadyCallback callback,
      gpointer data)
{
  GTask *task = g_task_new(NULL, NULL, callback, data);

  work->root = g_strdup(self->dir);
  if (record != NULL) {
    work->folder = folder_of(self->dir, record);
    work->version = record->version.number;
    work->previous = record->previous.number;
    work->learning = record->order != NULL;
  }
  g_task_set_task_data(task, work, work_free);
  g_thread_pool_push(self->pool, task, NULL);
}

static Work *
work_new(GTaskThreadFunc function)
{
  Work *work = g_new0(Work, 1);

  work->work = function;
  return work;
}

void
gem_learned_store_load_async(GemLearnedStore *self, GAsyncReadyCallback callback, gpointer data)
{
  start(self, NULL, work_new(load_all), callback, data);
}

GPtrArray *
gem_learned_store_load_finish(GAsyncResult *result, GPtrArray **ret_left, guint *ret_unread)
{
  Loaded *loaded = g_task_propagate_pointer(G_TASK(result), NULL);
  GPtrArray *records = g_ptr_array_ref(loaded->records);

  *ret_left = g_ptr_array_ref(loaded->left);
  *ret_unread = loaded->unread;
  if (loaded->there) {
    g_autofree char *count = g_strdup_printf("%u", records->len),
                    *users = g_strdup_printf("%u", loaded->users);

    gem_log(LOG_INFO, GEM_LOG_DOMAINS_READ, (const char *[]){"GEM_COUNT", count, "GEM_USERS", users, NULL},
            "learned domains: %u, users with a folder: %u", records->len, loaded->users);
  }
  loaded_free(loaded);
  return records;
}

void
gem_learned_store_begin_async(GemLearnedStore *self,
                              const GemLearnedRecord *record,
                              GAsyncReadyCallback callback,
                              gpointer data)
{
  start(self, record, work_new(begin), callback, data);
}

int
gem_learned_store_begin_finish(GAsyncResult *result, GError **error)
{
  return (int)g_task_propagate_int(G_TASK(result), error);
}

void
gem_learned_store_save_async(GemLearnedStore *self,
                             const GemLearnedRecord *record,
                             gboolean keeps_files,
                             GAsyncReadyCallback callback,
                             gpointer data)
{
  Work *work = work_new(save);

  work->text = gem_learned_record_to_text(record);
  work->keeps_files = keeps_files;
  start(self, record, work, callback, data);
}

void
gem_learned_store_commit_async(GemLearnedStore *self,
                               const GemLearnedRecord *record,
                               GAsyncReadyCallback callback,
                               gpointer data)
{
  Work *work = work_new(save);

  work->text = gem_learned_record_to_text(record);
  work->commits = TRUE;
  start(self, record, work, callback, data);
}

gboolean
gem_learned_store_save_finish(GAsyncResult *result, guint64 *ret_bytes, GError **error)
{
  gssize bytes = g_task_propagate_int(G_TASK(result), error);

  if (bytes >= 0 && ret_bytes != NULL) {
    *ret_bytes = (guint64)bytes;
  }
  return bytes >= 0;
}

void
gem_learned_store_remove_async(GemLearnedStore *self,
                               const GemLearnedRecord *record,
                               GAsyncReadyCallback callback,
                               gpointer data)
{
  start(self, record, work_new(forget), callback, data);
}

gboolean
gem_learned_store_remove_finish(GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean(G_TASK(result), error);
}

/* ---- files ---- */

void
gem_learned_files_clear(GemLearnedFiles *files)
{
  int *const all[] = {&files->text, &files->checkpoint, &files->output};

  for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
    if (*all[i] >= 0) {
      close(*all[i]);
      *all[i] = -1;
    }
  }
}

gboolean
gem_learned_files_open(const char *folder, GemLearnedFiles *ret_files, GError **error)
{
  g_autofree char *text = g_build_filename(folder, TEXT, NULL);
  g_autofree char *checkpoint = g_build_filename(folder, CHECKPOINT, NULL);
  g_autofree char *output = g_build_filename(folder, OUTPUT, NULL);
  g_auto(GemLearnedFiles) files = {-1, -1, -1};

  files.text = open(text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (files.text < 0) {
    return fail("the copy of the text", error);
  }
  files.checkpoint = open(checkpoint, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  /* A process before this one may still have the file that was there. */
  g_unlink(output);
  files.output = open(output, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (files.checkpoint < 0 || files.output < 0) {
    return fail("the files of the learning", error);
  }
  *ret_files =
      (GemLearnedFiles){g_steal_fd(&files.text), g_steal_fd(&files.checkpoint), g_steal_fd(&files.output)};
  return TRUE;
}

char *
gem_learned_store_get_folder(GemLearnedStore *self, const GemLearnedRecord *record)
{
  return folder_of(self->dir, record);
}

char *
gem_learned_store_get_file(GemLearnedStore *self, const GemLearnedRecord *record)
{
  g_autofree char *folder = folder_of(self->dir, record);
  g_autofree char *file = version_file(record->version.number);

  return g_build_filename(folder, file, NULL);
}
