/*
 * gem-peers: gemd and llama.cpp side by side, on the same files.
 *
 *   gem-peers speed [OPTION...] FILE|ROUTER=BERT...
 *                                           how fast both are, and the ratios: on a file of Llama
 * architecture, or with gemd's router of a model folder and llama.cpp's BERT gem-peers greedy [OPTION...]
 * FILE...    whether both write the same
 *
 * GEM_BUILD_DIR names the build tree with the programs. `./dev peers` runs both on files that it makes.
 */
#include <json-glib/json-glib.h>
#include <string.h>

#include "bench/gem-bench-command.h"
#include "bench/gem-bench-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "tests/peers/peers-greedy.h"
#include "tests/peers/peers-process.h"
#include "tests/peers/peers-table.h"

#define MOST_TOKENS  65536
#define MOST_THREADS 1024
#define MOST_ROUNDS  1000

/* Parses argv, whose first word is the command, and leaves the files in argv[1...]. */
static gboolean
parse(const GOptionEntry *entries, int *argc, char ***argv, GError **error)
{
  g_autoptr(GOptionContext) context = g_option_context_new("FILE|ROUTER=BERT...");

  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, argc, argv, error)) {
    return FALSE;
  }
  if (*argc < 2) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "no FILE is named");
    return FALSE;
  }
  return TRUE;
}

/* ---- speed ---- */

typedef struct {
  char *threads, *json;
  gint prompt, tokens, depth, rounds, turns;
} SpeedOptions;

static void
speed_options_clear(SpeedOptions *self)
{
  g_free(self->threads);
  g_free(self->json);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SpeedOptions, speed_options_clear)

