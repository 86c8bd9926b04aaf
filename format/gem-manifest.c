#include "format/gem-manifest.h"

#include <string.h>

#include "format/gem-file.h"
#include "format/gem-sha256.h"

#define MANIFEST_FILE      "manifest"
#define MODEL_GROUP        "model"
#define MANIFEST_FORMAT    1
#define MAX_MANIFEST_BYTES 1048576
#define MAX_NAME_BYTES     64
#define SHA256_DIGITS      64

typedef struct {
  guint64 size;
  char *sha256;             /* lower-case */
  GemFileIdentity verified; /* of the file when it was last found right; zeros: never */
} ManifestEntry;

struct _GemManifest {
  char *dir;
  char *path; /* of the manifest itself, as UTF-8, for messages */
  char *name;
  char *digest; /* of the manifest itself */
  GStrv files;
  GemVerified *record; /* of files that were found right in earlier starts; borrowed, may be NULL */
  GHashTable *entries; /* file (borrowed of files) -> ManifestEntry */
  GMutex mutex;        /* guards what follows, and `verified` of the entries */
  guint hashed;        /* times that gem_manifest_read or gem_manifest_open hashed a file */
};

static void
manifest_entry_free(gpointer data)
{
  ManifestEntry *entry = data;
  g_free(entry->sha256);
  g_free(entry);
}

void
gem_manifest_free(GemManifest *self)
{
  if (self == NULL) {
    return;
  }
  g_mutex_clear(&self->mutex);
  g_hash_table_unref(self->entries);
  g_strfreev(self->files);
  g_free(self->name);
  g_free(self->digest);
  g_free(self->path);
  g_free(self->dir);
  g_free(self);
}

void
gem_manifest_set_record(GemManifest *self, GemVerified *record)
{
  self->record = record;
}

const char *
gem_manifest_get_name(GemManifest *self)
{
  return self->name;
}

const char *
gem_manifest_get_digest(GemManifest *self)
{
  return self->digest;
}

const char *const *
gem_manifest_get_files(GemManifest *self)
{
  return (const char *const *)self->files;
}

gboolean
gem_manifest_has_file(GemManifest *self, const char *file)
{
  return g_hash_table_contains(self->entries, file);
}

const char *
gem_manifest_get_sha256(GemManifest *self, const char *file)
{
  const ManifestEntry *entry = g_hash_table_lookup(self->entries, file);
  return entry ? entry->sha256 : NULL;
}

char *
gem_manifest_get_path(GemManifest *self, const char *file)
{
  return g_build_filename(self->dir, file, NULL);
}

gboolean
gem_manifest_name_is_plain(const char *name)
{
  gsize length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
  return length > 0 && length <= MAX_NAME_BYTES && name[length] == '\0' && name[0] != '.';
}

/* A file's name is also the name of its group, beside [model]. */
static gboolean
file_name_is_plain(const char *name)
{
  return gem_manifest_name_is_plain(name) && strcmp(name, MODEL_GROUP) != 0 &&
         strcmp(name, MANIFEST_FILE) != 0;
}

/* ---- reading ---- */

static gboolean
fail(GemManifest *self, GError **error, GemFormatError code, const char *format, ...) G_GNUC_PRINTF(4, 5);

/* "MANIFEST: MESSAGE"; always FALSE. */
static gboolean
fail(GemManifest *self, GError **error, GemFormatError code, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, GEM_FORMAT_ERROR, code, "%s: %s", self->path, message);
  return FALSE;
}

/* The manifest's text as a key file. */
static GKeyFile *
load_key_file(GemManifest *self, const char *path, GError **error)
{
  g_autoptr(GBytes) bytes = gem_file_read(path, MAX_MANIFEST_BYTES, NULL, error);
  if (bytes == NULL) {
    return NULL;
  }
  self->digest = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, bytes);
  g_autoptr(GKeyFile) key_file = g_key_file_new();
  g_autoptr(GError) cause = NULL;
  if (g_bytes_get_size(bytes) == 0) {
    fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "empty");
    return NULL;
  }
  if (!g_key_file_load_from_bytes(key_file, bytes, G_KEY_FILE_NONE, &cause)) {
    g_autofree char *shown = g_utf8_make_valid(cause->message, -1);
    fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "%s", shown);
    return NULL;
  }
  return g_steal_pointer(&key_file);
}

