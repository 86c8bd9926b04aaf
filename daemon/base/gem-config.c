#include "daemon/base/gem-config.h"

#include <math.h>
#include <string.h>

#include "dbus/gem-error.h"

#define GROUP "gemd"

#define MIB      (G_GUINT64_CONSTANT(1) << 20)
#define MOST_MIB (1u << 20) /* a TiB */

typedef enum {
  KEY_MODEL,   /* a name, or an absolute path */
  KEY_MODULE,  /* a module's name, or "auto" for NULL */
  KEY_COUNT,   /* min to max */
  KEY_BYTES,   /* min to max MiB, with K, M or G behind it; kept in bytes */
  KEY_PERCENT, /* 0 to 1 in steps of 0.01, kept in percent */
  KEY_CACHE,   /* q8_0 or f16 */
  KEY_AUTO,    /* auto or off */
  KEY_PAGE_IN, /* wait or degrade */
} KeyKind;

typedef struct {
  const char *name;
  KeyKind kind;
  gsize offset; /* of the member in GemConfig */
  guint min, max, initial;
  gboolean live; /* heeded as it stands when it is needed; the others when the service starts */
} Key;

#define MEMBER(self, key, type) ((type *)G_STRUCT_MEMBER_P((self), (key)->offset))
#define AT(member)              G_STRUCT_OFFSET(GemConfig, member)

static const Key keys[] = {
    {"Model", KEY_MODEL, AT(model), .live = TRUE},
    {"Backend", KEY_MODULE, AT(backend)},
    {"Threads", KEY_COUNT, AT(threads), 0, 256, 0},
    {"Attention", KEY_MODULE, AT(attention)},
    {"Clusters", KEY_COUNT, AT(clusters), 0, 256, 0},
    {"Threshold", KEY_PERCENT, AT(threshold_percent)},
    {"ContextTokens", KEY_COUNT, AT(context_tokens), 16, 65536, 2048},
    {"KvCache", KEY_CACHE, AT(kv_half)},
    {"PrefillBlock", KEY_COUNT, AT(prefill_block), 1, 4096, 128},
    {"MemoryPressure", KEY_AUTO, AT(memory_pressure)},
    {"MemoryLimit", KEY_BYTES, AT(memory_limit), 0, MOST_MIB, 0, TRUE},
    {"PageInPolicy", KEY_PAGE_IN, AT(page_in_degrade), 0, 0, 0, TRUE},
    {"MaxSessions", KEY_COUNT, AT(max_sessions), 1, GEM_CONFIG_MOST_SESSIONS, 64, TRUE},
    {"MaxSessionsPerUser", KEY_COUNT, AT(max_sessions_per_user), 1, GEM_CONFIG_MOST_SESSIONS, 16, TRUE},
    {"MaxRequests", KEY_COUNT, AT(max_requests), 1, 4096, 64, TRUE},
    {"MaxRequestsPerUser", KEY_COUNT, AT(max_requests_per_user), 1, 4096, 8, TRUE},
    {"MaxStreams", KEY_COUNT, AT(max_streams), 1, 4096, 128, TRUE},
    {"MaxStreamsPerUser", KEY_COUNT, AT(max_streams_per_user), 1, 4096, 16, TRUE},
    {"StreamSeconds", KEY_COUNT, AT(stream_seconds), 1, 86400, 60, TRUE},
    {"MaxTokens", KEY_COUNT, AT(max_tokens), 16, G_MAXINT32, 131072, TRUE},
    {"MaxTokensPerUser", KEY_COUNT, AT(max_tokens_per_user), 16, G_MAXINT32, 32768, TRUE},
    {"MaxKvCache", KEY_BYTES, AT(max_kv_cache), 1, MOST_MIB, 2048, TRUE},
    {"MaxKvCachePerUser", KEY_BYTES, AT(max_kv_cache_per_user), 1, MOST_MIB, 512, TRUE},
    {"MaxCalls", KEY_COUNT, AT(max_calls), 1, 65536, 1024, TRUE},
    {"MaxCallsPerUser", KEY_COUNT, AT(max_calls_per_user), 1, 65536, 256, TRUE},
    {"MaxCallsPerClient", KEY_COUNT, AT(max_calls_per_client), 1, 65536, 64, TRUE},
    {"MaxHolds", KEY_COUNT, AT(max_holds), 0, 4096, 32, TRUE},
    {"MaxHoldsPerUser", KEY_COUNT, AT(max_holds_per_user), 0, 4096, 4, TRUE},
    {"MaxLearned", KEY_COUNT, AT(max_learned), 0, GEM_CONFIG_MOST_LEARNED, 32, TRUE},
    {"MaxLearnedPerUser", KEY_COUNT, AT(max_learned_per_user), 0, GEM_CONFIG_MOST_LEARNED, 4, TRUE},
    {"AdaptText", KEY_BYTES, AT(adapt_text), 1, 64, 16, TRUE},
    {"AdaptMemory", KEY_BYTES, AT(adapt_memory), 64, MOST_MIB, 1024, TRUE},
    {"AdaptSeconds", KEY_COUNT, AT(adapt_seconds), 10, 86400, 900, TRUE},
    {"AskTokens", KEY_COUNT, AT(ask_tokens), 1, 1024, 256, TRUE},
    {"AskSeconds", KEY_COUNT, AT(ask_seconds), 1, 20, 20},
    {"ParallelAsks", KEY_COUNT, AT(parallel_asks), 1, GEM_CONFIG_MOST_ASKS, 4},
    {"IdleExitSeconds", KEY_COUNT, AT(idle_exit_seconds), 0, 604800, 0, TRUE},
};

