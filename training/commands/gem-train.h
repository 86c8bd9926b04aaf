/* The commands of gem-train, one file each. Every one returns the process's exit status: 0 done, 1 failed, 2
 * wrong usage. */
#pragma once

#include <gio/gio.h>

int
gem_train_tokenizer_command(int argc, char **argv);
int
gem_train_init_command(int argc, char **argv);
int
gem_train_pretrain_command(int argc, char **argv);
int
gem_train_router_command(int argc, char **argv);
int
gem_train_adapt_command(int argc, char **argv);
int
gem_train_experiment_command(int argc, char **argv);
int
gem_train_average_command(int argc, char **argv);
int
gem_train_export_command(int argc, char **argv);
int
gem_train_perplexity_command(int argc, char **argv);
int
gem_train_inspect_command(int argc, char **argv);

/* Prints "gem-train COMMAND: message" and returns the exit status: 2 for a G_OPTION_ERROR, else 1. */
int
gem_train_fail(const char *command, const GError *error);

/* The same of a training, with advice where the loss was not finite. `checkpoint`: where it keeps its state;
 * NULL: nowhere. */
int
gem_train_fail_training(const char *command, const GError *error, const char *checkpoint);
