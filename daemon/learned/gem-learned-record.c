#include "daemon/learned/gem-learned-record.h"

#include <math.h>
#include <string.h>

#include "dbus/gem-error.h"

#define FORMAT           1
#define MOST_NAME_BYTES  32u
#define MOST_FILE_NUMBER (G_MAXINT32 - 1)

#define GROUP    "domain"
#define VERSION  "version"
#define PREVIOUS "previous"
#define ORDER    "order"
#define OUTCOME  "outcome"

gboolean
gem_learned_name_check(const char *name, GError **error)
{
  gsize length = strlen(name);

  if (length < 1 || length > MOST_NAME_BYTES || !g_ascii_islower(name[0]) ||
      strspn(name, G_CSET_a_2_z G_CSET_DIGITS "-") != length) {
    gem_error_set_argument(error, "name",
                           "%" G_GSIZE_FORMAT " bytes; 1 to %u of a-z, 0-9 and - are wanted, a letter first",
                           length, MOST_NAME_BYTES);
    return FALSE;
  }
  if (g_str_equal(name, "general") || g_str_equal(name, "learned")) {
    gem_error_set_argument(error, "name", "\"%s\" means something else", name);
    return FALSE;
  }
  return TRUE;
}

/* ---- the parts ---- */

GemLearnedRecord *
gem_learned_record_new(guint uid, const char *name)
{
  GemLearnedRecord *self = g_new0(GemLearnedRecord, 1);

  self->uid = uid;
  self->name = g_strdup(name);
  self->replaces = g_strdup("");
  return self;
}

void
gem_learned_version_clear(GemLearnedVersion *version)
{
  g_free(version->model);
  g_clear_pointer(&version->figures, g_variant_unref);
  *version = (GemLearnedVersion){0};
}

GemLearnedOrder *
gem_learned_order_copy(const GemLearnedOrder *order)
{
  GemLearnedOrder *copy = g_memdup2(order, sizeof *order);

  copy->model = g_strdup(order->model);
  copy->mode = g_strdup(order->mode);
  return copy;
}

void
gem_learned_order_free(GemLearnedOrder *order)
{
  if (order != NULL) {
    g_free(order->model);
    g_free(order->mode);
    g_free(order);
  }
}

static void
outcome_free(GemLearnedOutcome *outcome)
{
  if (outcome != NULL) {
    g_free(outcome->reason);
    g_clear_pointer(&outcome->figures, g_variant_unref);
    g_free(outcome);
  }
}

void
gem_learned_record_free(GemLearnedRecord *self)
{
  g_free(self->name);
  g_free(self->replaces);
  gem_learned_version_clear(&self->version);
  gem_learned_version_clear(&self->previous);
  gem_learned_order_free(self->order);
  outcome_free(self->outcome);
  g_free(self);
}

void
gem_learned_record_set_order(GemLearnedRecord *self, const GemLearnedOrder *order)
{
  GemLearnedOrder *copy = order != NULL ? gem_learned_order_copy(order) : NULL;

  gem_learned_order_free(self->order);
  self->order = copy;
}

void
gem_learned_record_set_outcome(GemLearnedRecord *self,
                               gboolean refused,
                               const char *reason,
                               GVariant *figures)
{
  GemLearnedOutcome *outcome = NULL;

  if (reason != NULL) {
    outcome = g_new0(GemLearnedOutcome, 1);
    outcome->refused = refused;
    outcome->reason = g_strdup(reason);
    outcome->figures = figures != NULL ? g_variant_ref(figures) : NULL;
  }
  outcome_free(self->outcome);
  self->outcome = outcome;
}

/* ---- writing ---- */

static void
write_figures(GKeyFile *file, const char *group, GVariant *figures)
{
  g_autofree char *text = figures != NULL ? g_variant_print(figures, TRUE) : NULL;

  if (text != NULL) {
    g_key_file_set_string(file, group, "Figures", text);
  }
}