static gboolean
parse_speed(SpeedOptions *self, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"threads", 't', 0, G_OPTION_ARG_STRING, &self->threads, "Threads, one number after the other (1,2)",
       "N,..."},
      {"prompt-tokens", 'p', 0, G_OPTION_ARG_INT, &self->prompt, "Tokens of a prompt (128)", "N"},
      {"tokens", 'n', 0, G_OPTION_ARG_INT, &self->tokens, "Tokens of an answer (64)", "N"},
      {"depth", 'd', 0, G_OPTION_ARG_INT, &self->depth,
       "Tokens of context of a second answer; 0: none (2048)", "N"},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &self->rounds, "Rounds in a process (3)", "N"},
      {"turns", 0, 0, G_OPTION_ARG_INT, &self->turns, "Processes of each program for each run (5)", "N"},
      {"json", 0, 0, G_OPTION_ARG_FILENAME, &self->json, "Write the results to FILE too, as JSON", "FILE"},
      G_OPTION_ENTRY_NULL,
  };

  return parse(entries, argc, argv, error) &&
         gem_bench_check_range("prompt-tokens", self->prompt, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("tokens", self->tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("depth", self->depth, 0, MOST_TOKENS, error) &&
         gem_bench_check_range("rounds", self->rounds, 1, MOST_ROUNDS, error) &&
         gem_bench_check_range("turns", self->turns, 1, MOST_ROUNDS, error);
}

static void
complain_versions(const GemPeersSpeed *speed, const GemPeersWish *wish)
{
  gem_output_complain("%s, %u thread%s: gemd %s; llama.cpp %s", speed->file, wish->threads,
                      wish->threads == 1 ? "" : "s", speed->descriptions[0], speed->descriptions[1]);
}

/* A file, or ROUTER=BERT, which is read alone: a router writes nothing. */
static gboolean
measure_file(const char *argument, const GemPeersWish *general, JsonBuilder *builder, GError **error)
{
  const char *equals = strchr(argument, '='), *path = equals != NULL ? equals + 1 : argument;
  g_autofree char *router = equals != NULL ? g_strndup(argument, (gsize)(equals - argument)) : NULL;
  g_autoptr(GemPeersSpeed) speed = gem_peers_speed_new(path);
  GemPeersWish wish = *general;

  if (router != NULL) {
    wish.router = router;
    wish.tokens = wish.depth = 0;
  }
  if (!gem_peers_speed_measure(speed, path, &wish, error)) {
    return FALSE;
  }
  complain_versions(speed, &wish);
  gem_peers_table_print(speed, &wish);
  gem_output_push();
  gem_peers_table_add_json(speed, &wish, builder);
  return TRUE;
}

/* All files with so many threads. */
static gboolean
measure_files(char **files, const GemPeersWish *wish, JsonBuilder *builder, GError **error)
{
  for (guint i = 0; files[i] != NULL; i++) {
    if (!measure_file(files[i], wish, builder, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
write_json(JsonBuilder *builder, const char *path, GError **error)
{
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autofree char *text = json_to_string(root, TRUE);

  return path == NULL || g_file_set_contents(path, text, -1, error);
}

static gboolean
speed(int argc, char **argv, GError **error)
{
  g_auto(SpeedOptions) options = {.prompt = 128, .tokens = 64, .depth = 2048, .rounds = 3, .turns = 5};
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autoptr(GArray) threads = NULL;

  if (!parse_speed(&options, &argc, &argv, error)) {
    return FALSE;
  }
  threads = gem_bench_parse_numbers("threads", options.threads != NULL ? options.threads : "1,2", 1,
                                    MOST_THREADS, error);
  if (threads == NULL) {
    return FALSE;
  }
  json_builder_begin_object(builder);
  gem_bench_json_add_string(builder, "command", "speed");
  gem_bench_json_add_count(builder, "turns", (guint64)options.turns);
  gem_bench_json_add_count(builder, "rounds", (guint64)options.rounds);
  gem_bench_json_begin_list(builder, "results");
  gem_peers_table_print_heading();
  for (guint i = 0; i < threads->len; i++) {
    const GemPeersWish wish = {
        .threads = g_array_index(threads, guint, i),
        .prompt = (guint)options.prompt,
        .tokens = (guint)options.tokens,
        .depth = (guint)options.depth,
        .rounds = (guint)options.rounds,
        .turns = (guint)options.turns,
    };

    if (!measure_files(argv + 1, &wish, builder, error)) {
      return FALSE;
    }
  }
  gem_bench_json_end_list(builder);
  json_builder_end_object(builder);
  return write_json(builder, options.json, error);
}

/* ---- greedy ---- */

/* What `program` writes after the texts. Transfer full. */
static char *
run_greedy(
    const char *program, const char *file, gint tokens, const char *option, const char *texts, GError **error)
{
  g_autofree char *path = gem_peers_program(program), *count = g_strdup_printf("%d", tokens);
  const char *const words[] = {path, "greedy", file, "-n", count, option, NULL};

  return gem_peers_run(words, texts, error);
}

static gboolean
compare_file(const char *file, gint tokens, const char *texts, GError **error)
{
  g_autofree char *gem = run_greedy("tests/peers/peer-gem", file, tokens, NULL, texts, error), *llama = NULL;
  g_autofree char *name = g_path_get_basename(file);
  GemPeersAgreement sums;

  llama = gem == NULL ? NULL : run_greedy("tests/peers/peer-llama", file, tokens, "-8", texts, error);
  if (llama == NULL || !gem_peers_compare_greedy(gem, llama, &sums, error)) {
    g_prefix_error(error, "%s: ", name);
    return FALSE;
  }
  gem_output_printf(
      "%s: %u texts, the same %u of %u tokens; parted at a near tie in %u texts (largest gap %.4f); "
      "greatest logits at most %.4f deviations apart\n",
      name, sums.texts, sums.tokens, sums.written, sums.near_ties, sums.largest_tie, sums.most_apart);
  return TRUE;
}

static gboolean
greedy(int argc, char **argv, GError **error)
{
  gint tokens = 64;
  g_autofree char *path = NULL, *texts = NULL;
  const GOptionEntry entries[] = {
      {"tokens", 'n', 0, G_OPTION_ARG_INT, &tokens, "Tokens to write after each text (64)", "N"},
      {"texts", 0, 0, G_OPTION_ARG_FILENAME, &path, "A file of texts, one a line", "FILE"},
      G_OPTION_ENTRY_NULL,
  };

  if (!parse(entries, &argc, &argv, error) ||
      !gem_bench_check_range("tokens", tokens, 1, MOST_TOKENS, error)) {
    return FALSE;
  }
  if (path == NULL) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--texts is needed");
    return FALSE;
  }
  if (!g_file_get_contents(path, &texts, NULL, error)) {
    return FALSE;
  }
  for (int i = 1; i < argc; i++) {
    if (!compare_file(argv[i], tokens, texts, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

int
main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  const char *command = argc > 1 ? argv[1] : "";
  gboolean done;

  g_set_prgname("gem-peers");
  if (strcmp(command, "speed") != 0 && strcmp(command, "greedy") != 0) {
    gem_output_complain("speed or greedy is wanted");
    return GEM_EXIT_USAGE;
  }
  done = *command == 's' ? speed(argc - 1, argv + 1, &error) : greedy(argc - 1, argv + 1, &error);
  return gem_output_flush(done ? GEM_EXIT_OK : gem_exit_report(error));
}