GemConfig *
gem_config_new(void)
{
  GemConfig *self = g_atomic_rc_box_new0(GemConfig);

  for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
    if (keys[i].kind == KEY_COUNT) {
      *MEMBER(self, &keys[i], guint) = keys[i].initial;
    } else if (keys[i].kind == KEY_BYTES) {
      *MEMBER(self, &keys[i], guint64) = keys[i].initial * MIB;
    }
  }
  self->model = g_strdup("gem-mini");
  self->threshold_percent = -1;
  self->memory_pressure = TRUE;
  return self;
}

GemConfig *
gem_config_ref(GemConfig *self)
{
  return g_atomic_rc_box_acquire(self);
}

static void
config_clear(gpointer data)
{
  GemConfig *self = data;

  g_free(self->model);
  g_free(self->backend);
  g_free(self->attention);
  g_free(self->cache_dir);
  g_free(self->state_dir);
  g_free(self->adapt_program);
  g_free(self->adapt_socket);
  g_free(self->pressure_root);
  g_strfreev(self->plugin_dirs);
  g_strfreev(self->model_dirs);
}

void
gem_config_unref(GemConfig *self)
{
  g_atomic_rc_box_release_full(self, config_clear);
}

static const Key *
key_find(const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
    if (g_str_equal(keys[i].name, name)) {
      return &keys[i];
    }
  }
  return NULL;
}

/* Lower case, digits and dashes, as modules are named. */
static gboolean
is_module_name(const char *value)
{
  return value[0] != '\0' && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(value);
}

static void
replace_string(char **member, const char *value)
{
  g_free(*member);
  *member = g_strdup(value);
}

/* What the key wants, for the message; NULL when `value` was taken. */
static char *
set_count(GemConfig *self, const Key *key, const char *value)
{
  guint64 number = 0;

  if (!g_ascii_string_to_unsigned(value, 10, key->min, key->max, &number, NULL)) {
    return g_strdup_printf("a whole number from %u to %u", key->min, key->max);
  }
  *MEMBER(self, key, guint) = (guint)number;
  return NULL;
}

/* Bytes in a K, an M or a G; 0 for anything else. */
static guint64
unit_of(char letter)
{
  switch (letter) {
  case 'K':
    return MIB >> 10;
  case 'M':
    return MIB;
  case 'G':
    return MIB << 10;
  default:
    return 0;
  }
}