static void
write_version(GKeyFile *file, const char *group, const GemLearnedVersion *version)
{
  if (version->number == 0) {
    return;
  }
  g_key_file_set_integer(file, group, "File", (gint)version->number);
  g_key_file_set_int64(file, group, "LearnedAt", version->learned_at);
  g_key_file_set_string(file, group, "Model", version->model);
  write_figures(file, group, version->figures);
}

static void
write_order(GKeyFile *file, const GemLearnedOrder *order)
{
  g_key_file_set_int64(file, ORDER, "Arrived", order->arrived);
  g_key_file_set_string(file, ORDER, "Model", order->model);
  g_key_file_set_string(file, ORDER, "Mode", order->mode);
  g_key_file_set_uint64(file, ORDER, "Seconds", order->seconds);
  g_key_file_set_uint64(file, ORDER, "Seed", order->seed);
  g_key_file_set_double(file, ORDER, "WorstOtherPercent", order->worst_other_percent);
  g_key_file_set_double(file, ORDER, "LeastGainPercent", order->least_gain_percent);
  g_key_file_set_uint64(file, ORDER, "Starts", order->starts);
}

char *
gem_learned_record_to_text(const GemLearnedRecord *self)
{
  g_autoptr(GKeyFile) file = g_key_file_new();

  g_key_file_set_integer(file, GROUP, "Format", FORMAT);
  g_key_file_set_string(file, GROUP, "Replaces", self->replaces);
  g_key_file_set_boolean(file, GROUP, "Shared", self->shared);
  write_version(file, VERSION, &self->version);
  write_version(file, PREVIOUS, &self->previous);
  if (self->order != NULL) {
    write_order(file, self->order);
  }
  if (self->outcome != NULL) {
    g_key_file_set_boolean(file, OUTCOME, "Refused", self->outcome->refused);
    g_key_file_set_string(file, OUTCOME, "Reason", self->outcome->reason);
    write_figures(file, OUTCOME, self->outcome->figures);
  }
  return g_key_file_to_data(file, NULL, NULL);
}

/* ---- reading ---- */

static gboolean
fail(const char *group, const char *key, GError **error)
{
  g_clear_error(error);
  g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the record of the domain does not hold: [%s] %s", group,
              key);
  return FALSE;
}

/* A number from `min` to `max`. */
static gboolean
read_count(GKeyFile *file,
           const char *group,
           const char *key,
           guint64 min,
           guint64 max,
           guint64 *ret_value,
           GError **error)
{
  g_autofree char *text = g_key_file_get_string(file, group, key, NULL);

  return (text != NULL && g_ascii_string_to_unsigned(text, 10, min, max, ret_value, NULL)) ||
         fail(group, key, error);
}

static gboolean
read_percent(GKeyFile *file, const char *group, const char *key, double *ret_value, GError **error)
{
  g_autoptr(GError) local = NULL;
  double value = g_key_file_get_double(file, group, key, &local);

  if (local != NULL || !(value >= 0 && value <= 100)) {
    return fail(group, key, error);
  }
  *ret_value = value;
  return TRUE;
}

static gboolean
read_figures(GKeyFile *file, const char *group, GVariant **ret_figures, GError **error)
{
  g_autofree char *text = g_key_file_get_string(file, group, "Figures", NULL);

  if (text != NULL) {
    *ret_figures = g_variant_parse(G_VARIANT_TYPE_VARDICT, text, NULL, NULL, NULL);
    return *ret_figures != NULL || fail(group, "Figures", error);
  }
  return TRUE;
}

static gboolean
read_version(GKeyFile *file, const char *group, GemLearnedVersion *version, GError **error)
{
  guint64 number = 0, learned_at = 0;

  if (!g_key_file_has_group(file, group)) {
    return TRUE;
  }
  version->model = g_key_file_get_string(file, group, "Model", NULL);
  if ((version->model == NULL && !fail(group, "Model", error)) ||
      !read_count(file, group, "File", 1, MOST_FILE_NUMBER, &number, error) ||
      !read_count(file, group, "LearnedAt", 0, G_MAXINT64, &learned_at, error) ||
      !read_figures(file, group, &version->figures, error)) {
    return FALSE;
  }
  version->number = (guint)number;
  version->learned_at = (gint64)learned_at;
  return TRUE;
}

