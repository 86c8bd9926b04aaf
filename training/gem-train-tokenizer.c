/* `gem-train tokenizer`: samples the text of a data folder and lets SentencePiece's own trainer make a
 * vocabulary of it. */
#include <string.h>

#include <glib/gstdio.h>

#include "format/gem-tokenizer.h"
#include "training/gem-tokenizer-sample.h"
#include "training/gem-train.h"

#define SPM_TRAIN "spm_train"

typedef struct {
  char *data;
  char *output;
  gint vocab;
  gint sample_mb;
  gint64 seed;
} TokenizerOptions;

/* A folder of its own for the sample and for what spm_train writes. */
typedef struct {
  char *folder;
  char *sample;
  char *prefix; /* spm_train adds .model and .vocab */
  char *model;
  char *vocabulary;
} Workspace;

static void
workspace_clear(Workspace *self)
{
  if (self->folder) {
    g_unlink(self->sample);
    g_unlink(self->model);
    g_unlink(self->vocabulary);
    g_rmdir(self->folder);
  }
  g_free(self->folder);
  g_free(self->sample);
  g_free(self->prefix);
  g_free(self->model);
  g_free(self->vocabulary);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Workspace, workspace_clear)

static gboolean
workspace_make(Workspace *self, GError **error)
{
  self->folder = g_dir_make_tmp("gem-train-XXXXXX", error);
  if (!self->folder)
    return FALSE;
  self->sample = g_build_filename(self->folder, "sample.txt", NULL);
  self->prefix = g_build_filename(self->folder, "tokenizer", NULL);
  self->model = g_strconcat(self->prefix, ".model", NULL);
  self->vocabulary = g_strconcat(self->prefix, ".vocab", NULL);
  return TRUE;
}

static gboolean
check_options(const TokenizerOptions *options, GError **error)
{
  const char *wrong = NULL;

  if (!options->data)
    wrong = "--data DIR is needed (or GEM_DATA in the environment)";
  else if (!options->output ||
           (!g_str_has_suffix(options->output, ".gguf") && !g_str_has_suffix(options->output, ".model")))
    wrong = "--output FILE is needed, and its name must end in .gguf or .model";
  else if (options->vocab < 512 || options->vocab > 1 << 18)
    wrong = "--vocab must be 512 to 262144";
  else if (options->sample_mb < 1 || options->sample_mb > 4000)
    wrong = "--sample-mb must be 1 to 4000";
  if (wrong)
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, wrong);
  return wrong == NULL;
}

/* Byte fallback and no normalization: every text comes back as it went in. Single digits, for arithmetic. No
 * space before the text, since a prompt is put together from parts. 0.999 of the characters: the last few
 * hundred of 0.9995 are met some dozen times in 70 MB, and cost English two tokens of a hundred. */
static GSubprocess *
spawn_trainer(const char *program,
              const TokenizerOptions *options,
              const Workspace *workspace,
              GError **error)
{
  g_autofree char *input = g_strconcat("--input=", workspace->sample, NULL);
  g_autofree char *prefix = g_strconcat("--model_prefix=", workspace->prefix, NULL);
  g_autofree char *vocabulary = g_strdup_printf("--vocab_size=%d", options->vocab);
  g_autofree char *threads = g_strdup_printf("--num_threads=%u", g_get_num_processors());

  return g_subprocess_new(
      G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE, error, program, input, prefix,
      vocabulary, threads, "--model_type=bpe", "--byte_fallback=true", "--normalization_rule_name=identity",
      "--remove_extra_whitespaces=false", "--add_dummy_prefix=false", "--allow_whitespace_only_pieces=true",
      "--split_digits=true", "--character_coverage=0.999", "--max_sentence_length=65536", "--unk_id=0",
      "--bos_id=1", "--eos_id=2", "--pad_id=-1", "--control_symbols=<|user|>,<|model|>", NULL);
}

/* spm_train tells "Added: freq=... size=N ..." for every twentieth piece; every tenth part of the way is
 * shown. */
static void
show_progress(const char *line, gint vocab)
{
  const char *size = strstr(line, "Added: ") ? strstr(line, " size=") : NULL;
  const gint64 n = size ? g_ascii_strtoll(size + strlen(" size="), NULL, 10) : 0;

  if (n > 0 && n % (vocab / 200 * 20) == 0)
    g_printerr("%6" G_GINT64_FORMAT " of %d pieces\n", n, vocab);
}

/* Reads the trainer's messages to their end. Returns the one that says why, if it failed: the last but for
 * its farewell. */
