/*
 * The engine: one thread that owns the model and runs steps over all live sequences. This header is what the
 * bus side sees of it. Every function here is called on the main loop, unless it says otherwise; every
 * callback runs there (the thread-default main context of gem_engine_new). The engine thread never touches
 * the bus.
 *
 * A caller's text lives in the sequence that it belongs to and is wiped with it.
 */
#pragma once

#include <gio/gio.h>

#include "daemon/pager/gem-pathway-info.h"
#include "daemon/plugin/gem-backend-info.h"
#include "dbus/gem-error.h" /* GEM_ERROR: errors with D-Bus names */

typedef struct {
  const char *model_path;         /* folder with manifest, or a Llama-architecture .gguf file */
  const char *cache_dir;          /* where it is kept which files were found right; NULL: nowhere */
  const char *const *plugin_dirs; /* searched for router/, attention/, pathways/, backends/ modules */
  const char *backend;            /* name, or NULL: the highest score */
  guint threads;                  /* that calculate; 0: the backend's choice */
  const char *attention;          /* "scar", "dense", or NULL: scar when the model has centroids */
  gint clusters;                  /* k of SCAR: one of the model's sets; 0: the first */
  gint threshold_percent;         /* tau in percent, 0..100; -1: the model's */
  guint context;                  /* tokens a sequence may hold; 0: 2048 */
  gboolean kv_half;               /* KV cache in F16 in place of 8 bits */
  guint prefill_block;            /* tokens of one prefill block; 0: 128 */
  guint max_sequences;            /* live sequences in total; 0: 64 */
} GemEngineConfig;

#define GEM_TYPE_ENGINE (gem_engine_get_type())
G_DECLARE_FINAL_TYPE(GemEngine, gem_engine, GEM, ENGINE, GObject)

/* Opens modules and model and starts the thread. A missing or broken domain leaves a working engine: its
 * pathway is `absent`, with the reason. */
GemEngine *
gem_engine_new(const GemEngineConfig *config, GError **error);
/* Ends all work with GEM_ERROR_SHUTTING_DOWN, joins the thread. Idempotent; dispose calls it. */
void
gem_engine_stop(GemEngine *self);
/* The same without a wait: new work is refused from now on with GEM_ERROR_SHUTTING_DOWN, what runs is ended
 * so, and the callback comes when the memory of weights and caches is given back. Once. */
void
gem_engine_stop_async(GemEngine *self, GAsyncReadyCallback callback, gpointer data);
void
gem_engine_stop_finish(GemEngine *self, GAsyncResult *result);

/* ---- what it is ---- */
const char *
gem_engine_get_model_name(GemEngine *self);
const char *
gem_engine_get_model_digest(GemEngine *self); /* of its manifest; "" for a lone file */
/* The SHA-256 of one of its files, as the manifest that it was loaded by has it; NULL: there is none. */
const char *
gem_engine_get_file_sha256(GemEngine *self, const char *file);
const char *
gem_engine_get_model_path(GemEngine *self); /* as it was given */
guint
gem_engine_get_context(GemEngine *self); /* tokens */
const char *const *
gem_engine_get_domains(GemEngine *self); /* the router's classes, in order; NULL-terminated */
const char *
gem_engine_get_attention(GemEngine *self);
double
gem_engine_get_threshold(GemEngine *self);
guint64
gem_engine_get_resident_bytes(GemEngine *self); /* weights + caches, any thread */
typedef struct {
  guint64 tokens;           /* run through the model since the engine was made: of prompts, too */
  double tokens_per_second; /* the same, over the last ten whole seconds */
  guint running, waiting;   /* jobs that are begun; that are not */
} GemEngineLoad;
void
gem_engine_get_load(GemEngine *self, GemEngineLoad *ret_load);
/* Monotonic time at which the engine thread last turned its loop; for the watchdog. */
gint64
gem_engine_get_last_beat(GemEngine *self);

GPtrArray *
gem_engine_list_backends(GemEngine *self); /* of GemBackendInfo; transfer full */
/* Pathways that a device refused, or that it failed with, are tried there again. */
void
gem_engine_try_devices_again(GemEngine *self);
/* Asks the devices that could not be used when the model was loaded. TRUE: one can be used now, by an engine
 * that is made anew. */
void
gem_engine_look_for_devices_async(GemEngine *self,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer data);
/* FALSE, too, when it was cancelled. */
gboolean
gem_engine_look_for_devices_finish(GemEngine *self, GAsyncResult *result);

/* ---- pathways ---- */

