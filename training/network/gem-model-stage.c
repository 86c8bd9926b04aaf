#include "training/network/gem-model-stage.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/gem-file.h"
#include "format/gem-gguf.h"
#include "format/gem-manifest.h"

#define MANIFEST_FILE "manifest"
#define MARK_FILE     ".staged" /* in a stage, until it takes its place; locked by whoever works on it */
#define RANDOM_DIGITS 8u

struct _GemModelStage {
  char *folder;       /* no link, no slash at its end */
  char *stage;        /* folder of the new files */
  int mark;           /* the descriptor that locks it, or -1 */
  gboolean committed; /* the stage is no longer ours */
  GPtrArray *made;    /* char*: folders that lead to it and were not there, the lowest first */
  gboolean is_there;  /* the folder is */
  struct stat status; /* of the folder, if it is there */
};

static gboolean
fail(const char *path, const char *what, int number, GError **error)
{
  g_autofree char *shown = g_filename_display_name(path);
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO, "%s: %s: %s", shown, what, g_strerror(number));
  return FALSE;
}

/* ---- the folder that is replaced ---- */

/* Finds out what is there. A link that leads to a folder stays. */
static gboolean
find_folder(GemModelStage *self, const char *folder, GError **error)
{
  struct stat link;
  self->is_there = stat(folder, &self->status) == 0;
  if (self->is_there ? !S_ISDIR(self->status.st_mode) : lstat(folder, &link) == 0) {
    return fail(folder, "cannot make the folder", self->is_there ? ENOTDIR : EEXIST, error);
  }
  if (self->is_there) {
    char *resolved = realpath(folder, NULL);
    self->folder = g_strdup(resolved);
    free(resolved);
    return (self->folder != NULL && access(self->folder, W_OK) == 0) ||
           fail(folder, "cannot write to the folder", errno, error);
  }
  self->folder = g_canonicalize_filename(folder, NULL);
  g_autofree char *above = g_path_get_dirname(self->folder);
  self->made = gem_file_list_missing(above);
  if (g_mkdir_with_parents(above, 0755) != 0) {
    return fail(folder, "cannot make the folder", errno, error);
  }
  for (guint i = 0; i < self->made->len; i++) {
    g_autofree char *one_above = g_path_get_dirname(self->made->pdata[i]);
    gem_file_sync_folder(one_above);
  }
  return TRUE;
}

/* Transfer full, of char*; a folder that cannot be read has none. */
static GPtrArray *
list_entries(const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    g_ptr_array_add(names, g_strdup(name));
  }
  return names;
}

/* ---- what was left behind ---- */

/* Whether the name is that of a stage: PREFIX.XXXXXXXX.tmp. */
static gboolean
is_stage_name(const char *name, const char *prefix)
{
  gsize length = strlen(prefix);
  return strncmp(name, prefix, length) == 0 && name[length] == '.' &&
         strspn(name + length + 1, "0123456789abcdef") == RANDOM_DIGITS &&
         strcmp(name + length + 1 + RANDOM_DIGITS, ".tmp") == 0;
}

/* The mark of a stage of ours whose process is no more, locked; or -1: there is none, or somebody works on
 * it, or did until now: then it is no stage any more. */
