#include "adaptation/gem-adapt-fields.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/gem-model-shape.h"

#define SHA256_DIGITS 64

const char *const gem_adapt_file_names[] = {"text",   "general",    "router", "pathway",
                                            "replay", "checkpoint", "output", NULL};

void
gem_adapt_close(int *fd)
{
  if (*fd >= 0) {
    close(*fd);
    *fd = -1;
  }
}

gboolean
gem_adapt_domain_is_known_form(const char *name)
{
  return strcmp(name, "general") == 0 || gem_domain_name_is_plain(name);
}

gboolean
gem_adapt_fields_fail(GError **error, const char *name, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "field %s: %s", name, message);
  return FALSE;
}

/* ---- the set ---- */

gboolean
gem_adapt_fields_init(GemAdaptFields *self, GVariant *dictionary, GError **error)
{
  GVariantIter entries;
  const char *name;
  GVariant *value;
  self->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  g_variant_iter_init(&entries, dictionary);
  while (g_variant_iter_next(&entries, "{&sv}", &name, &value)) {
    if (!g_hash_table_insert(self->values, g_strdup(name), value)) {
      g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "a field twice");
      return FALSE;
    }
  }
  return TRUE;
}

void
gem_adapt_fields_clear(GemAdaptFields *self)
{
  g_clear_pointer(&self->values, g_hash_table_unref);
}

gboolean
gem_adapt_fields_finish(GemAdaptFields *self, GError **error)
{
  if (g_hash_table_size(self->values) > 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%u fields that have no place in it",
                g_hash_table_size(self->values));
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_adapt_fields_has(const GemAdaptFields *self, const char *name)
{
  return g_hash_table_contains(self->values, name);
}

GVariant *
gem_adapt_fields_get(GemAdaptFields *self, const char *name, const GVariantType *type, GError **error)
{
  g_autoptr(GVariant) value = NULL;
  g_autofree char *key = NULL;
  if (!g_hash_table_steal_extended(self->values, name, (gpointer *)&key, (gpointer *)&value)) {
    gem_adapt_fields_fail(error, name, "missing");
    return NULL;
  }
  if (!g_variant_is_of_type(value, type)) {
    gem_adapt_fields_fail(error, name, "of type %s", g_variant_get_type_string(value));
    return NULL;
  }
  return g_steal_pointer(&value);
}

/* ---- numbers ---- */

gboolean
gem_adapt_fields_get_uint(
    GemAdaptFields *self, const char *name, guint least, guint most, guint *ret_value, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, name, G_VARIANT_TYPE_UINT32, error);
  if (value == NULL) {
    return FALSE;
  }
  guint number = g_variant_get_uint32(value);
  if (number < least || number > most) {
    return gem_adapt_fields_fail(error, name, "%u; %u to %u are allowed", number, least, most);
  }
  *ret_value = number;
  return TRUE;
}

gboolean
gem_adapt_fields_get_uint64(
    GemAdaptFields *self, const char *name, guint64 least, guint64 most, guint64 *ret_value, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, name, G_VARIANT_TYPE_UINT64, error);
  if (value == NULL) {
    return FALSE;
  }
  guint64 number = g_variant_get_uint64(value);
  if (number < least || number > most) {
    return gem_adapt_fields_fail(
        error, name, "%" G_GUINT64_FORMAT "; %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " are allowed",
        number, least, most);
  }
  *ret_value = number;
  return TRUE;
}

gboolean
gem_adapt_fields_get_double(
    GemAdaptFields *self, const char *name, double least, double most, double *ret_value, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, name, G_VARIANT_TYPE_DOUBLE, error);
  if (value == NULL) {
    return FALSE;
  }
  double number = g_variant_get_double(value);
  if (!(number >= least && number <= most)) {
    return gem_adapt_fields_fail(error, name, "%g; %g to %g are allowed", number, least, most);
  }
  *ret_value = number;
  return TRUE;
}

/* ---- texts ---- */

gboolean
gem_adapt_fields_get_choice(
    GemAdaptFields *self, const char *name, const char *const *names, guint *ret_index, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, name, G_VARIANT_TYPE_STRING, error);
  for (guint i = 0; value != NULL && names[i] != NULL; i++) {
    if (g_str_equal(g_variant_get_string(value, NULL), names[i])) {
      *ret_index = i;
      return TRUE;
    }
  }
  return value != NULL && gem_adapt_fields_fail(error, name, "none of those that there are");
}

gboolean
gem_adapt_fields_get_name(
    GemAdaptFields *self, const char *name, gboolean may_be_empty, char **ret_name, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, name, G_VARIANT_TYPE_STRING, error);
  if (value == NULL) {
    return FALSE;
  }
  const char *text = g_variant_get_string(value, NULL);
  if (may_be_empty && *text == '\0') {
    return TRUE;
  }
  if (!gem_domain_name_is_plain(text)) {
    return gem_adapt_fields_fail(error, name, "no name of a domain");
  }
  *ret_name = g_strdup(text);
  return TRUE;
}