static char *
set_bytes(GemConfig *self, const Key *key, const char *value)
{
  gsize length = strlen(value);
  guint64 unit = length > 0 ? unit_of(value[length - 1]) : 0;
  g_autofree char *digits = g_strndup(value, unit > 0 ? length - 1 : length);
  guint64 number = 0;

  unit = MAX(unit, 1);
  if (!g_ascii_string_to_unsigned(digits, 10, 0, key->max * MIB / unit, &number, NULL) ||
      number * unit < key->min * MIB) {
    return g_strdup_printf("a whole number of bytes from %uM to %uM, with K, M or G behind it or nothing",
                           key->min, key->max);
  }
  *MEMBER(self, key, guint64) = number * unit;
  return NULL;
}

static char *
set_percent(GemConfig *self, const Key *key, const char *value)
{
  char *end = NULL;
  double number = g_ascii_strtod(value, &end);
  double percent = round(number * 100);

  if (end == value || *end != '\0' || !(number >= 0 && number <= 1) || fabs(number * 100 - percent) > 1e-6) {
    return g_strdup("a number from 0 to 1 with two decimals at most");
  }
  *MEMBER(self, key, gint) = (gint)percent;
  return NULL;
}

static char *
set_value(GemConfig *self, const Key *key, const char *value)
{
  switch (key->kind) {
  case KEY_COUNT:
    return set_count(self, key, value);
  case KEY_BYTES:
    return set_bytes(self, key, value);
  case KEY_PERCENT:
    return set_percent(self, key, value);
  case KEY_PAGE_IN:
    if (!g_str_equal(value, "wait") && !g_str_equal(value, "degrade")) {
      return g_strdup("wait or degrade");
    }
    *MEMBER(self, key, gboolean) = g_str_equal(value, "degrade");
    return NULL;
  case KEY_CACHE:
    if (!g_str_equal(value, "f16") && !g_str_equal(value, "q8_0")) {
      return g_strdup("q8_0 or f16");
    }
    *MEMBER(self, key, gboolean) = g_str_equal(value, "f16");
    return NULL;
  case KEY_AUTO:
    if (!g_str_equal(value, "auto") && !g_str_equal(value, "off")) {
      return g_strdup("auto or off");
    }
    *MEMBER(self, key, gboolean) = g_str_equal(value, "auto");
    return NULL;
  case KEY_MODULE:
    if (!is_module_name(value)) {
      return g_strdup("auto or the name of a module (a-z, 0-9, -)");
    }
    replace_string(MEMBER(self, key, char *), g_str_equal(value, "auto") ? NULL : value);
    return NULL;
  case KEY_MODEL:
    if (!gem_config_is_model_name(value) && !g_path_is_absolute(value)) {
      return g_strdup("the name of a model or an absolute path");
    }
    replace_string(MEMBER(self, key, char *), value);
    return NULL;
  }
  g_assert_not_reached();
}

static gboolean
fail(const char *path, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* "PATH: MESSAGE", in UTF-8 whatever the file holds; always FALSE. */
static gboolean
fail(const char *path, GError **error, const char *format, ...)
{
  g_autofree char *message = NULL, *valid = NULL;
  va_list arguments;

  va_start(arguments, format);
  message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  valid = g_utf8_make_valid(message, -1);
  g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION, "%s: %s", path, valid);
  return FALSE;
}

static gboolean
load_group(GemConfig *self, GKeyFile *file, const char *path, GError **error)
{
  g_auto(GStrv) names = g_key_file_get_keys(file, GROUP, NULL, error);

  for (gsize i = 0; names != NULL && names[i] != NULL; i++) {
    const Key *key = key_find(names[i]);
    g_autofree char *value = g_key_file_get_value(file, GROUP, names[i], NULL);
    g_autofree char *wanted = NULL;

    if (key == NULL) {
      return fail(path, error, "unknown key \"%s\"", names[i]);
    }
    wanted = set_value(self, key, g_strstrip(value));
    if (wanted != NULL) {
      return fail(path, error, "%s=%s: %s is wanted", names[i], value, wanted);
    }
  }
  return names != NULL;
}

