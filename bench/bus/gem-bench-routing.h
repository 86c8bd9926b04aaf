/* What is routed and how it went: shared by both kinds of gem-bench routing. */
#pragma once

#include "bench/bus/gem-bench-routes.h"
#include "bench/gem-bench-command.h"
#include "bench/gem-bench-json.h"
#include "bench/questions/gem-bench-task.h"
#include "clients/gem-client/gem-client-remote.h"

/* A text and where it belongs. */
typedef struct {
  char *text;
  guint source;           /* index of where it comes from, the caller's */
  GemBenchRoutes *routes; /* NULL: not routed, or skipped */
  GemBenchFate fate;
} GemBenchRoutedText;

/* An array of GemBenchRoutedText that frees what it holds. */
GArray *
gem_bench_routed_texts_new(void);
/* Takes over `text`. */
void
gem_bench_routed_texts_add(GArray *texts, char *text, guint source);

/* Calls Route for each; `names` [sources] stand in the line of progress. */
gboolean
gem_bench_routed_texts_run(GemRemote *remote, GArray *texts, const GPtrArray *names, GError **error);

/* gem-bench routing --sentences FILE: TRUE with what the command exits with. */
gboolean
gem_bench_routing_sentences(const GemBenchCommand *command,
                            const GemBenchOptions *options,
                            const char *path,
                            guint least,
                            GemExit *ret_status,
                            GError **error);

/* gem-bench routing --data DIR: at most `limit` (0: all) texts of each source, drawn by `seed`. */
gboolean
gem_bench_routing_documents(const GemBenchCommand *command,
                            const GemBenchOptions *options,
                            const char *folder,
                            guint limit,
                            guint seed,
                            GError **error);
