#include "training/commands/gem-train-options.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "format/gem-file.h"
#include "format/gem-manifest.h"
#include "training/arithmetic/gem-matmul.h"

/* ---- parsing ---- */

/* The value that an option has before parsing; NULL for one that has none. */
static char *
default_value(const GOptionEntry *entry)
{
  switch (entry->arg) {
  case G_OPTION_ARG_INT:
    return g_strdup_printf("%d", *(const gint *)entry->arg_data);
  case G_OPTION_ARG_INT64:
    return g_strdup_printf("%" G_GINT64_FORMAT, *(const gint64 *)entry->arg_data);
  case G_OPTION_ARG_DOUBLE:
    return g_strdup_printf("%g", *(const double *)entry->arg_data);
  default:
    return NULL;
  }
}

void
gem_train_options_add(GOptionContext *context, const GOptionEntry *entries)
{
  g_autoptr(GString) text = g_string_new(g_option_context_get_description(context));
  for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++) {
    g_autofree char *value = default_value(entry);
    if (value != NULL) {
      g_string_append_printf(text, "%s--%s=%s", text->len == 0 ? "Defaults: " : " ", entry->long_name, value);
    }
  }
  g_option_context_set_description(context, text->str);
  g_option_context_add_main_entries(context, entries, NULL);
}

gboolean
gem_train_options_parse(
    GOptionContext *context, int argc, char **argv, int n_arguments, const char *what, GError **error)
{
  g_autofree char *name = g_strconcat("gem-train ", argv[0], NULL);
  g_set_prgname(name);
  if (!g_option_context_parse(context, &argc, &argv, error)) {
    return FALSE;
  }
  if (argc - 1 > n_arguments) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "unexpected argument '%s'",
                argv[n_arguments + 1]);
    return FALSE;
  }
  if (argc - 1 < n_arguments) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "%s is needed", what);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_train_options_need(const char *option, const char *value, GError **error)
{
  if (value == NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s is needed", option);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_train_options_check(const char *option, double value, double least, double most, GError **error)
{
  if (!(value >= least && value <= most)) { /* not a number, too */
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s=%.15g: %.15g to %.15g is allowed",
                option, value, least, most);
    return FALSE;
  }
  return TRUE;
}

/* ---- what is to be written ---- */

gboolean
gem_train_options_check_name(const char *name, GError **error)
{
  if (name != NULL && !gem_manifest_name_is_plain(name)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--name=%s: 1 to 64 letters, digits, '.', '_' and '-' are taken, no dot first", name);
    return FALSE;
  }
  return TRUE;
}

static gboolean
is_same_file(const char *a, const char *b)
{
  GStatBuf left, right;
  return g_stat(a, &left) == 0 && g_stat(b, &right) == 0 && left.st_dev == right.st_dev &&
         left.st_ino == right.st_ino;
}

gboolean
gem_train_options_check_other(const char *output, const char *path, GError **error)
{
  gboolean same = path != NULL && is_same_file(output, path);
  if (same) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--output=%s: that is %s, which is read and has more than what is written", output, path);
  }
  return !same;
}

gboolean
gem_train_options_check_apart(const char *output, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(output), *file = g_path_get_basename(output);
  g_autoptr(GemManifest) manifest = gem_manifest_load(folder, NULL);
  gboolean apart =
      manifest == NULL || (strcmp(file, "manifest") != 0 && !gem_manifest_has_file(manifest, file));
  if (!apart) {
    g_set_error(
        error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
        "--output=%s: that is a file of the model in %s, which would be none without it; give another "
        "name",
        output, folder);
  }
  return apart;
}

static gboolean
fail_file(const char *option, const char *value, const char *what, int number, GError **error)
{
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s=%s: %s: %s", option, value, what,
              g_strerror(number));
  return FALSE;
}