gboolean
gem_config_load(GemConfig *self, const char *path, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) local = NULL;
  g_auto(GStrv) groups = NULL;

  if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &local)) {
    if (local->domain == G_FILE_ERROR) {
      g_propagate_prefixed_error(error, g_steal_pointer(&local), "%s: ", path);
      return FALSE;
    }
    return fail(path, error, "%s", local->message);
  }
  groups = g_key_file_get_groups(file, NULL);
  for (gsize i = 0; groups[i] != NULL; i++) {
    if (!g_str_equal(groups[i], GROUP)) {
      return fail(path, error, "unknown group [%s]", groups[i]);
    }
  }
  return !g_key_file_has_group(file, GROUP) || load_group(self, file, path, error);
}

static gboolean
key_differs(const Key *key, const GemConfig *one, const GemConfig *other)
{
  if (key->kind == KEY_MODEL || key->kind == KEY_MODULE) {
    return g_strcmp0(*MEMBER(one, key, char *), *MEMBER(other, key, char *)) != 0;
  }
  if (key->kind == KEY_BYTES) {
    return *MEMBER(one, key, guint64) != *MEMBER(other, key, guint64);
  }
  return *MEMBER(one, key, guint) != *MEMBER(other, key, guint);
}

void
gem_config_update(GemConfig *self, const GemConfig *from, GStrv *ret_taken, GStrv *ret_later)
{
  g_autoptr(GStrvBuilder) taken = g_strv_builder_new();
  g_autoptr(GStrvBuilder) later = g_strv_builder_new();

  for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
    if (!key_differs(&keys[i], self, from)) {
      continue;
    }
    g_strv_builder_add(keys[i].live ? taken : later, keys[i].name);
    if (keys[i].live && keys[i].kind == KEY_MODEL) {
      replace_string(MEMBER(self, &keys[i], char *), *MEMBER(from, &keys[i], char *));
    } else if (keys[i].live && keys[i].kind == KEY_BYTES) {
      *MEMBER(self, &keys[i], guint64) = *MEMBER(from, &keys[i], guint64);
    } else if (keys[i].live) {
      *MEMBER(self, &keys[i], guint) = *MEMBER(from, &keys[i], guint);
    }
  }
  *ret_taken = g_strv_builder_end(taken);
  *ret_later = g_strv_builder_end(later);
}

gboolean
gem_config_is_model_name(const char *name)
{
  return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

char *
gem_config_find_model_named(const GemConfig *self, const char *name, GError **error)
{
  g_autofree char *searched = NULL;

  for (gsize i = 0; self->model_dirs != NULL && self->model_dirs[i] != NULL; i++) {
    g_autofree char *path = g_build_filename(self->model_dirs[i], name, NULL);

    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
      return g_steal_pointer(&path);
    }
  }
  searched = self->model_dirs != NULL ? g_strjoinv(", ", self->model_dirs) : g_strdup("no folder");
  g_set_error(error, GEM_ERROR, GEM_ERROR_NOT_READY, "no model \"%s\" in %s", name, searched);
  return NULL;
}

char *
gem_config_find_model(const GemConfig *self, const char *model, GError **error)
{
  return gem_config_is_model_name(model) ? gem_config_find_model_named(self, model, error) : g_strdup(model);
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GStrv
gem_config_list_models(const GemConfig *self)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();

  for (gsize i = 0; self->model_dirs != NULL && self->model_dirs[i] != NULL; i++) {
    g_autoptr(GDir) dir = g_dir_open(self->model_dirs[i], 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
      g_autofree char *path = g_build_filename(self->model_dirs[i], name, NULL);

      if (gem_config_is_model_name(name) && g_utf8_validate(name, -1, NULL) &&
          g_file_test(path, G_FILE_TEST_IS_DIR) &&
          !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
        g_ptr_array_add(names, g_strdup(name));
      }
    }
  }
  g_ptr_array_sort(names, compare_names);
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}