static char *
follow_messages(GSubprocess *process, gint vocab)
{
  g_autoptr(GDataInputStream) messages = g_data_input_stream_new(g_subprocess_get_stderr_pipe(process));
  char *last = NULL;
  char *line;

  while ((line = g_data_input_stream_read_line(messages, NULL, NULL, NULL))) {
    show_progress(line, vocab);
    if (*line && !g_str_has_prefix(line, "Program terminated")) {
      g_free(last);
      last = line;
    } else {
      g_free(line);
    }
  }
  return last;
}

static gboolean
train(const char *program, const TokenizerOptions *options, const Workspace *workspace, GError **error)
{
  g_autoptr(GSubprocess) process = spawn_trainer(program, options, workspace, error);
  g_autofree char *last = NULL;

  if (!process)
    return FALSE;
  last = follow_messages(process, options->vocab);
  if (!g_subprocess_wait_check(process, NULL, error)) {
    g_prefix_error(error, SPM_TRAIN ": %s: ", last ? last : "no message");
    return FALSE;
  }
  return TRUE;
}

static gboolean
write_output(const TokenizerOptions *options, const Workspace *workspace, GError **error)
{
  g_autoptr(GemTokenizer) tokenizer = gem_tokenizer_new_from_sentencepiece(workspace->model, error);
  g_autoptr(GemGgufWriter) writer = NULL;
  g_autofree char *model = NULL;
  gsize length;

  if (!tokenizer)
    return FALSE;
  if (g_str_has_suffix(options->output, ".model"))
    return g_file_get_contents(workspace->model, &model, &length, error) &&
           g_file_set_contents(options->output, model, (gssize)length, error);

  writer = gem_gguf_writer_new();
  gem_gguf_writer_set_string(writer, "general.architecture", "gem");
  gem_tokenizer_write(tokenizer, writer);
  return gem_gguf_writer_write(writer, options->output, error);
}

static void
show_domain(const char *domain, gsize taken, gsize available)
{
  g_printerr("%-16s %6.1f of %6.1f MB\n", domain, (double)taken / 1e6, (double)available / 1e6);
}

static gboolean
run(const TokenizerOptions *options, GError **error)
{
  g_autofree char *program = g_find_program_in_path(SPM_TRAIN);
  g_auto(Workspace) workspace = {0};

  if (!program) {
    g_set_error(error, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT,
                SPM_TRAIN " is not installed: install the package `sentencepiece`");
    return FALSE;
  }
  if (!workspace_make(&workspace, error) ||
      !gem_tokenizer_sample_write(options->data, (gsize)options->sample_mb * 1000 * 1000,
                                  (guint64)options->seed, workspace.sample, show_domain, error) ||
      !train(program, options, &workspace, error) || !write_output(options, &workspace, error))
    return FALSE;
  g_printerr("%s: %d pieces\n", options->output, options->vocab);
  return TRUE;
}

int
gem_train_tokenizer_command(int argc, char **argv)
{
  TokenizerOptions options = {
      .data = g_strdup(g_getenv("GEM_DATA")), .vocab = 8192, .sample_mb = 72, .seed = 1};
  const GOptionEntry entries[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &options.data,
       "Data folder: corpus/, tasks/ and manifest.json (default: $GEM_DATA)", "DIR"},
      {"vocab", 0, 0, G_OPTION_ARG_INT, &options.vocab, "Number of pieces (default: 8192)", "N"},
      {"sample-mb", 0, 0, G_OPTION_ARG_INT, &options.sample_mb, "Megabytes of text to train on (default: 72)",
       "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &options.seed, "Seed of the sample (default: 1)", "N"},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &options.output,
       "Where to write: .gguf metadata or a SentencePiece .model", "FILE"},
      G_OPTION_ENTRY_NULL,
  };
  g_autoptr(GError) error = NULL;
  int status = 0;

  if (!gem_train_parse(&argc, &argv, entries, NULL,
                       "Trains a SentencePiece BPE vocabulary with byte fallback.") ||
      argc > 1 || !check_options(&options, &error)) {
    if (error)
      g_printerr("gem-train tokenizer: %s\n", error->message);
    else if (argc > 1)
      g_printerr("gem-train tokenizer: unexpected argument '%s'; see --help\n", argv[1]);
    status = 2;
  } else if (!run(&options, &error)) {
    status = gem_train_fail("tokenizer", error);
  }
  g_free(options.data);
  g_free(options.output);
  return status;
}
