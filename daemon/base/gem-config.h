/*
 * The daemon's configuration: gemd.conf, a key file with one group, [gemd]. See docs/man/gemd.conf.5 for the
 * keys. An unknown group or key and a value out of range are errors that name file, key and value.
 */
#pragma once

#include <glib.h>

/* The largest values of MaxSessions and ParallelAsks: sequences that there may ever be. */
#define GEM_CONFIG_MOST_SESSIONS 4096u
#define GEM_CONFIG_MOST_ASKS     64u
/* Learned domains: fewer than one model can route to (GEM_MAX_LEARNED), since a new version of one comes in
 * while the old one still serves. */
#define GEM_CONFIG_MOST_LEARNED 40u

typedef struct {
  /* What runs. */
  char *model;            /* a name in the model folders, or a path */
  char *backend;          /* NULL: the highest score */
  char *attention;        /* NULL: the model's own */
  guint clusters;         /* k of SCAR; 0: the model's first set */
  gint threshold_percent; /* tau; -1: the model's */
  guint context_tokens;
  gboolean kv_half; /* KV cache in F16 in place of 8 bits */
  guint threads;
  guint prefill_block;
  gboolean memory_pressure; /* memory is given back when it is short */
  guint64 memory_limit;     /* bytes; 0: none */
  gboolean page_in_degrade; /* tokens do not wait for their pathway unless the call says so */

  /* Quotas, see gem-quota.h and gem-call-queue.h. */
  guint max_sessions;
  guint max_sessions_per_user;
  guint max_requests;
  guint max_requests_per_user;
  guint max_streams;
  guint max_streams_per_user;
  guint stream_seconds;
  guint max_tokens;
  guint max_tokens_per_user;
  guint64 max_kv_cache;          /* bytes */
  guint64 max_kv_cache_per_user; /* bytes */
  guint max_calls;
  guint max_calls_per_user;
  guint max_calls_per_client;
  guint max_holds;
  guint max_holds_per_user;
  guint max_learned; /* domains that users have learned */
  guint max_learned_per_user;
  guint ask_tokens;
  guint ask_seconds;
  guint parallel_asks;

  /* Learning a domain. */
  guint64 adapt_text;   /* bytes of one text */
  guint64 adapt_memory; /* bytes that the process which learns may take */
  guint adapt_seconds;  /* that it may be given */

  guint idle_exit_seconds; /* 0: never */

  /* From the command line and the environment. */
  guint idle_exit_milliseconds; /* goes before idle_exit_seconds; 0: not given */
  char *cache_dir;              /* NULL: none */
  char *state_dir;              /* where learned domains are kept; NULL: nowhere, and none are learned */
  char *adapt_socket;           /* where systemd starts the process that learns; NULL: nowhere */
  char *adapt_program;          /* what is started where that socket is not */
  char *pressure_root;          /* where proc/ and sys/ of memory pressure stand; NULL: / */
  GStrv plugin_dirs;
  GStrv model_dirs;
} GemConfig;

/* Every key at its default, shared by reference count (atomic: the thread that loads the model holds one). */
GemConfig *
gem_config_new(void);
GemConfig *
gem_config_ref(GemConfig *self);
void
gem_config_unref(GemConfig *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemConfig, gem_config_unref)

/* Reads `path` over what is there. Errors: GEM_ERROR_INVALID_OPTION for what the file says, G_FILE_ERROR when
 * it cannot be read. On an error `self` may hold a part of the file. */
gboolean
gem_config_load(GemConfig *self, const char *path, GError **error);

/* Takes from `from` what can change while the service runs: the quotas that are looked at when they are
 * needed, and the model, which the caller then loads. The names of the keys that were taken, and of those
 * that differ and are heeded at the next start; transfer full. Main loop only: no other thread reads the
 * former. */
void
gem_config_update(GemConfig *self, const GemConfig *from, GStrv *ret_taken, GStrv *ret_later);

/* The folder or file of `model`, a value of Model: a path as it stands, a name looked up in model_dirs.
 * GEM_ERROR_NOT_READY when there is none, naming the folders. Any thread. */
char *
gem_config_find_model(const GemConfig *self, const char *model, GError **error);
/* A name, and never a path: not empty, no '/', no '.' first. */
gboolean
gem_config_is_model_name(const char *name);
/* The folder of that name in model_dirs, the first that has it; errors as above. */
char *
gem_config_find_model_named(const GemConfig *self, const char *name, GError **error);
/* The names that can be found so, in order. Reads the folders. */
GStrv
gem_config_list_models(const GemConfig *self);
