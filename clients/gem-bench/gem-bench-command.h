/* The commands of gem-bench, and what they have in common: the table of them, their options for the bus and
 * for JSON, and --help. */
#pragma once

#include <json-glib/json-glib.h>

#include "clients/gem-client/gem-client-exit.h"
#include "clients/gem-client/gem-client-remote.h"

typedef struct _GemBenchCommand GemBenchCommand;

struct _GemBenchCommand {
  const char *name;
  const char *arguments; /* as in "Usage: gem-bench NAME [OPTION...] ARGUMENTS" */
  const char *summary;   /* one line */
  const char *details;   /* what --help says after the options: notes, and examples */
  GemExit (*run)(const GemBenchCommand *self, char **argv);
};

/* One line each in gem-bench-command.c; one file each, command-NAME.c. */
extern const GemBenchCommand gem_bench_classify, gem_bench_perplexity, gem_bench_routing, gem_bench_speed;

/* Runs the command that argv[1] names. `argv` is NULL-terminated. */
GemExit
gem_bench_main(char **argv);

/* What every command takes. */
typedef struct {
  GemVerbOptions bus; /* which bus, and what is no option */
  char *json;         /* the file for the results; NULL: none */
} GemBenchOptions;

void
gem_bench_options_clear(GemBenchOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemBenchOptions, gem_bench_options_clear)

/* Parses argv (argv[0] is the command) into `options`, and into what the entries of `groups` (a list ended by
 * NULL of lists ended by a NULL entry) point to. --help prints and ends the process. Errors: G_OPTION_ERROR.
 */
gboolean
gem_bench_parse(const GemBenchCommand *self,
                const GOptionEntry *const *groups,
                char **argv,
                GemBenchOptions *options,
                GError **error);

/* TRUE when `value` is within; G_OPTION_ERROR, naming the option and its limits, otherwise. */
gboolean
gem_bench_check_range(const char *option, gint value, gint least, gint most, GError **error);

/* "gem-mini, gemd 0.1.0": what was measured. Waits for a model that is still loading only as long as a call
 * before it did. Transfer full; NULL with an error of the bus. */
char *
gem_bench_describe_service(GemRemote *remote, GError **error);

/* Begins an object {"command", "service", ...} for the results of `options->json`; NULL when none is wanted.
 * gem_bench_json_finish ends it and writes the file, or does nothing for NULL. */
JsonBuilder *
gem_bench_json_begin(const GemBenchCommand *self, const GemBenchOptions *options, const char *service);
gboolean
gem_bench_json_finish(JsonBuilder *builder, const GemBenchOptions *options, GError **error);

/* Adds a member of the open object; a figure that is no number is null. */
void
gem_bench_json_add_double(JsonBuilder *builder, const char *name, double value);
void
gem_bench_json_add_count(JsonBuilder *builder, const char *name, guint64 value);
