/* `gem-train tokenizer`: samples the text of a data folder and lets SentencePiece's own trainer make a
 * vocabulary of it. */
#include <signal.h>
#include <string.h>

#include <glib/gstdio.h>

#include "format/gem-tokenizer.h"
#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/text/gem-tokenizer-sample.h"

#define SPM_TRAIN "spm_train"

typedef struct {
  char *data;
  char *output;
  gint vocab;
  gint sample_mb;
  gint64 seed;
} TokenizerOptions;

static void
tokenizer_options_clear(TokenizerOptions *self)
{
  g_free(self->data);
  g_free(self->output);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TokenizerOptions, tokenizer_options_clear)

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

/* Ctrl-C and SIGTERM are a wish to end after what is being done, so that the workspace goes, too. The trainer
 * is told at once: it takes minutes, and SIGTERM does not reach it by itself. */
static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t trainer_pid; /* 0: it does not run */

static void
take_signal(int number)
{
  interrupted = 1;
  if (trainer_pid > 0) {
    kill(trainer_pid, SIGTERM);
  }
}

static void
take_signals(void)
{
  struct sigaction action = {.sa_handler = take_signal, .sa_flags = SA_RESTART};

  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* FALSE with G_IO_ERROR_CANCELLED once the process was asked to end. */
static gboolean
may_go_on(GError **error)
{
  if (interrupted) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted; nothing was written");
    return FALSE;
  }
  return TRUE;
}

static gboolean
workspace_make(Workspace *self, GError **error)
{
  self->folder = g_dir_make_tmp("gem-train-XXXXXX", error);
  if (!self->folder) {
    return FALSE;
  }
  self->sample = g_build_filename(self->folder, "sample.txt", NULL);
  self->prefix = g_build_filename(self->folder, "tokenizer", NULL);
  self->model = g_strconcat(self->prefix, ".model", NULL);
  self->vocabulary = g_strconcat(self->prefix, ".vocab", NULL);
  return TRUE;
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

  if (n > 0 && n % (vocab / 200 * 20) == 0) {
    g_printerr("%6" G_GINT64_FORMAT " of %d pieces\n", n, vocab);
  }
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
  g_autoptr(GError) cause = NULL;
  const char *identifier;
  gboolean trained;

  if (!process) {
    return FALSE;
  }
  identifier = g_subprocess_get_identifier(process); /* NULL: it has ended */
  trainer_pid = identifier ? (sig_atomic_t)g_ascii_strtoll(identifier, NULL, 10) : 0;
  if (interrupted) { /* before there was a trainer to tell */
    g_subprocess_send_signal(process, SIGTERM);
  }
  last = follow_messages(process, options->vocab);
  trainer_pid = 0;
  trained = g_subprocess_wait_check(process, NULL, &cause);
  if (!may_go_on(error)) {
    return FALSE;
  }
  if (!trained) {
    g_propagate_prefixed_error(error, g_steal_pointer(&cause),
                               SPM_TRAIN ": %s: ", last ? last : "no message");
  }
  return trained;
}

static gboolean
write_output(const TokenizerOptions *options, const Workspace *workspace, GError **error)
{
  g_autoptr(GemTokenizer) tokenizer = gem_tokenizer_new_from_sentencepiece(workspace->model, error);
  g_autoptr(GemGgufWriter) writer = NULL;
  g_autofree char *model = NULL;
  gsize length;

  if (!tokenizer) {
    return FALSE;
  }
  if (g_str_has_suffix(options->output, ".model")) {
    return g_file_get_contents(workspace->model, &model, &length, error) &&
           g_file_set_contents(options->output, model, (gssize)length, error);
  }

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
  take_signals();
  if (!workspace_make(&workspace, error) ||
      !gem_tokenizer_sample_write(options->data, (gsize)options->sample_mb * 1000 * 1000,
                                  (guint64)options->seed, workspace.sample, show_domain, error) ||
      !may_go_on(error) || !train(program, options, &workspace, error) ||
      !write_output(options, &workspace, error)) {
    return FALSE;
  }
  g_printerr("%s: %d pieces\n", options->output, options->vocab);
  return TRUE;
}

static gboolean
check_output(const TokenizerOptions *self, GError **error)
{
  if (!gem_train_options_need("output", self->output, error)) {
    return FALSE;
  }
  if (!g_str_has_suffix(self->output, ".gguf") && !g_str_has_suffix(self->output, ".model")) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--output=%s: the name must end in .gguf or .model", self->output);
    return FALSE;
  }
  return gem_train_options_check_apart(self->output, error) &&
         gem_train_options_check_file("output", self->output, error); /* what follows takes minutes */
}

static gboolean
parse(TokenizerOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &self->data,
       "Folder with corpus/, tasks/ and manifest.json ($GEM_DATA)", "DIR"},
      {"vocab", 0, 0, G_OPTION_ARG_INT, &self->vocab, "Number of pieces", "N"},
      {"sample-mb", 0, 0, G_OPTION_ARG_INT, &self->sample_mb, "Megabytes of text to train on", "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &self->seed, "Of the sample", "N"},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &self->output,
       "Where to write: .gguf metadata or a SentencePiece .model", "FILE"},
      G_OPTION_ENTRY_NULL,
  };
  g_autoptr(GOptionContext) context = g_option_context_new("--data DIR --output FILE");

  g_option_context_set_summary(context, "Trains a SentencePiece BPE vocabulary with byte fallback.");
  gem_train_options_add(context, entries);
  if (!gem_train_options_parse(context, argc, argv, 0, NULL, error)) {
    return FALSE;
  }
  gem_train_options_default_data(&self->data);
  return gem_train_options_need("data", self->data, error) && check_output(self, error) &&
         gem_train_options_check("vocab", self->vocab, 512, 1 << 18, error) &&
         gem_train_options_check("sample-mb", self->sample_mb, 1, 4000, error) &&
         gem_train_options_check("seed", (double)self->seed, 0, GEM_TRAIN_MOST_SEED, error);
}

int
gem_train_tokenizer_command(int argc, char **argv)
{
  g_auto(TokenizerOptions) options = {.vocab = 8192, .sample_mb = 72, .seed = 1};
  g_autoptr(GError) error = NULL;

  if (!parse(&options, argc, argv, &error) || !run(&options, &error)) {
    return gem_train_fail("tokenizer", error);
  }
  return 0;
}