/* Makes a file in the folder that goes again. */
static gboolean
try_folder(const char *option, const char *value, const char *folder, GError **error)
{
  g_autofree char *file = g_build_filename(folder, ".gem-train-XXXXXX", NULL);
  int fd = g_mkstemp(file);
  if (fd < 0) {
    return fail_file(option, value, "cannot write to the folder", errno, error);
  }
  g_close(fd, NULL);
  g_unlink(file);
  return TRUE;
}

gboolean
gem_train_options_check_output(const char *output, const char *model, GError **error)
{
  if (is_same_file(output, model)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--output=%s: that is the folder of --model, which is read to the end", output);
    return FALSE;
  }
  g_autoptr(GPtrArray) missing = gem_file_list_missing(output);
  gboolean written = g_mkdir_with_parents(output, 0755) == 0
                         ? try_folder("output", output, output, error)
                         : fail_file("output", output, "cannot make the folder", errno, error);
  for (guint i = 0; i < missing->len; i++) {
    g_rmdir(missing->pdata[i]);
  }
  return written;
}

gboolean
gem_train_options_check_file(const char *option, const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(path);
  if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
    return fail_file(option, path, "cannot write to it", EISDIR, error);
  }
  return try_folder(option, path, folder, error);
}

gboolean
gem_train_options_check_readable(const char *path, GError **error)
{
  if (path != NULL && g_access(path, R_OK) != 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING, "cannot open %s: %s", path,
                g_strerror(errno));
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_train_options_check_checkpoint(const char *checkpoint, gboolean resume, GError **error)
{
  if (checkpoint == NULL) {
    return TRUE;
  }
  if (!resume && g_file_test(checkpoint, G_FILE_TEST_EXISTS)) {
    g_set_error(
        error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
        "--checkpoint=%s: is there already; go on from it with --resume, give another name, or remove it",
        checkpoint);
    return FALSE;
  }
  return (!resume || gem_train_options_check_readable(checkpoint, error)) &&
         gem_train_options_check_file("checkpoint", checkpoint, error);
}

void
gem_train_options_default_data(char **data)
{
  if (*data == NULL) {
    *data = g_strdup(g_getenv("GEM_DATA"));
  }
}

/* ---- training ---- */

void
gem_training_options_add(GemTrainingOptions *self, GOptionContext *context)
{
  const GOptionEntry entries[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &self->data,
       "Folder with corpus/, tasks/ and manifest.json ($GEM_DATA)", "DIR"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &self->tokenizer, "A .gguf or SentencePiece .model file",
       "FILE"},
      {"preset", 0, 0, G_OPTION_ARG_STRING, &self->preset, "gem-mini (default), gem-80m or gem-tiny", "NAME"},
      {"shape", 0, 0, G_OPTION_ARG_STRING, &self->shape, "Changes to the preset", "KEY=N,..."},
      {"checkpoint", 0, 0, G_OPTION_ARG_FILENAME, &self->checkpoint, "Where the state is kept", "FILE"},
      {"resume", 0, 0, G_OPTION_ARG_NONE, &self->resume, "Go on from the checkpoint", NULL},
      {"steps", 0, 0, G_OPTION_ARG_INT, &self->steps, "Optimizer steps", "N"},
      {"until", 0, 0, G_OPTION_ARG_INT, &self->until,
       "End after this step, to go on with --resume; 0: the last", "STEP"},
      {"warm-up", 0, 0, G_OPTION_ARG_INT, &self->warm_up, "Steps of rising rate", "N"},
      {"rate", 0, 0, G_OPTION_ARG_DOUBLE, &self->rate, "Peak learning rate", "R"},
      {"decay-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->decay_share,
       "Last share of the steps, in which the rate falls", "R"},
      {"weight-decay", 0, 0, G_OPTION_ARG_DOUBLE, &self->weight_decay, "Of matrices", "R"},
      {"batch-tokens", 0, 0, G_OPTION_ARG_INT, &self->batch_tokens, "Tokens of a batch, a lane", "N"},
      {"lanes", 0, 0, G_OPTION_ARG_INT, &self->lanes, "Threads; part of the state", "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &self->seed, "Of weights and sampling", "N"},
      {"checkpoint-minutes", 0, 0, G_OPTION_ARG_DOUBLE, &self->checkpoint_minutes, "Between two checkpoints",
       "M"},
      {"general-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->shares.general, "Share of draws of no domain", "R"},
      {"task-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->shares.task, "Share of draws that are task lines",
       "R"},
      {"labelled-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->shares.labelled,
       "Share of task lines that come from tasks with fixed labels alone", "R"},
      {"domain-power", 0, 0, G_OPTION_ARG_DOUBLE, &self->shares.domain_power,
       "Draw domains by their tokens to this power; 0: evenly", "R"},
      {"matmul", 0, 0, G_OPTION_ARG_STRING, &self->matmul, "auto (default), fp32 or bf16", "NAME"},
      G_OPTION_ENTRY_NULL};
  gem_train_options_add(context, entries);
}

gboolean
gem_training_options_check(GemTrainingOptions *self, gint least_batch, GError **error)
{
  gem_train_options_default_data(&self->data);
  return gem_train_options_need("data", self->data, error) &&
         gem_train_options_need("tokenizer", self->tokenizer, error) &&
         gem_train_options_check("steps", self->steps, 1, 1e9, error) &&
         gem_train_options_check("until", self->until, 0, 1e9, error) &&
         gem_train_options_check("warm-up", self->warm_up, 0, 1e9, error) &&
         gem_train_options_check("rate", self->rate, 0.0, 1.0, error) &&
         gem_train_options_check("decay-share", self->decay_share, 0.0, 1.0, error) &&
         gem_train_options_check("weight-decay", self->weight_decay, 0.0, 1.0, error) &&
         gem_train_options_check("batch-tokens", self->batch_tokens, least_batch, 1 << 20, error) &&
         gem_train_options_check("lanes", self->lanes, 1, 64, error) &&
         gem_train_options_check("seed", (double)self->seed, 0, GEM_TRAIN_MOST_SEED, error) &&
         gem_train_options_check("checkpoint-minutes", self->checkpoint_minutes, 0.0, 1e6, error) &&
         gem_train_options_check("general-share", self->shares.general, 0.0, 1.0, error) &&
         gem_train_options_check("task-share", self->shares.task, 0.0, 1.0, error) &&
         gem_train_options_check("labelled-share", self->shares.labelled, 0.0, 1.0, error) &&
         gem_train_options_check("domain-power", self->shares.domain_power, 0.0, 1.0, error);
}

void
gem_training_options_clear(GemTrainingOptions *self)
{
  g_clear_pointer(&self->data, g_free);
  g_clear_pointer(&self->tokenizer, g_free);
  g_clear_pointer(&self->preset, g_free);
  g_clear_pointer(&self->shape, g_free);
  g_clear_pointer(&self->checkpoint, g_free);
  g_clear_pointer(&self->matmul, g_free);
}

gboolean
gem_training_options_get_preset(const GemTrainingOptions *self, GemPreset *ret_preset, GError **error)
{
  return gem_preset_get_shaped(self->preset, self->shape, ret_preset, error);
}

gboolean
gem_training_options_select_matmul(const GemTrainingOptions *self, GError **error)
{
  if (!gem_matmul_select(self->matmul != NULL ? self->matmul : "auto", error)) {
    return FALSE;
  }
  g_autofree char *speed = gem_matmul_describe();
  g_printerr("%s\n", speed);
  return TRUE;
}

GemTrainerOptions
gem_training_options_get_trainer(const GemTrainingOptions *self, guint accumulate, const char *title)
{
  return (GemTrainerOptions){.steps = (guint64)self->steps,
                             .until = (guint64)self->until,
                             .warm_up = (guint64)self->warm_up,
                             .peak_rate = self->rate,
                             .decay_share = self->decay_share,
                             .weight_decay = self->weight_decay,
                             .clip = 1.0,
                             .accumulate = accumulate,
                             .seed = (guint64)self->seed,
                             .checkpoint = self->checkpoint,
                             .checkpoint_seconds = 60.0 * self->checkpoint_minutes,
                             .title = title};
}
