#include "format/gem-verified.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_FILE      "verified"
#define MAX_RECORD_BYTES 65536
#define SHA256_DIGITS    64

typedef struct {
  GemFileIdentity identity;
  char sha256[SHA256_DIGITS + 1];
  gboolean used; /* asked for or added: others are of files that are gone */
} Entry;

struct _GemVerified {
  char *dir; /* NULL: not to be trusted */
  GMutex mutex;
  GArray *entries; /* of Entry */
  gboolean changed;
};

/* ---- who may write ---- */

static gboolean
is_private(const struct stat *status)
{
  return status->st_uid == geteuid() && (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static gboolean
folder_is_private(const char *dir)
{
  struct stat status;
  return lstat(dir, &status) == 0 && S_ISDIR(status.st_mode) && is_private(&status);
}

/* The record's text; NULL when there is none that can be trusted. */
static char *
read_record(const char *dir)
{
  g_autofree char *path = g_build_filename(dir, RECORD_FILE, NULL);
  g_autofree char *text = NULL;
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) {
    return NULL;
  }
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && is_private(&status) &&
      status.st_size <= MAX_RECORD_BYTES) {
    text = g_malloc0((gsize)status.st_size + 1);
    if (read(fd, text, (gsize)status.st_size) != status.st_size) {
      g_clear_pointer(&text, g_free);
    }
  }
  close(fd);
  return g_steal_pointer(&text);
}

/* ---- lines: SHA-256 device inode size modified changed, times as seconds and nanoseconds ---- */

#define NUMBERS 7

static gboolean
parse_line(const char *line, Entry *entry)
{
  g_auto(GStrv) words = g_strsplit(line, " ", -1);
  guint64 numbers[NUMBERS];
  if (g_strv_length(words) != 1 + NUMBERS || strlen(words[0]) != SHA256_DIGITS) {
    return FALSE;
  }
  for (guint i = 0; i < NUMBERS; i++) {
    if (!g_ascii_string_to_unsigned(words[i + 1], 10, 0, G_MAXUINT64, &numbers[i], NULL)) {
      return FALSE;
    }
  }
  *entry = (Entry){.identity = {.device = numbers[0],
                                .inode = numbers[1],
                                .size = numbers[2],
                                .modified = {(time_t)numbers[3], (long)numbers[4]},
                                .changed = {(time_t)numbers[5], (long)numbers[6]}}};
  memcpy(entry->sha256, words[0], SHA256_DIGITS);
  return TRUE;
}

static void
write_line(GString *text, const Entry *entry)
{
  const GemFileIdentity *identity = &entry->identity;
  g_string_append_printf(text, "%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                         entry->sha256, identity->device, identity->inode, identity->size);
  g_string_append_printf(text, " %" G_GUINT64_FORMAT " %ld %" G_GUINT64_FORMAT " %ld\n",
                         (guint64)identity->modified.tv_sec, identity->modified.tv_nsec,
                         (guint64)identity->changed.tv_sec, identity->changed.tv_nsec);
}

/* One line at fault and nothing of it counts. */
static void
parse_record(GemVerified *self, const char *text)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (guint i = 0; lines[i] != NULL && (lines[i][0] != '\0' || lines[i + 1] != NULL); i++) {
    Entry entry;
    if (!parse_line(lines[i], &entry)) {
      g_array_set_size(self->entries, 0);
      return;
    }
    g_array_append_val(self->entries, entry);
  }
}

GemVerified *
gem_verified_open(const char *dir)
{
  GemVerified *self = g_new0(GemVerified, 1);
  g_mutex_init(&self->mutex);
  self->entries = g_array_new(FALSE, FALSE, sizeof(Entry));
  if (folder_is_private(dir)) {
    g_autofree char *text = read_record(dir);
    self->dir = g_strdup(dir);
    if (text != NULL) {
      parse_record(self, text);
    }
  }
  return self;
}

void
gem_verified_free(GemVerified *self)
{
  if (self == NULL) {
    return;
  }
  g_array_unref(self->entries);
  g_mutex_clear(&self->mutex);
  g_free(self->dir);
  g_free(self);
}

gboolean
gem_verified_has(GemVerified *self, const GemFileIdentity *identity, const char *sha256)
{
  gboolean found = FALSE;
  g_mutex_lock(&self->mutex);
  for (guint i = 0; i < self->entries->len && !found; i++) {
    Entry *entry = &g_array_index(self->entries, Entry, i);
    found = gem_file_identity_equal(&entry->identity, identity) && strcmp(entry->sha256, sha256) == 0;
    entry->used = entry->used || found;
  }
  g_mutex_unlock(&self->mutex);
  return found;
}

void
gem_verified_add(GemVerified *self, const GemFileIdentity *identity, const char *sha256)
{
  const GemFileIdentity none = {0};
  Entry entry = {.identity = *identity, .used = TRUE};
  if (strlen(sha256) != SHA256_DIGITS || gem_file_identity_equal(identity, &none)) {
    return;
  }
  memcpy(entry.sha256, sha256, SHA256_DIGITS);
  g_mutex_lock(&self->mutex);
  g_array_append_val(self->entries, entry);
  self->changed = TRUE;
  g_mutex_unlock(&self->mutex);
}

gboolean
gem_verified_save(GemVerified *self, GError **error)
{
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  GString *text = g_string_new(NULL);
  g_mutex_lock(&self->mutex);
  gboolean wanted = self->changed && self->dir != NULL;
  for (guint i = 0; i < self->entries->len; i++) {
    const Entry *entry = &g_array_index(self->entries, Entry, i);
    if (entry->used) {
      write_line(text, entry);
    }
  }
  self->changed = FALSE;
  g_mutex_unlock(&self->mutex);
  g_ptr_array_add(parts, g_string_free_to_bytes(text));
  if (!wanted) {
    return TRUE;
  }
  g_autofree char *path = g_build_filename(self->dir, RECORD_FILE, NULL);
  return gem_file_replace(path, parts, error);
}