/* NULL: no such domain. Transfer full. */
GemPathwayInfo *
gem_engine_get_pathway(GemEngine *self, const char *domain);

/* Loads weights and module, or frees the weights and closes the module, between two steps. A domain is absent
 * at first and comes by itself, before the step, when the first token is routed to it; so does one that was
 * paged out. One that cannot be loaded (see `reason`) leaves its tokens to general alone, counted there, and
 * is only tried again by gem_engine_page_in_async, when its file is another one, or after a while when the
 * reason was one that passes (gem_pager_look_again). "general" cannot be paged out. Errors: UNKNOWN_DOMAIN,
 * PATHWAY, LIMIT_EXCEEDED when MemoryLimit leaves it no room. */
void
gem_engine_page_in_async(GemEngine *self,
                         const char *domain,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer data);
void
gem_engine_page_out_async(GemEngine *self,
                          const char *domain,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data);
gboolean
gem_engine_page_finish(GemEngine *self, GAsyncResult *result, GError **error);

/* Keeps a pathway where it is: what was paged in stays in spite of MemoryLimit and of all steps of relief but
 * the last, until it was released as often as it was held. It can still be paged out by
 * gem_engine_page_out_async; nothing is paged in. At once; nothing for a domain that the model does not have.
 */
void
gem_engine_hold_pathway(GemEngine *self, const char *domain);
void
gem_engine_release_pathway(GemEngine *self, const char *domain);
/* The same, as one more hold that an administrator has or has not. */
void
gem_engine_set_pinned(GemEngine *self, const char *domain, gboolean pinned);

/* ---- domains that were learned on the device ---- */

/* One that a user has taught: texts of `owner` (see GemRunOptions), and of all users when it is shared, are
 * routed to it, too. Its name is one of the model's, which it stands in for then, or a new one. */
typedef struct {
  const char *name; /* as its file says */
  guint owner;
  gboolean shared;
  int fd; /* its file (format/gem-learned-file.h), regular, opened for reading; stays the caller's. The
             engine keeps a descriptor of its own: what is done to the path later does not matter, but the
             bytes must stay what they are. -1: `file` is opened */
  const char *file; /* what messages call it */
} GemLearnedDomain;

/* Checks the file and then, between two steps, takes the domain in, in the place of the owner's one of that
 * name. Turns and calls that have begun keep what they began with, to their end; so they do in the functions
 * below. Its pathway is absent at first, and comes and goes like the others. Errors: PATHWAY for a file that
 * does not hold (file and field), that was learned on another model or for a router that cannot take it;
 * LIMIT_EXCEEDED when there are GEM_MAX_LEARNED, those that running turns still use included. One that is to
 * be shared is not where another user's of that name is shared already. */
void
gem_engine_add_learned_async(GemEngine *self,
                             const GemLearnedDomain *domain,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer data);
gboolean
gem_engine_add_learned_finish(GemEngine *self, GAsyncResult *result, GError **error);
/* It is out of sight at once, and out of memory when the last turn that began with it has ended. What a
 * conversation has cached of it stays; a token that was routed to it and is run again later runs through
 * general alone. UNKNOWN_DOMAIN. */
void
gem_engine_remove_learned_async(GemEngine *self,
                                guint owner,
                                const char *name,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer data);
gboolean
gem_engine_remove_learned_finish(GemEngine *self, GAsyncResult *result, GError **error);
/* At once. A user's own domain hides a shared one of its name. When it is no longer shared, the next turns of
 * others' conversations have nothing to do with it: tokens of earlier turns that were routed to it run
 * through general alone when they are run again. UNKNOWN_DOMAIN; INVALID_OPTION when it is to be shared and
 * another user's of that name is. */
gboolean
gem_engine_share_learned(GemEngine *self, guint owner, const char *name, gboolean shared, GError **error);

typedef struct {
  char *name;
  guint owner;
  gboolean shared;
  char *replaces; /* the model's domain of that name; NULL: it is a new one */
  GemPathwayState state;
  char *reason; /* as of GemPathwayInfo */
  guint64 file_bytes, resident_bytes;
} GemLearnedInfo;
void
gem_learned_info_free(GemLearnedInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedInfo, gem_learned_info_free)
GPtrArray *
gem_engine_list_learned(GemEngine *self); /* of GemLearnedInfo, of all users; transfer full */
/* What `domain` of GemRunOptions may name for that owner beside "general": the model's, then learned ones. */
GStrv
gem_engine_list_domains_of(GemEngine *self, guint owner);

/* ---- memory ---- */

