/*
 * How the commands of gem-train read their command lines. Whatever is wrong with one is a G_OPTION_ERROR that
 * names the option.
 */
#pragma once

#include <gio/gio.h>

#include "training/network/gem-presets.h"
#include "training/network/gem-trainer.h"
#include "training/text/gem-corpus.h"

/* Adds options to a context, and the values that they have so far, the defaults, to its help. */
void
gem_train_options_add(GOptionContext *context, const GOptionEntry *entries);

/* Parses argv, whose first word is the command's name. `n_arguments`: how many words that are no options it
 * takes; they are left in argv[1 .. n_arguments]. `what`: what those are, for the message. */
gboolean
gem_train_options_parse(
    GOptionContext *context, int argc, char **argv, int n_arguments, const char *what, GError **error);

/* Errors unless the option was given; unless least <= value <= most. */
gboolean
gem_train_options_need(const char *option, const char *value, GError **error);
gboolean
gem_train_options_check(const char *option, double value, double least, double most, GError **error);

/* Before a long training whose result is a model folder: errors unless --name (NULL: not given) is plain;
 * unless --output, which is not the folder of --model, can be made and written, of which nothing is left. */
gboolean
gem_train_options_check_name(const char *name, GError **error);
gboolean
gem_train_options_check_output(const char *output, const char *model, GError **error);

/* Before a file is written: errors if --output is that file, of which the command reads a part alone, as of a
 * checkpoint the weights: it could not be gone on from. `path` may be NULL. */
gboolean
gem_train_options_check_other(const char *output, const char *path, GError **error);

/* `output`, one file, is none of a model folder's, whose manifest would be wrong then. */
gboolean
gem_train_options_check_apart(const char *output, GError **error);

/* Before work whose result is one file of the option (not NULL): its folder can be written. */
gboolean
gem_train_options_check_file(const char *option, const char *path, GError **error);

/* Before much is read that it goes with: a file or folder (NULL: none is wanted) can be read, else MISSING.
 */
gboolean
gem_train_options_check_readable(const char *path, GError **error);

/* Before a training: no file is at --checkpoint (NULL: none is kept) that it would overwrite, or one that can
 * be gone on from, and its folder can be written. */
gboolean
gem_train_options_check_checkpoint(const char *checkpoint, gboolean resume, GError **error);

/* Without --data, the folder that GEM_DATA in the environment names. */
void
gem_train_options_default_data(char **data);

/* --seed is kept in checkpoints as 32 bits. */
#define GEM_TRAIN_MOST_SEED 4294967295.0

/* What both commands that train take. Strings that are not given are NULL, all but `data`, which may come
 * from GEM_DATA in the environment. */
typedef struct {
  char *data, *tokenizer, *preset, *shape, *checkpoint, *matmul;
  gint steps, until, warm_up, batch_tokens, lanes;
  gint64 seed;
  double rate, decay_share, weight_decay, checkpoint_minutes;
  GemDrawShares shares;
  gboolean resume;
} GemTrainingOptions;

void
gem_training_options_add(GemTrainingOptions *self, GOptionContext *context);
/* After parsing: what is missing, and ranges. `least_batch`: the fewest tokens of a batch. */
gboolean
gem_training_options_check(GemTrainingOptions *self, gint least_batch, GError **error);
void
gem_training_options_clear(GemTrainingOptions *self);

/* The preset with the changes of --shape. */
gboolean
gem_training_options_get_preset(const GemTrainingOptions *self, GemPreset *ret_preset, GError **error);
/* Chooses the engine of --matmul and says on stderr what runs, and how fast. */
gboolean
gem_training_options_select_matmul(const GemTrainingOptions *self, GError **error);
/* For the training loop; borrows strings. */
GemTrainerOptions
gem_training_options_get_trainer(const GemTrainingOptions *self, guint accumulate, const char *title);
