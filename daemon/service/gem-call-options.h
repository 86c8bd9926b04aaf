/*
 * The options of a method: an a{sv} read against one table of keys with their types and ranges. The XML in
 * dbus/ documents them.
 */
#pragma once

#include "daemon/engine/gem-engine.h"

typedef enum {
  GEM_OPTION_DOMAIN = 1 << 0,
  GEM_OPTION_CLUSTERS = 1 << 1,
  GEM_OPTION_MAX_TOKENS = 1 << 2,
  GEM_OPTION_TEMPERATURE = 1 << 3,
  GEM_OPTION_TOP_K = 1 << 4,
  GEM_OPTION_TOP_P = 1 << 5,
  GEM_OPTION_SEED = 1 << 6,
  GEM_OPTION_STOP = 1 << 7,
  GEM_OPTION_RAW = 1 << 8,
  GEM_OPTION_SLIDE = 1 << 9,
  GEM_OPTION_ROUTES = 1 << 10,
  GEM_OPTION_HANDLE_TOKEN = 1 << 11,
  GEM_OPTION_GRACE = 1 << 12,
  GEM_OPTION_PRIORITY = 1 << 13,
  GEM_OPTION_PAGE_IN = 1 << 14,
  GEM_OPTION_MODE = 1 << 15,
  GEM_OPTION_SECONDS = 1 << 16,
  GEM_OPTION_WORST_OTHER = 1 << 17,
  GEM_OPTION_LEAST_GAIN = 1 << 18,
} GemOption;

/* What the methods take. */
#define GEM_OPTIONS_NONE 0u
#define GEM_OPTIONS_RUN  (GEM_OPTION_DOMAIN | GEM_OPTION_CLUSTERS | GEM_OPTION_PRIORITY)
#define GEM_OPTIONS_SAMPLING                                                                                 \
  (GEM_OPTION_MAX_TOKENS | GEM_OPTION_TEMPERATURE | GEM_OPTION_TOP_K | GEM_OPTION_TOP_P | GEM_OPTION_SEED |  \
   GEM_OPTION_STOP | GEM_OPTION_RAW)
/* Of those whose answers come with stats, which say what it came to. */
#define GEM_OPTIONS_SESSION (GEM_OPTIONS_RUN | GEM_OPTION_PAGE_IN)
#define GEM_OPTIONS_ASK     (GEM_OPTIONS_SESSION | GEM_OPTIONS_SAMPLING)
#define GEM_OPTIONS_GENERATE                                                                                 \
  (GEM_OPTIONS_SAMPLING | GEM_OPTION_SLIDE | GEM_OPTION_ROUTES | GEM_OPTION_HANDLE_TOKEN |                   \
   GEM_OPTION_PRIORITY | GEM_OPTION_PAGE_IN)

#define GEM_OPTIONS_ADAPT                                                                                    \
  (GEM_OPTION_MODE | GEM_OPTION_SECONDS | GEM_OPTION_SEED | GEM_OPTION_WORST_OTHER | GEM_OPTION_LEAST_GAIN)

typedef struct {
  guint accepted;             /* GemOption flags */
  guint most_tokens;          /* upper bound of max_tokens */
  const char *const *domains; /* that `domain` may name, beside "general"; NULL-terminated */
} GemOptionRules;

typedef struct {
  GemGenerateOptions generate; /* its `run` has domain, clusters, priority and page_in */
  gboolean routes;
  char *handle_token;  /* NULL: not given */
  guint grace_seconds; /* of LoadModel */
  /* Of AdaptDomain; seconds: 0, not given. */
  gboolean tapt;
  guint seconds;
  double worst_other_percent, least_gain_percent;
} GemCallOptions;

/* Reads `options` (a{sv}). What is not given stands at its default: zero, but for the seed, which is drawn at
 * random, and the bounds of AdaptDomain. Errors: GEM_ERROR_INVALID_OPTION naming the key,
 * GEM_ERROR_UNKNOWN_DOMAIN. */
gboolean
gem_call_options_parse(GVariant *options,
                       const GemOptionRules *rules,
                       GemCallOptions *ret_options,
                       GError **error);
void
gem_call_options_clear(GemCallOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemCallOptions, gem_call_options_clear)

/* Whether options (a{sv}) that nobody has checked yet ask for priority batch. */
gboolean
gem_call_options_are_batch(GVariant *options);