static gboolean
parse_model(GemManifest *self, GKeyFile *key_file, GError **error)
{
  g_autofree char *format = g_key_file_get_string(key_file, MODEL_GROUP, "format", NULL);
  guint64 number = 0;
  if (format == NULL || !g_ascii_string_to_unsigned(format, 10, 0, G_MAXUINT, &number, NULL)) {
    return fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "[%s] format: not a number", MODEL_GROUP);
  }
  if (number != MANIFEST_FORMAT) {
    return fail(self, error, GEM_FORMAT_ERROR_UNSUPPORTED,
                "[%s] format: %" G_GUINT64_FORMAT "; %d is known here", MODEL_GROUP, number, MANIFEST_FORMAT);
  }
  self->name = g_key_file_get_string(key_file, MODEL_GROUP, "name", NULL);
  if (self->name == NULL || !gem_manifest_name_is_plain(self->name)) {
    return fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "[%s] name: missing or not plain", MODEL_GROUP);
  }
  self->files = g_key_file_get_string_list(key_file, MODEL_GROUP, "files", NULL, NULL);
  if (self->files == NULL || self->files[0] == NULL) {
    return fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "[%s] files: missing or empty", MODEL_GROUP);
  }
  return TRUE;
}

/* The group of one file. */
static gboolean
parse_entry(GemManifest *self, GKeyFile *key_file, const char *file, GError **error)
{
  if (!file_name_is_plain(file)) {
    return fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "[%s] files: a name that is not plain", MODEL_GROUP);
  }
  if (gem_manifest_has_file(self, file)) {
    return fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "[%s] files: %s is named twice", MODEL_GROUP, file);
  }

  g_autofree char *size = g_key_file_get_string(key_file, file, "size", NULL);
  guint64 bytes = 0;
  if (size == NULL || !g_ascii_string_to_unsigned(size, 10, 0, G_MAXINT64, &bytes, NULL)) {
    return fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "[%s] size: not a number of bytes", file);
  }
  g_autofree char *sha256 = g_key_file_get_string(key_file, file, "sha256", NULL);
  if (sha256 == NULL || strlen(sha256) != SHA256_DIGITS ||
      strspn(sha256, "0123456789abcdef") != SHA256_DIGITS) {
    return fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "[%s] sha256: not %d digits 0-9 a-f", file,
                SHA256_DIGITS);
  }

  ManifestEntry *entry = g_new0(ManifestEntry, 1);
  entry->size = bytes;
  entry->sha256 = g_steal_pointer(&sha256);
  g_hash_table_insert(self->entries, (gpointer)file, entry);
  return TRUE;
}

GemManifest *
gem_manifest_load(const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename(dir, MANIFEST_FILE, NULL);
  g_autoptr(GemManifest) self = g_new0(GemManifest, 1);
  g_mutex_init(&self->mutex);
  self->dir = g_strdup(dir);
  self->path = g_filename_display_name(path);
  self->entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, manifest_entry_free);

  g_autoptr(GKeyFile) key_file = load_key_file(self, path, error);
  if (key_file == NULL || !parse_model(self, key_file, error)) {
    return NULL;
  }
  for (guint i = 0; self->files[i] != NULL; i++) {
    if (!parse_entry(self, key_file, self->files[i], error)) {
      return NULL;
    }
  }
  g_auto(GStrv) groups = g_key_file_get_groups(key_file, NULL);
  for (guint i = 0; groups[i] != NULL; i++) {
    if (strcmp(groups[i], MODEL_GROUP) != 0 && !gem_manifest_has_file(self, groups[i])) {
      fail(self, error, GEM_FORMAT_ERROR_MALFORMED, "group %u is of a file that files does not list", i);
      return NULL;
    }
  }
  return g_steal_pointer(&self);
}