static int
lock_left_behind(int folder)
{
  struct stat status;
  int mark = fstat(folder, &status) == 0 && status.st_uid == geteuid()
                 ? openat(folder, MARK_FILE, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
                 : -1;
  if (mark >= 0 && (flock(mark, LOCK_EX | LOCK_NB) != 0 || fstat(mark, &status) != 0 ||
                    !S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink == 0)) {
    close(mark);
    return -1;
  }
  return mark;
}

/* Removes one stage, if it was left behind, and is no link to one. The mark goes last: what is left after all
 * is still known. One that has not got it yet is empty. */
static void
sweep_stage(const char *stage)
{
  int folder = open(stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int mark = folder >= 0 ? lock_left_behind(folder) : -1;
  if (mark >= 0) {
    g_autoptr(GPtrArray) names = list_entries(stage);
    for (guint i = 0; i < names->len; i++) {
      if (strcmp(names->pdata[i], MARK_FILE) != 0) {
        unlinkat(folder, names->pdata[i], 0);
      }
    }
    unlinkat(folder, MARK_FILE, 0);
    close(mark);
  }
  if (folder >= 0) {
    g_rmdir(stage); /* nothing, unless it is empty */
    close(folder);
  }
}

/* Removes what processes that were killed have left of stages PREFIX.XXXXXXXX.tmp. One that took its place
 * has no mark any more: what lies there then is of the old folder, and stays. */
static void
sweep_stages(const char *prefix)
{
  const char *base = strrchr(prefix, G_DIR_SEPARATOR) + 1; /* it is absolute */
  g_autofree char *above = g_strndup(prefix, (gsize)(base - prefix));
  g_autoptr(GPtrArray) names = list_entries(above);
  for (guint i = 0; i < names->len; i++) {
    if (is_stage_name(names->pdata[i], base)) {
      g_autofree char *stage = g_strconcat(above, names->pdata[i], NULL);
      sweep_stage(stage);
    }
  }
}

/* Marks the new stage, so that it is known if this process is killed. FALSE: another one was there first and
 * sweeps it away. Where nothing can be locked nobody sweeps. */
static gboolean
mark_stage(GemModelStage *self, const char *stage)
{
  g_autofree char *path = g_build_filename(stage, MARK_FILE, NULL);
  struct stat status;
  int mark = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (mark < 0) {
    return errno != ENOENT;
  }
  if ((flock(mark, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
      (fstat(mark, &status) == 0 && status.st_nlink == 0)) {
    close(mark);
    return FALSE;
  }
  self->mark = mark;
  return TRUE;
}

/* From now on it is no stage to be swept away. */
static void
unmark_stage(GemModelStage *self)
{
  if (self->mark >= 0) {
    g_autofree char *path = g_build_filename(self->stage, MARK_FILE, NULL);
    g_unlink(path);
    close(self->mark);
    self->mark = -1;
  }
}

/* ---- the folder of the new files ---- */

/* A new folder of that name and more; FALSE with errno. What is to take the place of a folder is for nobody
 * else to read until it has that one's rights. */
static gboolean
make_stage(GemModelStage *self, const char *prefix)
{
  for (guint attempt = 0; attempt < 100; attempt++) {
    g_autofree char *path = g_strdup_printf("%s.%08x.tmp", prefix, g_random_int());
    if (g_mkdir(path, self->is_there ? 0700 : 0755) != 0) {
      if (errno != EEXIST) {
        return FALSE;
      }
    } else if (mark_stage(self, path)) {
      self->stage = g_steal_pointer(&path);
      return TRUE;
    }
  }
  errno = EEXIST;
  return FALSE;
}

/* Whether no other folder may take its place: that cannot be done to a mount point, and whoever works in it
 * would then stand in one that is no more. */
static gboolean
must_stay(const GemModelStage *self)
{
  struct statx status;
  struct stat here;
  gboolean mounted = statx(AT_FDCWD, self->folder, 0, STATX_TYPE, &status) != 0 ||
                     (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  return mounted ||
         (stat(".", &here) == 0 && here.st_dev == self->status.st_dev && here.st_ino == self->status.st_ino);
}

GemModelStage *
gem_model_stage_new(const char *folder, GError **error)
{
  g_autoptr(GemModelStage) self = g_new0(GemModelStage, 1);
  self->mark = -1;
  if (!find_folder(self, folder, error)) {
    return NULL;
  }
  g_autofree char *within = g_strconcat(self->folder, G_DIR_SEPARATOR_S, NULL);
  sweep_stages(self->folder);
  if (self->is_there) {
    sweep_stages(within);
  }
  gboolean made = (!self->is_there || !must_stay(self)) && make_stage(self, self->folder);
  if (!made && !(self->is_there && make_stage(self, within))) {
    fail(folder, "cannot make the folder", errno, error);
    return NULL;
  }
  return g_steal_pointer(&self);
}

const char *
gem_model_stage_get_folder(const GemModelStage *self)
{
  return self->stage;
}

gboolean
gem_model_stage_add(const GemModelStage *self, const char *file, GBytes *bytes, GError **error)
{
  g_autofree char *path = g_build_filename(self->stage, file, NULL);
  g_autoptr(GPtrArray) parts = g_ptr_array_new();
  g_ptr_array_add(parts, bytes);
  return gem_file_replace(path, parts, error);
}

static void
remove_stage(const char *stage)
{
  g_autoptr(GPtrArray) names = list_entries(stage);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename(stage, names->pdata[i], NULL);
    g_unlink(path);
  }
  g_rmdir(stage);
}

void
gem_model_stage_free(GemModelStage *self)
{
  if (!self->committed && self->stage != NULL) {
    remove_stage(self->stage);
  }
  if (self->mark >= 0) {
    close(self->mark);
  }
  for (guint i = 0; !self->committed && self->made != NULL && i < self->made->len; i++) {
    g_rmdir(self->made->pdata[i]);
  }
  g_clear_pointer(&self->made, g_ptr_array_unref);
  g_free(self->folder);
  g_free(self->stage);
  g_free(self);
}

/* ---- into its place ---- */

/* A set of char*: the files of the new model, and those that the manifest of the old one names. */
static GHashTable *
list_model_files(const GemModelStage *self, const char *const *files)
{
  GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GemManifest) old = gem_manifest_load(self->folder, NULL);
  const char *const *lists[] = {files, old != NULL ? gem_manifest_get_files(old) : NULL};
  g_hash_table_add(names, g_strdup(MANIFEST_FILE));
  for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
    for (const char *const *name = lists[i]; name != NULL && *name != NULL; name++) {
      g_hash_table_add(names, g_strdup(*name));
    }
  }
  return names;
}

/* What stands where a file of a model is to be, and is no file, is nothing to remove. `ret_movable`: all else
 * in the folder could be moved to another one. */
static gboolean
check_entries(const GemModelStage *self, GHashTable *files, gboolean *ret_movable, GError **error)
{
  g_autoptr(GPtrArray) names = list_entries(self->folder);
  gboolean movable = access(self->folder, R_OK) == 0; /* or what is in it is not known */
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename(self->folder, names->pdata[i], NULL);
    struct stat status;
    gboolean known = lstat(path, &status) == 0;
    if (g_hash_table_contains(files, names->pdata[i]) && known && !S_ISREG(status.st_mode) &&
        !S_ISLNK(status.st_mode)) {
      return fail(path, "cannot be replaced", S_ISDIR(status.st_mode) ? EISDIR : EINVAL, error);
    }
    movable = movable && known && status.st_dev == self->status.st_dev &&
              (!S_ISDIR(status.st_mode) || access(path, W_OK) == 0);
  }
  *ret_movable = movable;
  return TRUE;
}

static gboolean
move(const char *from, const char *to, const char *name, GError **error)
{
  g_autofree char *source = g_build_filename(from, name, NULL), *target = g_build_filename(to, name, NULL);
  return g_rename(source, target) == 0 || fail(source, "cannot be moved to the folder", errno, error);
}

static gboolean
remove_file(const char *folder, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename(folder, name, NULL);
  return g_unlink(path) == 0 || errno == ENOENT || fail(path, "cannot be removed", errno, error);
}

static gboolean
remove_folder(const char *folder, GError **error)
{
  return g_rmdir(folder) == 0 || errno == ENOENT || fail(folder, "cannot be removed", errno, error);
}

/* The one that takes its place has the rights of the old one. That its owner cannot be kept by all is no
 * error. */
static gboolean
take_rights(const GemModelStage *self, GError **error)
{
  gboolean owned = chown(self->stage, self->status.st_uid, self->status.st_gid) == 0;
  (void)owned;
  return chmod(self->stage, self->status.st_mode & 07777) == 0 ||
         fail(self->stage, "cannot be given the rights of the folder", errno, error);
}

/* After the exchange, when the stage is the old folder. All is tried, the first error counts. */
static gboolean
clear_old(const GemModelStage *self, GHashTable *files, GError **error)
{
  const char *old = self->stage;
  g_autoptr(GPtrArray) names = list_entries(old);
  gboolean cleared = TRUE;
  for (guint i = 0; i < names->len; i++) {
    const char *name = names->pdata[i];
    GError **first = cleared ? error : NULL;
    cleared &= g_hash_table_contains(files, name) ? remove_file(old, name, first)
                                                  : move(old, self->folder, name, first);
  }
  return remove_folder(old, cleared ? error : NULL) && cleared;
}

/* One after the other, the manifest last; then what the old model had besides goes. */
static gboolean
move_all(GemModelStage *self, const char *const *files, GHashTable *all, GError **error)
{
  for (guint i = 0; files[i] != NULL; i++) {
    if (!move(self->stage, self->folder, files[i], error)) {
      return FALSE;
    }
  }
  if (!move(self->stage, self->folder, MANIFEST_FILE, error)) {
    return FALSE;
  }
  gem_file_sync_folder(self->folder);
  GHashTableIter iter;
  gpointer name;
  g_hash_table_iter_init(&iter, all);
  while (g_hash_table_iter_next(&iter, &name, NULL)) {
    if (strcmp(name, MANIFEST_FILE) != 0 && !g_strv_contains(files, name) &&
        !remove_file(self->folder, name, error)) {
      return FALSE;
    }
  }
  self->committed = TRUE;
  unmark_stage(self);
  return remove_folder(self->stage, error);
}

static gboolean
replace(GemModelStage *self, const char *const *files, GError **error)
{
  g_autoptr(GHashTable) all = list_model_files(self, files);
  gboolean movable = FALSE, beside = !g_str_has_prefix(self->stage, self->folder) ||
                                     self->stage[strlen(self->folder)] != G_DIR_SEPARATOR;
  if (!check_entries(self, all, &movable, error)) {
    return FALSE;
  }
  if (!movable || !beside) {
    return move_all(self, files, all, error);
  }
  if (!take_rights(self, error)) {
    return FALSE;
  }
  unmark_stage(self);
  if (renameat2(AT_FDCWD, self->stage, AT_FDCWD, self->folder, RENAME_EXCHANGE) != 0) {
    return move_all(self, files, all, error);
  }
  self->committed = TRUE;
  g_autofree char *above = g_path_get_dirname(self->folder);
  gem_file_sync_folder(above);
  return clear_old(self, all, error);
}

gboolean
gem_model_stage_commit(GemModelStage *self, const char *name, const char *const *files, GError **error)
{
  if (!gem_manifest_write(self->stage, name, files, error)) {
    return FALSE;
  }
  if (self->is_there) {
    return replace(self, files, error);
  }
  unmark_stage(self);
  if (g_rename(self->stage, self->folder) != 0) {
    return fail(self->folder, "cannot make the folder", errno, error);
  }
  self->committed = TRUE;
  g_autofree char *above = g_path_get_dirname(self->folder);
  gem_file_sync_folder(above);
  return TRUE;
}