/* What may be given up when the system is short of memory: each step is taken with all those before it. All
 * of it comes back by itself when it is needed, and answers do not change: a sequence keeps its tokens and
 * their routes, and runs again what its cache has lost. */
typedef enum {
  GEM_RELIEF_OVER,            /* the shortage is over: files are read ahead again */
  GEM_RELIEF_READ_AHEAD,      /* none any more, until it is over */
  GEM_RELIEF_COLD_PATHWAYS,   /* those to which no running text is routed, and that nobody keeps */
  GEM_RELIEF_IDLE_CACHES,     /* of sequences that run no turn, or whose turn is paused: the router's, too */
  GEM_RELIEF_ALL_BUT_GENERAL, /* every pathway; what running turns need comes back with their next step */
} GemRelief;
#define GEM_RELIEF_STEPS 5

/* MemoryLimit: bytes that gem_engine_get_resident_bytes may come to; 0, as at first: no limit. Before a
 * pathway or a cache would go over it, the pathway goes to which tokens were routed longest ago, then the
 * memory of the idle sequence that was; tokens of pathways that do not fit together run in different steps,
 * and texts wait for each other (gem-give-way.h). LIMIT_EXCEEDED for one that would find no room alone. A
 * limit below gem_engine_get_fixed_bytes cannot be kept and refuses nothing. In force with the next step of
 * the model. */
void
gem_engine_set_memory_limit(GemEngine *self, guint64 bytes);
/* Of the general part, router and attention: what is never given up. */
guint64
gem_engine_get_fixed_bytes(GemEngine *self);

/* Takes the step between two steps of the model. What is given up is wiped where it tells of a text, and its
 * memory is the system's when the callback comes. */
void
gem_engine_relieve_async(
    GemEngine *self, GemRelief step, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data);
/* SHUTTING_DOWN, or CANCELLED before it was taken. `ret_freed_bytes` (may be NULL): of what
 * gem_engine_get_resident_bytes counts. */
gboolean
gem_engine_relieve_finish(GemEngine *self, GAsyncResult *result, guint64 *ret_freed_bytes, GError **error);

/* What was done about memory since the engine was made. */
typedef struct {
  GemPagerCounters paging;
  guint64 cache_drops_relief;
  guint64 cache_drops_budget;             /* MemoryLimit wanted their room for something else */
  guint64 refusals;                       /* of calls for which MemoryLimit left no room */
  guint64 degraded_tokens;                /* that ran through general though they are routed to a domain */
  guint64 relief_steps[GEM_RELIEF_STEPS]; /* how often each was asked for */
  guint64 relief_bytes;                   /* that they gave back */
} GemEngineCounters;
void
gem_engine_get_counters(GemEngine *self, GemEngineCounters *ret_counters);

/* ---- texts as tokens ---- */

/* What stands around a text's own tokens. */
typedef enum {
  GEM_PROMPT_ASK,   /* the model's template: of turns, Classify */
  GEM_PROMPT_RAW,   /* BOS before it, if the model adds one: of raw turns, Embed, Score */
  GEM_PROMPT_ALONE, /* nothing: of Route */
  GEM_PROMPT_COUNT, /* nothing; may be longer than the context, being only counted */
} GemPromptForm;

typedef struct {
  GemPromptForm form;
  gboolean places;           /* where each token stands in the text: of turns that tell routes, of Route */
  const char *const *labels; /* of Classify; NULL: none */
} GemPromptSpec;

/* The tokens of a text and of what its call brings beside it. Calls and turns make it themselves unless their
 * options bring it: the longest texts take tens of milliseconds. Any thread, as the next ones; of the engine
 * that the call is of, and of the same text. Errors: INVALID_TEXT, CONTEXT_EXCEEDED, INVALID_OPTION for
 * labels. Wiped when the last reference goes. */
typedef struct _GemPrompt GemPrompt;
GemPrompt *
gem_prompt_new(GemEngine *engine, const char *text, const GemPromptSpec *spec, GError **error);
GemPrompt *
gem_prompt_ref(GemPrompt *self);
void
gem_prompt_unref(GemPrompt *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPrompt, gem_prompt_unref)
guint
gem_prompt_count_tokens(const GemPrompt *self);

/* ---- one-shot work ---- */

/* What comes first when there is more to do than can be done at once. */
typedef enum {
  GEM_PRIORITY_UNSET,       /* the sequence's; of that, and of one-shot work: interactive */
  GEM_PRIORITY_INTERACTIVE, /* someone waits for it */
  GEM_PRIORITY_BATCH,       /* its turn comes when no interactive one waits, or after 16 that did */
} GemPriority;

