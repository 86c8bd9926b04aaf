/* A model opened in this process, as the daemon's engine opens it, and the options that say how. */
#pragma once

#include "bench/direct/gem-bench-weights.h"
#include "bench/gem-bench-json.h"
#include "daemon/engine/gem-runtime.h"

/* What every command that runs the engine takes. */
typedef struct {
  GStrv plugin_dirs; /* NULL: $GEMD_PLUGIN_DIR (a search path) and the installed folder */
  char *backend;     /* NULL: the highest score */
  char *cache_dir;   /* where backends may keep what they make; NULL: nowhere */
  gint threads;      /* that calculate */
} GemBenchModelOptions;

void
gem_bench_model_options_clear(GemBenchModelOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemBenchModelOptions, gem_bench_model_options_clear)

/* Entries of GOption, and their defaults in `options`. Transfer full, ended by a NULL entry; free with
 * g_free. */
GOptionEntry *
gem_bench_model_entries(GemBenchModelOptions *options);

/* The folders that `options` mean. Transfer full. */
GStrv
gem_bench_model_find_plugin_dirs(const GemBenchModelOptions *options);

/* Where a model could not be opened with modules of `plugin_dirs`, and none of these folders is there: says
 * in the error what names others. Both may be of something else. */
void
gem_bench_model_advise(const char *const *plugin_dirs, GError **error);

/* What a command asks of the model. */
typedef struct {
  const char *path;      /* folder with a manifest, or a Llama-architecture GGUF file */
  const char *attention; /* NULL: the model's own */
  guint clusters;        /* 0: the model's first set */
  guint context;         /* tokens that a sequence will hold */
  gboolean keep_files;   /* for commands that open modules of their own */
} GemBenchModelWish;

typedef struct {
  GemModelFiles *files; /* unless `keep_files`, without the GGUF files, as in the daemon */
  GemRuntime *runtime;
  GemBenchWeights weights;
  guint threads;
  double load_seconds; /* from the path to a runtime that can run */
} GemBenchModel;

/* Opens files, modules and weights. Errors: GEM_ERROR, as of gem_runtime_open. */
GemBenchModel *
gem_bench_model_open(const GemBenchModelOptions *options, const GemBenchModelWish *wish, GError **error);
/* Every sequence must be gone. */
void
gem_bench_model_free(GemBenchModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchModel, gem_bench_model_free)

/* "gem-mini, gemd 0.1.0, backend cpu (avx2, threads 1), attention scar". Transfer full. */
char *
gem_bench_model_describe(const GemBenchModel *self);
/* The same as members of the open object, but for the model's name. */
void
gem_bench_model_add_json(const GemBenchModel *self, JsonBuilder *builder);

/* The route that `domain` ("general", or one of the model's) stands for, its pathway paged in. Errors:
 * UNKNOWN_DOMAIN, PATHWAY. */
gboolean
gem_bench_model_find_route(GemBenchModel *self, const char *domain, guint8 *ret_route, GError **error);
/* Pages every pathway in; PATHWAY names the first that cannot be. */
gboolean
gem_bench_model_page_in_all(GemBenchModel *self, GError **error);
