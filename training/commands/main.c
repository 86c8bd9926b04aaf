/* gem-train: makes, trains, exports and measures models. */
#include <locale.h>
#include <string.h>

#include "process/gem-streams.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-trainer.h"

typedef struct {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *summary;
} Command;

static const Command commands[] = {
    {"tokenizer", gem_train_tokenizer_command, "train a tokenizer on the text of a data folder"},
    {"init", gem_train_init_command, "write a model folder with random weights"},
    {"pretrain", gem_train_pretrain_command, "train the general part and the pathways"},
    {"router", gem_train_router_command, "train the token router, or measure it"},
    {"adapt", gem_train_adapt_command, "a domain of a model learns further"},
    {"experiment", gem_train_experiment_command, "compare adaptations, and what the model is made of"},
    {"average", gem_train_average_command, "the mean of two checkpoints of one shape"},
    {"export", gem_train_export_command, "write a model folder from checkpoints, quantized"},
    {"perplexity", gem_train_perplexity_command, "measure a checkpoint or a model folder on held-out text"},
    {"inspect", gem_train_inspect_command, "show metadata, tensors, and what a model makes of a text"},
};

static void
print_help(void)
{
  g_print("Usage: gem-train COMMAND [OPTION...]\n\nCommands:\n");
  for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_print("  %-12s %s\n", commands[i].name, commands[i].summary);
  }
  g_print("\n'gem-train COMMAND --help' tells a command's options. gem-train(1) has more.\n");
}

int
gem_train_fail(const char *command, const GError *error)
{
  gboolean usage = error->domain == G_OPTION_ERROR;
  g_printerr("gem-train %s: %s%s\n", command, error->message, usage ? "; see --help" : "");
  return usage ? 2 : 1;
}

int
gem_train_fail_training(const char *command, const GError *error, const char *checkpoint)
{
  gboolean kept = checkpoint != NULL && g_file_test(checkpoint, G_FILE_TEST_EXISTS);
  g_autoptr(GError) advised = g_error_copy(error);
  if (g_error_matches(error, GEM_TRAINER_ERROR, GEM_TRAINER_ERROR_NOT_FINITE)) {
    g_free(advised->message);
    advised->message = g_strdup_printf("%s; lower --rate%s", error->message,
                                       kept ? " and go on from the checkpoint with --resume" : "");
  }
  return gem_train_fail(command, advised);
}

int
main(int argc, char **argv)
{
  gem_streams_begin();
  setlocale(LC_ALL, "");
  gem_matmul_prepare_process(argv);
  if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
      strcmp(argv[1], "help") == 0) {
    print_help();
    return argc < 2 ? 2 : 0;
  }
  if (strcmp(argv[1], "--version") == 0) {
    g_print("gem-train %s\n", GEM_VERSION);
    return 0;
  }
  for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
    if (strcmp(argv[1], commands[i].name) == 0) {
      return commands[i].run(argc - 1, argv + 1);
    }
  }
  g_printerr("gem-train: unknown command '%s'; 'gem-train --help' lists them\n", argv[1]);
  return 2;
}
