#include "daemon/service/gem-call-options.h"

#include <string.h>

#define MOST_STOPS        8u
#define MOST_STOP_BYTES   256u
#define MOST_HANDLE_BYTES 64u
#define MOST_QUOTED_BYTES 64u
#define BATCH             "batch"
#define TAPT              "tapt"

/* Of AdaptDomain. */
#define WORST_OTHER_PERCENT 1.0
#define LEAST_GAIN_PERCENT  2.0

typedef struct {
  const char *key;
  GemOption flag;
  const char *type;  /* D-Bus signature */
  const char *range; /* for the message */
  double min, max;   /* of "u" and "d"; the upper bound of max_tokens stands in the rules */
  gsize offset;      /* of the member in GemCallOptions */
} Option;

#define AT(member) G_STRUCT_OFFSET(GemCallOptions, member)

static const Option table[] = {
    {"domain", GEM_OPTION_DOMAIN, "s", NULL, 0, 0, AT(generate.run.domain)},
    {"clusters", GEM_OPTION_CLUSTERS, "u", "1 to 256", 1, 256, AT(generate.run.clusters)},
    {"priority", GEM_OPTION_PRIORITY, "s", NULL, 0, 0, AT(generate.run.priority)},
    {"page_in", GEM_OPTION_PAGE_IN, "s", NULL, 0, 0, AT(generate.run.page_in)},
    {"max_tokens", GEM_OPTION_MAX_TOKENS, "u", NULL, 1, 0, AT(generate.max_tokens)},
    {"temperature", GEM_OPTION_TEMPERATURE, "d", "0 to 4", 0, 4, AT(generate.temperature)},
    {"top_k", GEM_OPTION_TOP_K, "u", "0 to 1000000", 0, 1000000, AT(generate.top_k)},
    {"top_p", GEM_OPTION_TOP_P, "d", "above 0 to 1", G_MINDOUBLE, 1, AT(generate.top_p)},
    {"seed", GEM_OPTION_SEED, "t", NULL, 0, 0, AT(generate.seed)},
    {"stop", GEM_OPTION_STOP, "as", NULL, 0, 0, AT(generate.stop)},
    {"raw", GEM_OPTION_RAW, "b", NULL, 0, 0, AT(generate.raw)},
    {"slide", GEM_OPTION_SLIDE, "b", NULL, 0, 0, AT(generate.slide)},
    {"routes", GEM_OPTION_ROUTES, "b", NULL, 0, 0, AT(routes)},
    {"handle_token", GEM_OPTION_HANDLE_TOKEN, "s", NULL, 0, 0, AT(handle_token)},
    {"grace_seconds", GEM_OPTION_GRACE, "u", "1 to 3600", 1, 3600, AT(grace_seconds)},
    {"mode", GEM_OPTION_MODE, "s", NULL, 0, 0, AT(tapt)},
    {"seconds", GEM_OPTION_SECONDS, "u", "10 to 86400", 10, 86400, AT(seconds)},
    {"worst_other_percent", GEM_OPTION_WORST_OTHER, "d", "0 to 100", 0, 100, AT(worst_other_percent)},
    {"least_gain_percent", GEM_OPTION_LEAST_GAIN, "d", "0 to 90", 0, 90, AT(least_gain_percent)},
};

static const Option *
option_find(const char *key, guint accepted)
{
  for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
    if ((table[i].flag & accepted) != 0 && g_str_equal(table[i].key, key)) {
      return &table[i];
    }
  }
  return NULL;
}

/* A caller's word for a message: in quotes, unless it is too long to be one. */
static char *
quote(const char *word)
{
  gsize length = strlen(word);

  return length <= MOST_QUOTED_BYTES ? g_strdup_printf("\"%s\"", word)
                                     : g_strdup_printf("of %" G_GSIZE_FORMAT " bytes", length);
}

