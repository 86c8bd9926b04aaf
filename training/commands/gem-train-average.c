/* `gem-train average`: the mean of two checkpoints' weights. What one has learned further from the other, or
 * both from a third, lies in one basin, and the mean of the two often predicts text as well as the better of
 * them while it keeps most of what each has learned alone (docs/training.md has what it did for gem-mini). */
#include "training/arithmetic/gem-vector.h"
#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-progress.h"

typedef struct {
  char *output;
  double share;
  gboolean all_licences;
} AverageOptions;

static void
average_options_clear(AverageOptions *self)
{
  g_free(self->output);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AverageOptions, average_options_clear)

static gboolean
average(const AverageOptions *options, const char *path, const char *other_path, GError **error)
{
  g_autoptr(GemBackboneCheckpoint) mean = gem_backbone_checkpoint_load(path, 1, error);
  g_autoptr(GemBackboneCheckpoint) other =
      mean != NULL ? gem_backbone_checkpoint_load(other_path, 1, error) : NULL;
  if (other == NULL ||
      !gem_checkpoint_check_licences(mean->all_licences, options->all_licences, path, error) ||
      !gem_checkpoint_check_licences(other->all_licences, options->all_licences, other_path, error) ||
      !gem_backbone_checkpoint_check_same(other, mean->backbone, other_path, error) ||
      !gem_checkpoint_check_mask(&other->backbone->shape, &mean->backbone->shape, other_path, error)) {
    return FALSE;
  }
  gsize size = mean->backbone->parameters->size;
  gem_vector_scale(mean->values, (float)(1.0 - options->share), size);
  gem_vector_add_scaled(mean->values, other->values, (float)options->share, size);
  gem_centroids_average(mean->centroids, other->centroids, options->share);
  mean->all_licences |= other->all_licences;
  gem_progress_take_signals(); /* what is half written is written to its end */
  return gem_backbone_checkpoint_write(mean, options->output, error);
}

static gboolean
parse(AverageOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"share", 0, 0, G_OPTION_ARG_DOUBLE, &self->share, "Of the second file; the first has the rest", "R"},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &self->output, "The checkpoint to write", "FILE"},
      {"all-licences", 0, 0, G_OPTION_ARG_NONE, &self->all_licences,
       "Also what has learned from tasks that are not permissive: for measuring, never to ship", NULL},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new("FIRST SECOND --output FILE");
  g_option_context_set_summary(
      context, "Writes the mean of the weights of two checkpoints or model folders of one shape,\n"
               "of which one has learned further from the other, or both from the same.");
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 2, "FIRST SECOND", error) &&
         gem_train_options_need("output", self->output, error) &&
         gem_train_options_check("share", self->share, 0.0, 1.0, error) &&
         gem_train_options_check_apart(self->output, error);
}

int
gem_train_average_command(int argc, char **argv)
{
  g_auto(AverageOptions) options = {.share = 0.5};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) &&
                  gem_train_options_check_other(options.output, argv[1], &error) &&
                  gem_train_options_check_other(options.output, argv[2], &error) &&
                  average(&options, argv[1], argv[2], &error);
  return done ? 0 : gem_train_fail("average", error);
}
