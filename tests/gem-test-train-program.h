/* gem-train as a process. */
#pragma once

#include <glib.h>

/* What a small model is made with, beside --preset gem-tiny. */
#define GEM_TEST_TRAIN_SHAPE                                                                                 \
  "--shape=width=64,heads=2,layers=1,ffn=64,domain-ffn=32,router-width=64,router-embedding=64,"              \
  "router-heads=2,router-ffn=64"

/* Command lines in gem_test_train_folder_new(). */
#define GEM_TEST_PRETRAIN_OPTIONS                                                                            \
  " --tokenizer start/general.gguf --data data --batch-tokens 64 --sequence 64 --warm-up 5 --matmul fp32 "
#define GEM_TEST_PRETRAIN "pretrain --preset gem-tiny " GEM_TEST_TRAIN_SHAPE GEM_TEST_PRETRAIN_OPTIONS
#define GEM_TEST_ROUTER                                                                                      \
  "router --preset gem-tiny " GEM_TEST_TRAIN_SHAPE                                                           \
  " --tokenizer start/general.gguf --data data --batch-tokens 128 --warm-up 5 --matmul fp32 "

typedef struct {
  int status; /* exit status; -1: ended by a signal */
  char *out, *err;
} GemTestTrainRun;

void
gem_test_train_run_clear(GemTestTrainRun *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemTestTrainRun, gem_test_train_run_clear)

/* A new temporary folder with data/ to train on and a first model start/ with the tokenizer. */
char *
gem_test_train_folder_new(void);

/* A command line of gem-train, NULL at its end; `command` is what follows the program's name, quoted as for a
 * shell. */
GStrv
gem_test_train_words(const char *command);

/* Runs it in the folder to its end; what *ret_run held is freed. */
void
gem_test_train_run(const char *folder, const char *command, GemTestTrainRun *ret_run);

/* What a run wrote has that part. */
void
gem_test_train_assert_contains(const char *text, const char *part);

/* Starts a run that keeps its checkpoint, a file of the folder, after every step, and sends it a signal once
 * that is there; it must not have ended by then. Returns its wait status; `ret_err`: what it wrote where
 * errors go. */
int
gem_test_train_stop(
    const char *folder, const char *command, const char *checkpoint, int signal_number, char **ret_err);

/* Copies a checkpoint of the folder, with a tensor of it that is nothing but NAN. */
void
gem_test_train_spoil(const char *folder, const char *checkpoint, const char *tensor, const char *copy);

/* As gem_test_train_run, and it must end with status 0. */
void
gem_test_train_assert_done(const char *folder, const char *command, GemTestTrainRun *ret_run);

/* It must end with that status and say `message` where errors go. */
void
gem_test_train_assert_fails(const char *folder, const char *command, int status, const char *message);
