/* The commands of gem-bench, and what they have in common: the table of them, their options for the bus and
 * for the files that results go to, and --help. */
#pragma once

#include "clients/gem-client/gem-client-exit.h"
#include "clients/gem-client/gem-client-verb.h"

typedef struct _GemBenchCommand GemBenchCommand;

/* Options that not every command has. */
typedef enum {
  GEM_BENCH_TAKES_BUS = 1 << 0,     /* --system, --session, --address */
  GEM_BENCH_TAKES_CHART = 1 << 1,   /* --chart */
  GEM_BENCH_TAKES_NO_JSON = 1 << 2, /* everything but --json */
} GemBenchTakes;

struct _GemBenchCommand {
  const char *name;
  const char *arguments; /* as in "Usage: gem-bench NAME [OPTION...] ARGUMENTS" */
  const char *summary;   /* one line */
  const char *details;   /* what --help says after the options: notes, and examples */
  GemBenchTakes takes;
  GemExit (*run)(const GemBenchCommand *self, char **argv);
};

/* One line each in gem-bench-command.c; one file each, command-NAME.c: bus/ for what measures the service,
 * direct/ for what runs the engine, or the machine, in this process. */
extern const GemBenchCommand gem_bench_adapt, gem_bench_baseline, gem_bench_cancel, gem_bench_classify,
    gem_bench_clients, gem_bench_edge, gem_bench_limits, gem_bench_paging, gem_bench_perplexity,
    gem_bench_report, gem_bench_router, gem_bench_routing, gem_bench_sampling, gem_bench_scar,
    gem_bench_speed, gem_bench_storm;

/* Runs the command that argv[1] names. `argv` is NULL-terminated. */
GemExit
gem_bench_main(char **argv);

/* What every command takes. */
typedef struct {
  GemVerbOptions bus; /* which bus; of the commands that speak to one */
  char *json;         /* the file for the results; NULL: none */
  char *chart;        /* the file for a drawing of them; NULL: none */
  GStrv arguments;    /* what is no option; NULL: nothing */
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

/* gem_exit_report, of a command: an option that the service or the engine does not take is named as it was
 * typed.
 */
GemExit
gem_bench_complain(const GError *error);

/* TRUE when `value` is within; G_OPTION_ERROR, naming the option and its limits, otherwise. */
gboolean
gem_bench_check_range(const char *option, gint value, gint least, gint most, GError **error);

/* TRUE when g_file_set_contents, which puts a new file beside the old one first, can write `path` at the end
 * of a run, or when it is NULL. Leaves nothing behind. Errors: G_FILE_ERROR, naming the option and the path.
 */
gboolean
gem_bench_check_writable(const char *option, const char *path, GError **error);

/* The only argument; G_OPTION_ERROR, naming what is wanted ("MODEL"), when there are none or more. Borrowed.
 */
const char *
gem_bench_get_argument(const GemBenchOptions *options, const char *what, GError **error);

/* A list of numbers such as "1,2,4", each within `least` to `most`, each larger than the one before; of
 * guint. G_OPTION_ERROR names the option and the word at fault. Transfer full. */
GArray *
gem_bench_parse_numbers(const char *option, const char *text, guint least, guint most, GError **error);
