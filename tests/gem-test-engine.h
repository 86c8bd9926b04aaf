/*
 * A running engine over a tiny random model, and its answers as plain values: each call turns the main loop
 * until the answer is there.
 */
#pragma once

#include "daemon/engine/gem-engine.h"
#include "daemon/engine/gem-runtime.h"
#include "tests/gem-test-model.h"

typedef struct {
  char *folder;        /* of the model; removed at the end */
  char *model_path;    /* the folder, or the lone file in it */
  char *plugin_dir;    /* the build tree's modules */
  const char *dirs[2]; /* plugin_dir */
  GemModelShape shape;
  GemEngineConfig config;
  GemEngine *engine; /* NULL until gem_test_engine_start */
} GemTestEngine;

/* Writes the tests' usual model (heads of 32 values, so that caches are in 8 bits), but starts no engine yet:
 * shape and config may still be changed before gem_test_engine_write. */
GemTestEngine *
gem_test_engine_new(void);
/* (Re)writes the folder of files as `shape` says; a lone Llama-architecture file with `llama`. */
void
gem_test_engine_write(GemTestEngine *self, gboolean llama);
/* Writes the usual model, when nothing was written, and starts. */
void
gem_test_engine_start(GemTestEngine *self);
/* Both at once. */
GemTestEngine *
gem_test_engine_new_started(void);
void
gem_test_engine_free(GemTestEngine *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestEngine, gem_test_engine_free)

/* The same model opened without a thread, for tests of steps. */
GemRuntime *
gem_test_engine_open_runtime(GemTestEngine *self, GemModelFiles **ret_files);

/* Of the running engine; the test fails when it cannot. */
GemSequence *
gem_test_engine_new_sequence(const GemTestEngine *self);

/* What a generation gave. */
typedef struct {
  GString *text;
  GPtrArray *routed; /* GemRoutedToken copies; NULL unless wanted */
  GemFinishReason reason;
  guint prompt_tokens, generated_tokens, slides, degraded_tokens;
  guint64 cache_bytes;
  GHashTable *tokens_by_pathway, *public_tokens_by_pathway;
  GError *error;
  gboolean finished, destroyed;
  guint text_events;
  guint began, ended; /* places of its first text and its end among those of all answers; 0: not yet */
  GemGeneration *generation;
  guint cancel_after; /* text events after which it cancels itself; 0: never */
} GemTestAnswer;

GemTestAnswer *
gem_test_answer_new(gboolean routes);
void
gem_test_answer_free(GemTestAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestAnswer, gem_test_answer_free)

/* Starts; the test fails when it cannot. */
GemTestAnswer *
gem_test_generate(GemSequence *sequence, const char *prompt, const GemGenerateOptions *options);
GemTestAnswer *
gem_test_generate_routed(GemSequence *sequence, const char *prompt, const GemGenerateOptions *options);
void
gem_test_answer_wait(GemTestAnswer *answer);
/* The engine thread does nothing until it is let go, so that what a test does meanwhile comes before what the
 * engine does, however busy the machine is. */
typedef struct GemTestHold GemTestHold;
GemTestHold *
gem_test_engine_hold(GemEngine *engine);
void
gem_test_engine_let_go(GemTestHold *hold);
/* Of a text with nothing around it, as gem_prompt_new has them. */
gboolean
gem_test_count_tokens(GemEngine *engine, const char *text, guint64 *ret_tokens, GError **error);
/* Greedy text of one turn in a new sequence. */
char *
gem_test_greedy(GemEngine *engine, const char *prompt, guint tokens, const char *domain);

/* Turns the main loop until the callback of an async call comes; transfer full. */
GAsyncResult *
gem_test_wait_result(GAsyncResult **slot);
void
gem_test_keep_result(GObject *source, GAsyncResult *result, gpointer slot);

/* Turns the main loop for so long. */
void
gem_test_run_main_loop(guint milliseconds);