/* ---- verifying ---- */

/* The entry of a file and, where it lies, its path; MISSING when the manifest does not list it. */
static ManifestEntry *
find_entry(GemManifest *self, const char *file, char **ret_path, GError **error)
{
  ManifestEntry *entry = g_hash_table_lookup(self->entries, file);
  if (entry == NULL) {
    fail(self, error, GEM_FORMAT_ERROR_MISSING, "%s is not listed", file);
    return NULL;
  }
  *ret_path = gem_manifest_get_path(self, file);
  return entry;
}

static gboolean
check_entry(GemManifest *self,
            const char *file,
            const ManifestEntry *entry,
            guint64 size,
            const char *sha256,
            GError **error)
{
  if (size != entry->size) {
    return fail(self, error, GEM_FORMAT_ERROR_MISMATCH,
                "%s has %" G_GUINT64_FORMAT " bytes, but %" G_GUINT64_FORMAT " are listed", file, size,
                entry->size);
  }
  if (strcmp(sha256, entry->sha256) != 0) {
    return fail(self, error, GEM_FORMAT_ERROR_MISMATCH, "%s has SHA-256 %s, but %s is listed", file, sha256,
                entry->sha256);
  }
  return TRUE;
}

gboolean
gem_manifest_verify(GemManifest *self, const char *file, GError **error)
{
  g_autofree char *path = NULL;
  g_autofree char *sha256 = NULL;
  guint64 size = 0;
  const ManifestEntry *entry = find_entry(self, file, &path, error);
  return entry != NULL && gem_file_hash(path, &size, &sha256, error) &&
         check_entry(self, file, entry, size, sha256, error);
}

/* Whether the bytes of that identity were found right before. */
static gboolean
is_verified(GemManifest *self, const ManifestEntry *entry, const GemFileIdentity *identity)
{
  const GemFileIdentity none = {0};
  g_mutex_lock(&self->mutex);
  gboolean same = gem_file_identity_equal(&entry->verified, identity);
  g_mutex_unlock(&self->mutex);
  return !gem_file_identity_equal(identity, &none) &&
         (same || (self->record != NULL && gem_verified_has(self->record, identity, entry->sha256)));
}

/* Holds what a file was found to be against what is listed, and keeps its identity when that is right. */
static gboolean
settle_entry(GemManifest *self,
             const char *file,
             ManifestEntry *entry,
             guint64 size,
             const char *sha256,
             const GemFileIdentity *identity,
             GError **error)
{
  gboolean right = check_entry(self, file, entry, size, sha256, error);
  g_mutex_lock(&self->mutex);
  self->hashed++;
  entry->verified = right ? *identity : (GemFileIdentity){0};
  g_mutex_unlock(&self->mutex);
  if (right && self->record != NULL) {
    gem_verified_add(self->record, identity, entry->sha256);
  }
  return right;
}

static gboolean
verify_bytes(GemManifest *self,
             const char *file,
             ManifestEntry *entry,
             GBytes *bytes,
             const GemFileIdentity *identity,
             GError **error)
{
  gsize size = 0;
  const void *data = g_bytes_get_data(bytes, &size);
  g_autoptr(GemSha256) hash = gem_sha256_new();
  gem_sha256_update(hash, data, size);
  g_autofree char *sha256 = gem_sha256_finish(hash);
  return settle_entry(self, file, entry, size, sha256, identity, error);
}

guint
gem_manifest_get_hashed(GemManifest *self)
{
  g_mutex_lock(&self->mutex);
  guint hashed = self->hashed;
  g_mutex_unlock(&self->mutex);
  return hashed;
}