/* What tokens do whose pathway is absent. */
typedef enum {
  GEM_PAGE_IN_DEFAULT, /* as the sequence says; that: as the engine says */
  GEM_PAGE_IN_WAIT,    /* wait for it: the answer is exact */
  GEM_PAGE_IN_DEGRADE, /* run through general alone, are counted, and it is paged in after them */
} GemPageIn;
/* For turns that say GEM_PAGE_IN_DEFAULT, as do their sequences; at first GEM_PAGE_IN_WAIT. */
void
gem_engine_set_page_in(GemEngine *self, GemPageIn page_in);

/* An owner that is no user and has no learned domains, nor sees those that are shared: for texts of the
 * service itself. */
#define GEM_OWNER_SERVICE G_MAXUINT

/* What a call may say about how its text is run. Zeroed: all defaults. Errors of calls that take it:
 * UNKNOWN_DOMAIN; PATHWAY for a forced pathway that cannot be loaded; INVALID_OPTION for clusters;
 * LIMIT_EXCEEDED when MemoryLimit leaves no room for what the text needs. */
typedef struct {
  char *domain;   /* force this pathway ("general": none) in place of the router; NULL: router */
  guint clusters; /* k of SCAR for this text; 0: the engine's */
  guint owner;    /* a user: they take turns, and have learned domains; of a sequence, not of its turns */
  GemPriority priority;
  GemPageIn page_in; /* of sequences and their turns; one-shot work waits, having no stats to tell it in */
  GemPrompt *prompt; /* of the call's or turn's text; borrowed; NULL: it is made at once */
  gint64 deadline;   /* monotonic, us: a call, or a turn that has not begun to write, waits no longer: for
                        memory that others have (LIMIT_EXCEEDED), for its turn (BUSY). 0: as long as it takes */
} GemRunOptions;
void
gem_run_options_clear(GemRunOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemRunOptions, gem_run_options_clear)

typedef struct GemLearnedView GemLearnedView; /* of the engine */

typedef struct {
  char *piece;                /* the token's text, valid UTF-8 (a part of a character is shown as <0xNN>) */
  guint64 offset, length;     /* bytes in the text */
  const char *pathway;        /* "general" or a domain; as long as the token, as the next */
  const char *const *classes; /* what its owner's texts may be routed to, NULL-terminated: the model's
                                 domains, then learned ones of other names */
  double *probabilities;      /* of each class; zeros for a forced route */
  GemLearnedView *learned;    /* keeps the names; NULL: there are none but the model's */
} GemRoutedToken;
void
gem_routed_token_free(GemRoutedToken *token);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRoutedToken, gem_routed_token_free)

/* The router's decisions on `text` alone (one turn, bidirectional, no template); of the options, owner and
 * priority count. Result: GPtrArray of
 * GemRoutedToken. This and the calls below: INVALID_TEXT for text that is empty or no UTF-8, CONTEXT_EXCEEDED
 * with both counts, CANCELLED, SHUTTING_DOWN. */
void
gem_engine_route_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data);
GPtrArray *
gem_engine_route_finish(GemEngine *self, GAsyncResult *result, GError **error);

/* P(label | text, the answer is one of the labels), after the text in the model's ask template; see
 * gem-label-tree.h; routes under the causal mask; the text's prefill is run once. 2 to 256 labels, different
 * and not empty, or INVALID_OPTION. Result: array of double, one per label. */
void
gem_engine_classify_async(GemEngine *self,
                          const char *text,
                          const char *const *labels,
                          const GemRunOptions *options,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data);
GArray *
gem_engine_classify_finish(GemEngine *self, GAsyncResult *result, GError **error);

/* Mean of the final hidden states of the text's tokens, BOS aside, unit length. Result: array of double,
 * width long. */
void
gem_engine_embed_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data);
GArray *
gem_engine_embed_finish(GemEngine *self, GAsyncResult *result, GError **error);

/* Sum of the natural log-likelihoods of the text's tokens after BOS, and their count, under the causal mask
 * (routes too). For perplexity. */
void
gem_engine_score_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data);
gboolean
gem_engine_score_finish(
    GemEngine *self, GAsyncResult *result, double *ret_log_likelihood, guint64 *ret_tokens, GError **error);

/* ---- conversations ---- */

#define GEM_TYPE_SEQUENCE (gem_sequence_get_type())
G_DECLARE_FINAL_TYPE(GemSequence, gem_sequence, GEM, SEQUENCE, GObject)

