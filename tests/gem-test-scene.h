/*
 * A model on a runtime without a thread, beside the tests' own device (tests/plugin-device): what stands
 * where is seen between two steps.
 */
#pragma once

#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-step.h"
#include "tests/gem-test-engine.h"

/* Tokens of a step. */
#define GEM_TEST_SCENE_BLOCK 16u

typedef struct {
  GemTestEngine *test;
  char *plugin_dir; /* of the device alone */
  const char *dirs[3];
  char *cache_dir;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemStep *step;
  const char *domain; /* of the text that runs */
} GemTestScene;

/* A scene whose device behaves like that; `backend`: the one that is named, or NULL. Not opened yet. */
GemTestScene *
gem_test_scene_new(const char *behaviour, const char *backend);
void
gem_test_scene_free(GemTestScene *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestScene, gem_test_scene_free)

/* May be opened again after it was closed: what is kept in its cache folder stays. */
void
gem_test_scene_open(GemTestScene *self);
void
gem_test_scene_close(GemTestScene *self);

/* Whether calls of that pathway go to a device, all or some. */
gboolean
gem_test_scene_is_on_device(const GemTestScene *self, const char *name);
/* All that is on its way to the device gets there, or not; this and the next: the test fails when that takes
 * too long. */
void
gem_test_scene_settle(GemTestScene *self);
void
gem_test_scene_wait_for_device(GemTestScene *self, const char *name);

/* The likeliest next token (guint32) after each of the tokens, which are routed to domain `route` and run in
 * blocks; `between` (may be NULL) is called after each block with its number. */
GArray *
gem_test_scene_run_tokens(
    GemTestScene *self, const guint32 *tokens, guint n, guint8 route, void (*between)(GemTestScene *, guint));
/* The same with some tokens, routed to the first domain. */
GArray *
gem_test_scene_run(GemTestScene *self, guint n, void (*between)(GemTestScene *, guint));

/* From now on messages of the daemon's log are kept; before the first scene. */
void
gem_test_scene_keep_log(void);
/* How many of those that were kept since the last call contain `part`; they are forgotten. */
guint
gem_test_scene_count_log(const char *part);

/* The file in which decisions are kept. */
char *
gem_test_scene_placement_file(const GemTestScene *self);
/* Writes the decisions for every pathway that stands in the file: for single rows, and for blocks, which take
 * the device an eighth of the time then. */
void
gem_test_scene_divide_decisions(const GemTestScene *self, gboolean row, gboolean block);
/* The same for both. */
void
gem_test_scene_rewrite_decisions(const GemTestScene *self, gboolean device);