static gboolean
read_order(GKeyFile *file, GemLearnedRecord *self, GError **error)
{
  g_autoptr(GemLearnedOrder) order = g_new0(GemLearnedOrder, 1);
  guint64 arrived = 0, seconds = 0, starts = 0;

  if (!g_key_file_has_group(file, ORDER)) {
    return TRUE;
  }
  order->model = g_key_file_get_string(file, ORDER, "Model", NULL);
  order->mode = g_key_file_get_string(file, ORDER, "Mode", NULL);
  if (order->model == NULL) {
    return fail(ORDER, "Model", error);
  }
  if (order->mode == NULL || (!g_str_equal(order->mode, "dapt") && !g_str_equal(order->mode, "tapt"))) {
    return fail(ORDER, "Mode", error);
  }
  if (!read_count(file, ORDER, "Arrived", 0, G_MAXINT64, &arrived, error) ||
      !read_count(file, ORDER, "Seconds", 1, G_MAXUINT32, &seconds, error) ||
      !read_count(file, ORDER, "Seed", 0, G_MAXUINT64, &order->seed, error) ||
      !read_count(file, ORDER, "Starts", 0, G_MAXUINT32, &starts, error) ||
      !read_percent(file, ORDER, "WorstOtherPercent", &order->worst_other_percent, error) ||
      !read_percent(file, ORDER, "LeastGainPercent", &order->least_gain_percent, error)) {
    return FALSE;
  }
  order->arrived = (gint64)arrived;
  order->seconds = (guint)seconds;
  order->starts = (guint)starts;
  self->order = g_steal_pointer(&order);
  return TRUE;
}

static gboolean
read_outcome(GKeyFile *file, GemLearnedRecord *self, GError **error)
{
  g_autofree char *reason = NULL;
  g_autoptr(GVariant) figures = NULL;

  if (!g_key_file_has_group(file, OUTCOME)) {
    return TRUE;
  }
  reason = g_key_file_get_string(file, OUTCOME, "Reason", NULL);
  if (reason == NULL) {
    return fail(OUTCOME, "Reason", error);
  }
  if (!read_figures(file, OUTCOME, &figures, error)) {
    return FALSE;
  }
  gem_learned_record_set_outcome(self, g_key_file_get_boolean(file, OUTCOME, "Refused", NULL), reason,
                                 figures);
  return TRUE;
}

GemLearnedRecord *
gem_learned_record_from_text(guint uid, const char *name, const char *text, gsize length, GError **error)
{
  g_autoptr(GemLearnedRecord) self = gem_learned_record_new(uid, name);
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autofree char *replaces = NULL;

  if (!g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, NULL)) {
    fail(GROUP, "(no key file)", error);
    return NULL;
  }
  replaces = g_key_file_get_string(file, GROUP, "Replaces", NULL);
  if (g_key_file_get_integer(file, GROUP, "Format", NULL) != FORMAT) {
    fail(GROUP, "Format", error);
    return NULL;
  }
  if (replaces == NULL || (replaces[0] != '\0' && (!g_str_equal(replaces, GEM_LEARNED_REPLACEABLE) ||
                                                   !g_str_equal(replaces, name)))) {
    fail(GROUP, "Replaces", error);
    return NULL;
  }
  g_free(self->replaces);
  self->replaces = g_steal_pointer(&replaces);
  self->shared = g_key_file_get_boolean(file, GROUP, "Shared", NULL);
  if (!read_version(file, VERSION, &self->version, error) ||
      !read_version(file, PREVIOUS, &self->previous, error) || !read_order(file, self, error) ||
      !read_outcome(file, self, error)) {
    return NULL;
  }
  return g_steal_pointer(&self);
}