/* A sequence: its tokens and KV cache, kept from turn to turn. LIMIT_EXCEEDED when there are max_sequences.
 * The last unref frees and wipes the cache (the engine thread does it). */
GemSequence *
gem_engine_new_sequence(GemEngine *self, const GemRunOptions *options, GError **error);
guint
gem_sequence_get_tokens(GemSequence *self); /* tokens held now */

typedef struct {
  GemRunOptions run;
  guint max_tokens;   /* 1..context; 0: as many as fit, at most 256 */
  double temperature; /* 0: greedy; up to 4 */
  guint top_k;        /* 0: off */
  double top_p;       /* (0, 1]; 0: off (1) */
  guint64 seed;
  GStrv stop;     /* the answer ends before the first of these; owned */
  gboolean raw;   /* the text as it is, without the model's template */
  gboolean slide; /* when the context is full: drop the older half and go on, in place of an error */
} GemGenerateOptions;
void
gem_generate_options_clear(GemGenerateOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemGenerateOptions, gem_generate_options_clear)

typedef enum {
  GEM_FINISH_END,         /* the model ended its text */
  GEM_FINISH_STOP,        /* a stop string */
  GEM_FINISH_LIMIT,       /* max_tokens */
  GEM_FINISH_CONTEXT,     /* the context is full */
  GEM_FINISH_CANCELLED,   /* by the caller, or its reader went away */
  GEM_FINISH_SHUTDOWN,    /* the service stops */
  GEM_FINISH_FAILED,      /* see the error */
  GEM_FINISH_SLOW_READER, /* its reader took nothing for too long; not the engine's to say */
} GemFinishReason;

typedef struct {
  GemFinishReason reason;
  guint prompt_tokens, generated_tokens;
  guint slides; /* how often the older half was dropped */
  double prefill_seconds, decode_seconds;
  GHashTable *tokens_by_pathway; /* char* -> guint: prompt and generated tokens run through each */
  /* The same without names that are the owner's: all learned domains are "learned". For what others see. */
  GHashTable *public_tokens_by_pathway;
  guint degraded_tokens; /* of those of general: routed to a domain whose pathway was absent */
  guint64 cache_bytes;   /* of this sequence's KV cache */
} GemGenerateStats;

/* What a turn will need at most. */
typedef struct {
  guint prompt_tokens, max_tokens; /* of the answer */
  guint64 cache_bytes;             /* of the sequence's KV cache when both stand in it */
} GemTurnNeed;

typedef struct {
  /* From gem_sequence_generate itself, before anything has started. FALSE, with `error`, refuses the turn.
   * NULL: all are let in. */
  gboolean (*admit)(const GemTurnNeed *need, gpointer data, GError **error);
  /* Whole UTF-8 characters, as they come; `length` > 0. */
  void (*text)(const char *text, gsize length, gpointer data);
  /* The route of each token, prompt first; NULL: not wanted. Offsets are those in the prompt, or in
   * the answer; a token of the template has length 0. */
  void (*routed)(const GemRoutedToken *token, gpointer data);
  /* Once, last; `error` for GEM_FINISH_FAILED alone. Both are borrowed. */
  void (*finished)(const GemGenerateStats *stats, const GError *error, gpointer data);
} GemGenerationEvents;

#define GEM_TYPE_GENERATION (gem_generation_get_type())
G_DECLARE_FINAL_TYPE(GemGeneration, gem_generation, GEM, GENERATION, GObject)

/* Starts one turn. Fails at once (nothing but `admit` is called back) for text that cannot be tokenized, an
 * option out of range, a prompt that does not fit (CONTEXT_EXCEEDED with the counts), or a sequence that is
 * busy. `events` is copied; `destroy` is called after `finished`.
 *
 * A turn that is cancelled or fails before its first token leaves the sequence as it was (but for what slid
 * out); one that ends later leaves its prompt and the answer so far, the stop string included. Only the first
 * turn begins with BOS. The last token of an answer is run at the start of the next turn, so it is not in
 * that turn's tokens_by_pathway. All turns of a sequence use its clusters. */
GemGeneration *
gem_sequence_generate(GemSequence *self,
                      const char *prompt,
                      const GemGenerateOptions *options,
                      const GemGenerationEvents *events,
                      gpointer data,
                      GDestroyNotify destroy,
                      GError **error);
/* Looked at for every token and every prefill block; `finished` still comes. Idempotent. */
void
gem_generation_cancel(GemGeneration *self);
/* A paused generation keeps its place and runs no step; for a reader that is slow. */
void
gem_generation_set_paused(GemGeneration *self, gboolean paused);