gboolean
gem_adapt_fields_get_hash(GemAdaptFields *self, const char *name, char **ret_hash, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, name, G_VARIANT_TYPE_STRING, error);
  if (value == NULL) {
    return FALSE;
  }
  const char *text = g_variant_get_string(value, NULL);
  if (strspn(text, "0123456789abcdef") != SHA256_DIGITS || text[SHA256_DIGITS] != '\0') {
    return gem_adapt_fields_fail(error, name, "not %d lower-case hexadecimal digits", SHA256_DIGITS);
  }
  *ret_hash = g_strdup(text);
  return TRUE;
}

gboolean
gem_adapt_fields_get_message(GemAdaptFields *self, const char *name, char **ret_message, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, name, G_VARIANT_TYPE_STRING, error);
  gsize length = 0;
  if (value == NULL) {
    return FALSE;
  }
  const char *text = g_variant_get_string(value, &length);
  if (length == 0 || length > GEM_ADAPT_MAX_MESSAGE) {
    return gem_adapt_fields_fail(error, name, "%" G_GSIZE_FORMAT " bytes; 1 to %u are allowed", length,
                                 GEM_ADAPT_MAX_MESSAGE);
  }
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at)) {
    if (g_unichar_iscntrl(g_utf8_get_char(at))) {
      return gem_adapt_fields_fail(error, name, "with a control character");
    }
  }
  *ret_message = g_strdup(text);
  return TRUE;
}

/* ---- files ---- */

static gboolean
check_file(const char *name, int fd, gboolean writes, GError **error)
{
  struct stat status;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
    return gem_adapt_fields_fail(error, "fds", "%s is no regular file", name);
  }
  int access = flags & O_ACCMODE;
  if (access == O_WRONLY || (flags & O_PATH) != 0 || (writes && access != O_RDWR)) {
    return gem_adapt_fields_fail(error, "fds", "%s is not open for %s", name,
                                 writes ? "reading and writing" : "reading");
  }
  return TRUE;
}

/* Where the file of a name that is known stands among those of its kind; GEM_ADAPT_N_FILES: nowhere. */
static guint
file_index(const char *name)
{
  guint i = 0;
  while (i < GEM_ADAPT_N_FILES && !g_str_equal(name, gem_adapt_file_names[i])) {
    i++;
  }
  return i;
}

/* The domain of "pathway-DOMAIN"; NULL: it is no such name. */
static const char *
pathway_domain(const char *name)
{
  const char *domain = name + strlen(GEM_ADAPT_PATHWAY_PREFIX);
  return g_str_has_prefix(name, GEM_ADAPT_PATHWAY_PREFIX) && gem_domain_name_is_plain(domain) ? domain : NULL;
}

/* The names are as many as the files, known, distinct, and each file is open as it has to be. */
static gboolean
check_files(char **names, const GArray *files, GError **error)
{
  guint n = g_strv_length(names), pathways = 0;
  if (n != files->len) {
    return gem_adapt_fields_fail(error, "fds", "%u names, but %u files", n, files->len);
  }
  for (guint i = 0; i < n; i++) {
    guint file = file_index(names[i]);
    gboolean writes = file == GEM_ADAPT_CHECKPOINT || file == GEM_ADAPT_OUTPUT;
    pathways += file == GEM_ADAPT_N_FILES ? 1 : 0;
    if (file == GEM_ADAPT_N_FILES && pathway_domain(names[i]) == NULL) {
      return gem_adapt_fields_fail(error, "fds", "a name of no file");
    }
    for (guint other = 0; other < i; other++) {
      if (g_str_equal(names[i], names[other])) {
        return gem_adapt_fields_fail(error, "fds", "%s twice", names[i]);
      }
    }
    if (!check_file(names[i], g_array_index(files, int, i), writes, error)) {
      return FALSE;
    }
  }
  for (guint i = 0; i < GEM_ADAPT_N_FILES; i++) {
    if (i != GEM_ADAPT_PATHWAY && !g_strv_contains((const char *const *)names, gem_adapt_file_names[i])) {
      return gem_adapt_fields_fail(error, "fds", "without %s", gem_adapt_file_names[i]);
    }
  }
  return pathways <= GEM_ADAPT_MAX_PATHWAYS ||
         gem_adapt_fields_fail(error, "fds", "more than %u pathways", GEM_ADAPT_MAX_PATHWAYS);
}

gboolean
gem_adapt_fields_get_files(GemAdaptFields *self, GArray *files, GemAdaptStart *start, GError **error)
{
  g_autoptr(GVariant) value = gem_adapt_fields_get(self, "fds", G_VARIANT_TYPE_STRING_ARRAY, error);
  g_auto(GStrv) names = value != NULL ? g_variant_dup_strv(value, NULL) : NULL;
  if (names == NULL || !check_files(names, files, error)) {
    return FALSE;
  }
  for (guint i = 0; names[i] != NULL; i++) {
    guint file = file_index(names[i]);
    int fd = g_array_index(files, int, i);
    if (file < GEM_ADAPT_N_FILES) {
      start->files[file] = fd;
    } else {
      gem_adapt_start_add_pathway(start, pathway_domain(names[i]), fd);
    }
    g_array_index(files, int, i) = -1;
  }
  return TRUE;
}