/* A key is a caller's word: it goes back to the caller in the message, and nowhere else. */
static gboolean
fail_unknown(const char *key, guint accepted, GError **error)
{
  g_autoptr(GString) known = g_string_new(NULL);
  g_autofree char *quoted = quote(key);

  for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
    if ((table[i].flag & accepted) != 0) {
      g_string_append_printf(known, "%s%s", known->len > 0 ? ", " : "", table[i].key);
    }
  }
  g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION, "unknown option %s; this method takes: %s", quoted,
              known->len > 0 ? known->str : "none");
  return FALSE;
}

static gboolean
read_domain(GVariant *value, const GemOptionRules *rules, char **ret_domain, GError **error)
{
  const char *domain = g_variant_get_string(value, NULL);
  g_autofree char *known = NULL;
  g_autofree char *quoted = NULL;

  if (!g_str_equal(domain, "general") && !g_strv_contains(rules->domains, domain)) {
    quoted = quote(domain);
    known = g_strjoinv(", ", (char **)rules->domains);
    gem_error_set_option(error, GEM_ERROR_UNKNOWN_DOMAIN, "domain", "no domain %s; there are: general%s%s",
                         quoted, known[0] != '\0' ? ", " : "", known);
    return FALSE;
  }
  g_free(*ret_domain);
  *ret_domain = g_strdup(domain);
  return TRUE;
}

static gboolean
read_priority(GVariant *value, GemPriority *ret_priority, GError **error)
{
  const char *priority = g_variant_get_string(value, NULL);
  gboolean is_batch = g_str_equal(priority, BATCH);
  g_autofree char *quoted = NULL;

  if (!is_batch && !g_str_equal(priority, "interactive")) {
    quoted = quote(priority);
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "priority", "%s; interactive or batch is wanted",
                         quoted);
    return FALSE;
  }
  *ret_priority = is_batch ? GEM_PRIORITY_BATCH : GEM_PRIORITY_INTERACTIVE;
  return TRUE;
}

static gboolean
read_page_in(GVariant *value, GemPageIn *ret_page_in, GError **error)
{
  const char *page_in = g_variant_get_string(value, NULL);
  gboolean degrades = g_str_equal(page_in, "degrade");
  g_autofree char *quoted = NULL;

  if (!degrades && !g_str_equal(page_in, "wait")) {
    quoted = quote(page_in);
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "page_in", "%s; wait or degrade is wanted", quoted);
    return FALSE;
  }
  *ret_page_in = degrades ? GEM_PAGE_IN_DEGRADE : GEM_PAGE_IN_WAIT;
  return TRUE;
}

static gboolean
read_mode(GVariant *value, gboolean *ret_tapt, GError **error)
{
  const char *mode = g_variant_get_string(value, NULL);
  gboolean is_tapt = g_str_equal(mode, TAPT);
  g_autofree char *quoted = NULL;

  if (!is_tapt && !g_str_equal(mode, "dapt")) {
    quoted = quote(mode);
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "mode", "%s; dapt or tapt is wanted", quoted);
    return FALSE;
  }
  *ret_tapt = is_tapt;
  return TRUE;
}

static gboolean
read_handle(GVariant *value, char **ret_handle, GError **error)
{
  const char *handle = g_variant_get_string(value, NULL);
  gsize length = strlen(handle);

  if (length < 1 || length > MOST_HANDLE_BYTES ||
      strspn(handle, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_") != length) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "handle_token",
                         "%" G_GSIZE_FORMAT " bytes; 1 to %u of A-Z a-z 0-9 _ are wanted", length,
                         MOST_HANDLE_BYTES);
    return FALSE;
  }
  g_free(*ret_handle);
  *ret_handle = g_strdup(handle);
  return TRUE;
}

static gboolean
read_stop(GVariant *value, GStrv *ret_stop, GError **error)
{
  gsize count = 0;
  g_autofree const char **strings = g_variant_get_strv(value, &count);

  if (count > MOST_STOPS) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "stop",
                         "%" G_GSIZE_FORMAT " strings; up to %u are wanted", count, MOST_STOPS);
    return FALSE;
  }
  for (gsize i = 0; i < count; i++) {
    gsize length = strlen(strings[i]);

    if (length < 1 || length > MOST_STOP_BYTES) {
      gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "stop",
                           "string %" G_GSIZE_FORMAT " has %" G_GSIZE_FORMAT " bytes; 1 to %u are wanted",
                           i + 1, length, MOST_STOP_BYTES);
      return FALSE;
    }
  }
  g_strfreev(*ret_stop);
  *ret_stop = g_variant_dup_strv(value, NULL);
  return TRUE;
}