GBytes *
gem_manifest_read(GemManifest *self, const char *file, GError **error)
{
  g_autofree char *path = NULL;
  ManifestEntry *entry = find_entry(self, file, &path, error);
  if (entry == NULL) {
    return NULL;
  }
  g_autoptr(GError) cause = NULL;
  GemFileIdentity identity = {0};
  g_autoptr(GBytes) bytes = gem_file_read(path, entry->size, &identity, &cause);
  if (g_error_matches(cause, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED)) {
    fail(self, error, GEM_FORMAT_ERROR_MISMATCH,
         "%s has more than the %" G_GUINT64_FORMAT " bytes that are listed", file, entry->size);
    return NULL;
  }
  if (bytes == NULL) {
    g_propagate_error(error, g_steal_pointer(&cause));
    return NULL;
  }
  if (!is_verified(self, entry, &identity) && !verify_bytes(self, file, entry, bytes, &identity, error)) {
    return NULL;
  }
  return g_steal_pointer(&bytes);
}

static gboolean
verify_reader(
    GemManifest *self, const char *file, ManifestEntry *entry, GemFileReader *reader, GError **error)
{
  const GemFileIdentity *identity = gem_file_reader_get_identity(reader);
  if (is_verified(self, entry, identity)) {
    return TRUE;
  }
  if (identity->size != entry->size) {
    return check_entry(self, file, entry, identity->size, "", error); /* says so; no need to read it */
  }
  g_autofree char *sha256 = gem_file_reader_hash(reader, error);
  return sha256 != NULL && gem_file_reader_check_unchanged(reader, error) &&
         settle_entry(self, file, entry, identity->size, sha256, identity, error);
}

gboolean
gem_manifest_open(
    GemManifest *self, const char *file, GemFileReader **ret_reader, GBytes **ret_bytes, GError **error)
{
  g_autofree char *path = NULL;
  ManifestEntry *entry = find_entry(self, file, &path, error);
  if (entry == NULL) {
    return FALSE;
  }
  g_autoptr(GemFileReader) reader = gem_file_reader_open(path, error);
  if (reader == NULL) {
    return FALSE;
  }
  if (!gem_file_reader_is_settled(reader)) {
    *ret_bytes = gem_manifest_read(self, file, error);
    return *ret_bytes != NULL;
  }
  if (!verify_reader(self, file, entry, reader, error)) {
    return FALSE;
  }
  *ret_reader = g_steal_pointer(&reader);
  return TRUE;
}

/* ---- writing ---- */

static gboolean
add_entry(GKeyFile *key_file, const char *dir, const char *file, GError **error)
{
  if (!file_name_is_plain(file) || g_key_file_has_group(key_file, file)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID,
                "'%s' is not a plain name of one more file", file);
    return FALSE;
  }
  g_autofree char *path = g_build_filename(dir, file, NULL);
  g_autofree char *sha256 = NULL;
  guint64 size = 0;
  if (!gem_file_hash(path, &size, &sha256, error)) {
    return FALSE;
  }
  g_key_file_set_uint64(key_file, file, "size", size);
  g_key_file_set_string(key_file, file, "sha256", sha256);
  return TRUE;
}

gboolean
gem_manifest_check_name(const char *name, GError **error)
{
  if (!gem_manifest_name_is_plain(name)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID, "model name '%s' is not plain", name);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_manifest_write(const char *dir, const char *name, const char *const *files, GError **error)
{
  if (!gem_manifest_check_name(name, error)) {
    return FALSE;
  }
  g_autoptr(GKeyFile) key_file = g_key_file_new();
  g_key_file_set_integer(key_file, MODEL_GROUP, "format", MANIFEST_FORMAT);
  g_key_file_set_string(key_file, MODEL_GROUP, "name", name);
  g_key_file_set_string_list(key_file, MODEL_GROUP, "files", files, g_strv_length((GStrv)files));
  for (guint i = 0; files[i] != NULL; i++) {
    if (!add_entry(key_file, dir, files[i], error)) {
      return FALSE;
    }
  }

  gsize length = 0;
  char *text = g_key_file_to_data(key_file, &length, NULL);
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  g_ptr_array_add(parts, g_bytes_new_take(text, length));
  g_autofree char *path = g_build_filename(dir, MANIFEST_FILE, NULL);
  return gem_file_replace(path, parts, error);
}
