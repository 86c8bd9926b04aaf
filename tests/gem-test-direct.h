/* The scene of tests of the commands of gem-bench that run the engine: tiny random models, a folder for what
 * the commands write, and a look at it. */
#pragma once

#include "format/gem-model-shape.h"
#include "tests/gem-test-client.h"

typedef struct {
  char *folder;       /* with what the commands write */
  char *model, *lone; /* a model's folder, and a Llama-architecture file */
  char *json, *chart;
  GemModelShape shape;
} GemTestDirect;

/* For g_test_add. The modules are those of the build tree, from the first one on. */
void
gem_test_direct_set_up(GemTestDirect *self, gconstpointer data);
void
gem_test_direct_tear_down(GemTestDirect *self, gconstpointer data);

/* Runs gem-bench. */
void
gem_test_direct_run(const char *const *arguments, GemTestRun *ret_run);

/* Runs a command that is to measure and write both files; the object is the node's. */
JsonObject *
gem_test_direct_measure(const GemTestDirect *self,
                        const char *const *arguments,
                        char **ret_out,
                        JsonNode **ret_node);

/* Min, median and max of a member are those of its values, of which there are so many; the median. */
double
gem_test_direct_check_values(JsonObject *object, const char *name, guint count);