static gboolean
read_number(
    GVariant *value, const Option *option, const GemOptionRules *rules, gpointer ret_number, GError **error)
{
  gboolean is_double = g_variant_is_of_type(value, G_VARIANT_TYPE_DOUBLE);
  double number = is_double ? g_variant_get_double(value) : g_variant_get_uint32(value);
  double max = option->flag == GEM_OPTION_MAX_TOKENS ? rules->most_tokens : option->max;
  g_autofree char *given = NULL;
  g_autofree char *range = NULL;

  if (!(number >= option->min && number <= max)) {
    given = g_variant_print(value, FALSE);
    range = option->range != NULL ? g_strdup(option->range) : g_strdup_printf("1 to %u", rules->most_tokens);
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, option->key, "%s is out of range, %s", given,
                         range);
    return FALSE;
  }
  if (is_double) {
    *(double *)ret_number = number;
  } else {
    *(guint *)ret_number = g_variant_get_uint32(value);
  }
  return TRUE;
}

static gboolean
read_value(GVariant *value,
           const Option *option,
           const GemOptionRules *rules,
           GemCallOptions *options,
           GError **error)
{
  gpointer member = G_STRUCT_MEMBER_P(options, option->offset);

  if (!g_variant_is_of_type(value, G_VARIANT_TYPE(option->type))) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, option->key, "type %s; %s is wanted",
                         g_variant_get_type_string(value), option->type);
    return FALSE;
  }
  switch (option->flag) {
  case GEM_OPTION_DOMAIN:
    return read_domain(value, rules, member, error);
  case GEM_OPTION_PRIORITY:
    return read_priority(value, member, error);
  case GEM_OPTION_PAGE_IN:
    return read_page_in(value, member, error);
  case GEM_OPTION_MODE:
    return read_mode(value, member, error);
  case GEM_OPTION_HANDLE_TOKEN:
    return read_handle(value, member, error);
  case GEM_OPTION_STOP:
    return read_stop(value, member, error);
  case GEM_OPTION_SEED:
    *(guint64 *)member = g_variant_get_uint64(value);
    return TRUE;
  case GEM_OPTION_RAW:
  case GEM_OPTION_SLIDE:
  case GEM_OPTION_ROUTES:
    *(gboolean *)member = g_variant_get_boolean(value);
    return TRUE;
  default:
    return read_number(value, option, rules, member, error);
  }
}

gboolean
gem_call_options_parse(GVariant *options,
                       const GemOptionRules *rules,
                       GemCallOptions *ret_options,
                       GError **error)
{
  g_auto(GemCallOptions) parsed = {0};
  GVariantIter iter;
  const char *key;
  GVariant *value;

  parsed.generate.seed = ((guint64)g_random_int() << 32) | g_random_int();
  parsed.worst_other_percent = WORST_OTHER_PERCENT;
  parsed.least_gain_percent = LEAST_GAIN_PERCENT;
  g_variant_iter_init(&iter, options);
  while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) {
    const Option *option = option_find(key, rules->accepted);

    if (option == NULL ? !fail_unknown(key, rules->accepted, error)
                       : !read_value(value, option, rules, &parsed, error)) {
      g_variant_unref(value); /* the loop is left early */
      return FALSE;
    }
  }
  *ret_options = parsed;
  parsed = (GemCallOptions){0};
  return TRUE;
}

void
gem_call_options_clear(GemCallOptions *options)
{
  gem_generate_options_clear(&options->generate);
  g_clear_pointer(&options->handle_token, g_free);
}

gboolean
gem_call_options_are_batch(GVariant *options)
{
  const char *priority = NULL;

  return g_variant_lookup(options, "priority", "&s", &priority) && g_str_equal(priority, BATCH);
}
