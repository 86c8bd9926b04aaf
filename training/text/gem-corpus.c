#include "training/text/gem-corpus.h"

#include <string.h>

#include "training/text/gem-data-folder.h"

typedef struct {
  const GemCorpusOptions *options;
  GemTokenizer *tokenizer;
  GPtrArray *paths; /* of char*, one a source */
  GPtrArray *sources;
  gint next; /* atomic */
  GMutex lock;
  GError *error; /* the first */
} Loading;

static void
source_free(gpointer data)
{
  GemSource *source = data;
  g_free(source->name);
  g_array_unref(source->tokens);
  g_array_unref(source->documents);
  gem_forks_free(source->forks);
  g_array_unref(source->rivals);
  g_array_unref(source->rival_tokens);
  g_free(source);
}

void
gem_corpus_free(GemCorpus *self)
{
  g_ptr_array_unref(self->sources);
  g_free(self);
}

static GemSource *
source_new(const char *name, gint8 domain, gboolean is_task)
{
  GemSource *source = g_new0(GemSource, 1);
  source->name = g_strdup(name);
  source->domain = domain;
  source->is_task = is_task;
  source->times = 1.0;
  source->tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  source->documents = g_array_new(FALSE, FALSE, sizeof(GemDocument));
  source->forks = gem_forks_new();
  source->rivals = g_array_new(FALSE, FALSE, sizeof(GemRival));
  source->rival_tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  return source;
}

/* A file of that kind, if it is there and wanted. */
static gboolean
plan_source(
    Loading *loading, const char *name, gint8 domain, gboolean is_task, const char *path, GError **error)
{
  const GemCorpusOptions *options = loading->options;
  gboolean there = FALSE;
  if (options->wants != NULL && !options->wants(name, is_task, options->data)) {
    return TRUE;
  }
  if (!gem_data_find_file(path, &there, error)) {
    return FALSE;
  }
  if (there) {
    g_ptr_array_add(loading->sources, source_new(name, domain, is_task));
    g_ptr_array_add(loading->paths, g_strdup(path));
  }
  return TRUE;
}

static gint8
domain_index(const char *const *domains, const char *name)
{
  for (guint d = 0; domains[d] != NULL; d++) {
    if (strcmp(domains[d], name) == 0) {
      return (gint8)d;
    }
  }
  return GEM_ROUTE_GENERAL;
}

static gboolean
domain_is_known(const char *const *domains, const char *name)
{
  return strcmp(name, GEM_CORPUS_GENERAL) == 0 || domain_index(domains, name) != GEM_ROUTE_GENERAL;
}

static gboolean
plan_corpus(Loading *loading, const char *const *domains, GError **error)
{
  for (guint d = 0; d == 0 || domains[d - 1] != NULL; d++) {
    const char *name = domains[d] != NULL ? domains[d] : GEM_CORPUS_GENERAL;
    g_autofree char *file = g_strconcat(name, ".txt", NULL);
    g_autofree char *path = g_build_filename(loading->options->folder, "corpus", file, NULL);
    if (!plan_source(loading, name, domain_index(domains, name), FALSE, path, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
plan_tasks(Loading *loading, const char *const *domains, GError **error)
{
  const char *folder = loading->options->folder;
  const char *file = loading->options->split == GEM_SPLIT_TRAIN ? "train.jsonl" : "test.jsonl";
  g_autoptr(GPtrArray) tasks = gem_data_folder_read_tasks(folder, error);
  for (guint i = 0; tasks != NULL && i < tasks->len; i++) {
    const GemDataTask *task = tasks->pdata[i];
    if ((!task->permissive && !loading->options->all_licences) || !domain_is_known(domains, task->domain)) {
      continue;
    }
    g_autofree char *label = g_strconcat(task->domain, "/", task->name, NULL);
    g_autofree char *path = gem_data_task_path(folder, task, file);
    if (!plan_source(loading, label, domain_index(domains, task->domain), TRUE, path, error)) {
      return FALSE;
    }
  }
  return tasks != NULL;
}

/* Whether the i-th of `total` is among `most` evenly picked ones. */
static gboolean
is_picked(gsize i, gsize total, gsize most)
{
  return most == 0 || total <= most || (i * most) / total != ((i + 1) * most) / total;
}

static void
append_document(GemSource *source, const GArray *tokens, guint answer)
{
  GemDocument document = {.first = source->tokens->len, .length = tokens->len, .answer = answer};
  g_array_append_vals(source->tokens, tokens->data, tokens->len);
  g_array_append_val(source->documents, document);
}

/* The bytes of a label that begins a line, "Speaker 1: " say; 0: there is none. */
static gsize
label_length(const char *line, const char *end)
{
  const gsize longest = 24;
  gsize n = 0;
  while (line + n < end && n < longest && (g_ascii_isalnum(line[n]) || strchr(" '_-", line[n]) != NULL)) {
    n++;
  }
  gboolean ends_well = line + n + 1 < end && line[n] == ':' && line[n + 1] == ' ';
  return n > 0 && g_ascii_isupper(line[0]) && ends_well ? n + 2 : 0;
}

/* The text without the labels of its lines; NULL when it has none. */
static GString *
strip_labels(const char *text, gsize length)
{
  g_autoptr(GString) bare = g_string_sized_new(length);
  const char *end = text + length;
  for (const char *line = text; line < end;) {
    const char *newline = memchr(line, '\n', (gsize)(end - line));
    const char *next = newline != NULL ? newline + 1 : end;
    gsize label = label_length(line, next);
    g_string_append_len(bare, line + label, next - line - (gssize)label);
    line = next;
  }
  return bare->len > 0 && bare->len < length ? g_steal_pointer(&bare) : NULL;
}

/* Appends the bare form of a text as a document of its own, without template and answer. */
static gboolean
append_bare(
    const Loading *loading, GemSource *source, const char *text, gsize length, GArray *tokens, GError **error)
{
  g_autoptr(GString) bare = loading->options->bare_too ? strip_labels(text, length) : NULL;
  if (bare == NULL) {
    return TRUE;
  }
  g_array_set_size(tokens, 0);
  if (!gem_tokenizer_encode(loading->tokenizer, bare->str, (gssize)bare->len, tokens, NULL, error)) {
    return FALSE;
  }
  append_document(source, tokens, 0);
  return TRUE;
}

static gboolean
read_corpus_document(
    const Loading *loading, GemSource *source, const char *text, gsize length, GArray *tokens, GError **error)
{
  guint32 bos = gem_tokenizer_bos(loading->tokenizer), eos = gem_tokenizer_eos(loading->tokenizer);
  g_array_set_size(tokens, 0);
  g_array_append_val(tokens, bos);
  if (!gem_tokenizer_encode(loading->tokenizer, text, (gssize)length, tokens, NULL, error)) {
    return FALSE;
  }
  g_array_append_val(tokens, eos);
  append_document(source, tokens, 0);
  return append_bare(loading, source, text, length, tokens, error);
}

typedef struct {
  const char *text; /* borrowed */
  gsize length;
} Text;

/* The documents of the split that is being read. */
static GArray *
split_documents(const char *text, gsize size, GemSplit split)
{
  GArray *documents = g_array_new(FALSE, FALSE, sizeof(Text));
  const char *at = text;
  Text document;
  for (gsize i = 0; (document.text = gem_data_next_document(&at, text + size, &document.length)) != NULL;
       i++) {
    if (gem_data_is_held_out(i) == (split == GEM_SPLIT_HELD_OUT)) {
      g_array_append_val(documents, document);
    }
  }
  return documents;
}

/* Whether all of it is the one document that is held out, since no line between documents is empty to this
 * program, but ends in a carriage return. */
static gboolean
is_one_by_line_ends(const char *text, GemSplit split, const GArray *documents)
{
  return split == GEM_SPLIT_TRAIN && documents->len == 0 && strstr(text, "\n\r\n") != NULL;
}

static gboolean
read_corpus(const Loading *loading, GemSource *source, const char *text, gsize size, GError **error)
{
  g_autoptr(GArray) documents = split_documents(text, size, loading->options->split);
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  if (is_one_by_line_ends(text, loading->options->split, documents)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "one document, which is held out: lines end in carriage returns, so that none is empty");
    return FALSE;
  }
  for (gsize i = 0; i < documents->len; i++) {
    const Text *document = &g_array_index(documents, Text, i);
    if (document->length > 0 && is_picked(i, documents->len, loading->options->most_documents) &&
        !read_corpus_document(loading, source, document->text, document->length, tokens, error)) {
      g_prefix_error(error, "document at byte %" G_GSIZE_FORMAT ": ", (gsize)(document->text - text));
      return FALSE;
    }
  }
  return TRUE;
}

/* The tokens of each choice, ended as an answer is: of GArray of guint32. */
static GPtrArray *
encode_choices(const Loading *loading, const char *const *choices, GError **error)
{
  g_autoptr(GPtrArray) encoded = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
  guint32 eos = gem_tokenizer_eos(loading->tokenizer);
  for (guint c = 0; choices[c] != NULL; c++) {
    GArray *tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_ptr_array_add(encoded, tokens);
    if (!gem_tokenizer_encode(loading->tokenizer, choices[c], -1, tokens, NULL, error)) {
      return NULL;
    }
    g_array_append_val(tokens, eos);
  }
  return g_steal_pointer(&encoded);
}

/* Those of the line's choices that are not the document's answer. */
static void
add_rivals(GemSource *source, GemDocument *document, const GPtrArray *choices, const guint32 *answer)
{
  guint n = document->length - document->answer;
  document->first_rival = source->rivals->len;
  for (guint c = 0; c < choices->len; c++) {
    const GArray *choice = choices->pdata[c];
    const GemRival rival = {.first = source->rival_tokens->len, .n = choice->len};
    if (choice->len != n || memcmp(choice->data, answer, n * sizeof *answer) != 0) {
      g_array_append_vals(source->rival_tokens, choice->data, choice->len);
      g_array_append_val(source->rivals, rival);
    }
  }
  document->n_rivals = source->rivals->len - document->first_rival;
}

/* Where the last document's answer parts from the line's other choices, or else from the task's `labels`
 * (NULL: it has none); and these choices themselves. */
static gboolean
add_choices(const Loading *loading,
            GemSource *source,
            const GemDataLine *line,
            const GPtrArray *labels,
            GError **error)
{
  GemDocument *document = &g_array_index(source->documents, GemDocument, source->documents->len - 1);
  const guint32 *answer = &g_array_index(source->tokens, guint32, document->first + document->answer);
  g_autoptr(GPtrArray) own = NULL;
  if ((loading->options->forks || loading->options->rivals) && line->choices != NULL &&
      (own = encode_choices(loading, (const char *const *)line->choices, error)) == NULL) {
    return FALSE;
  }
  document->first_fork = source->forks->places->len;
  if (own != NULL && loading->options->rivals) {
    add_rivals(source, document, own, answer);
  }
  if (loading->options->forks && (own != NULL || labels != NULL)) {
    gem_forks_add_choices(source->forks, own != NULL ? own : labels, answer,
                          document->length - document->answer, (guint32)document->first + document->answer);
  }
  document->n_forks = source->forks->places->len - document->first_fork;
  return TRUE;
}

static gboolean
read_task_line(const Loading *loading,
               GemSource *source,
               const char *text,
               const GPtrArray *labels,
               GArray *tokens,
               GError **error)
{
  g_auto(GemDataLine) line = {0};
  guint32 eos = gem_tokenizer_eos(loading->tokenizer);
  g_array_set_size(tokens, 0);
  if (!gem_data_line_parse(text, &line, error) ||
      !gem_tokenizer_encode_template(loading->tokenizer, loading->options->ask_template, line.input, tokens,
                                     error)) {
    return FALSE;
  }
  guint answer = tokens->len;
  if (!gem_tokenizer_encode(loading->tokenizer, line.target, -1, tokens, NULL, error)) {
    return FALSE;
  }
  g_array_append_val(tokens, eos);
  append_document(source, tokens, answer);
  return add_choices(loading, source, &line, labels, error) &&
         append_bare(loading, source, line.input, strlen(line.input), tokens, error);
}

/* Whether the answers of the source's lines recur: LINES_A_LABEL lines or more for each that there is. */
static gboolean
answers_recur(const GemSource *source)
{
  enum { LINES_A_LABEL = 20 };
  g_autoptr(GHashTable) answers = g_hash_table_new_full((GHashFunc)g_bytes_hash, (GEqualFunc)g_bytes_equal,
                                                        (GDestroyNotify)g_bytes_unref, NULL);
  for (guint i = 0; i < source->documents->len; i++) {
    const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
    const guint32 *tokens = &g_array_index(source->tokens, guint32, document->first);
    g_hash_table_add(answers, g_bytes_new(tokens + document->answer,
                                          (document->length - document->answer) * sizeof(guint32)));
  }
  return source->documents->len >= LINES_A_LABEL * g_hash_table_size(answers);
}

/* The labels beside the lines of `path`, encoded; NULL without an error when there are none. */
static gboolean
load_labels(const Loading *loading, const char *path, GPtrArray **ret_labels, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(path), *file = g_build_filename(folder, "labels.json", NULL);
  g_auto(GStrv) labels = NULL;
  if (!gem_data_read_labels(file, &labels, error)) {
    return FALSE;
  }
  g_autoptr(GPtrArray) encoded = NULL;
  if (labels != NULL && (encoded = encode_choices(loading, (const char *const *)labels, error)) == NULL) {
    g_prefix_error(error, "%s: ", file);
    return FALSE;
  }
  *ret_labels = g_steal_pointer(&encoded);
  return TRUE;
}

/* Empty ones are none, as after the last line end: they would be picked in place of others. */
static gsize
count_lines(const char *const *lines)
{
  gsize n = 0;
  for (; *lines != NULL; lines++) {
    n += **lines != '\0' ? 1 : 0;
  }
  return n;
}

static gboolean
read_task(const Loading *loading, GemSource *source, const char *path, const char *text, GError **error)
{
  g_autoptr(GPtrArray) labels = NULL;
  if (loading->options->forks && !load_labels(loading, path, &labels, error)) {
    return FALSE;
  }
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  gsize total = count_lines((const char *const *)lines), line = 0;
  for (gsize i = 0; lines[i] != NULL; i++) {
    if (*lines[i] != '\0' && is_picked(line++, total, loading->options->most_documents) &&
        !read_task_line(loading, source, lines[i], labels, tokens, error)) {
      g_prefix_error(error, "line %" G_GSIZE_FORMAT ": ", i + 1);
      return FALSE;
    }
  }
  source->labelled = source->documents->len > 0 && answers_recur(source);
  return TRUE;
}

static gboolean
read_source(const Loading *loading, guint index, GError **error)
{
  const char *path = loading->paths->pdata[index];
  GemSource *source = loading->sources->pdata[index];
  g_autofree char *text = NULL;
  gsize size = 0;
  if (!gem_data_read_text(path, &text, &size, error)) {
    return FALSE;
  }
  gboolean read = source->is_task ? read_task(loading, source, path, text, error)
                                  : read_corpus(loading, source, text, size, error);
  if (!read) {
    g_prefix_error(error, "%s: ", path);
  }
  return read;
}

static gpointer
load_worker(gpointer data)
{
  Loading *loading = data;
  guint index;
  while ((index = (guint)g_atomic_int_add(&loading->next, 1)) < loading->sources->len) {
    g_autoptr(GError) error = NULL;
    gboolean read = read_source(loading, index, &error);
    g_mutex_lock(&loading->lock);
    if (!read && loading->error == NULL) {
      loading->error = g_steal_pointer(&error);
    }
    if (loading->options->progress != NULL) {
      loading->options->progress(((GemSource *)loading->sources->pdata[index])->name, loading->options->data);
    }
    g_mutex_unlock(&loading->lock);
  }
  return NULL;
}

static void
load_on_all_cores(Loading *loading)
{
  guint n_threads = MAX(g_get_num_processors(), 1);
  g_autoptr(GPtrArray) threads = g_ptr_array_new();
  for (guint t = 1; t < n_threads; t++) {
    g_ptr_array_add(threads, g_thread_new("corpus", load_worker, loading));
  }
  load_worker(loading);
  for (guint t = 0; t < threads->len; t++) {
    g_thread_join(threads->pdata[t]);
  }
}

/* Documents need their borders. */
static gboolean
check_tokenizer(GemTokenizer *tokenizer, GError **error)
{
  if (gem_tokenizer_bos(tokenizer) == G_MAXUINT32 || gem_tokenizer_eos(tokenizer) == G_MAXUINT32) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                "the tokenizer has no tokens for the beginning and the end of a text");
    return FALSE;
  }
  return TRUE;
}

/* What is to be read, in the order in which it is kept. */
static gboolean
plan(Loading *loading, const char *const *domains, GError **error)
{
  const GemCorpusOptions *options = loading->options;
  if (options->corpus && !plan_corpus(loading, domains, error)) {
    return FALSE;
  }
  if (options->tasks && !plan_tasks(loading, domains, error)) {
    return FALSE;
  }
  if (loading->sources->len == 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING,
                "%s: no corpus/DOMAIN.txt and no tasks/DOMAIN/NAME/*.jsonl of a known domain",
                options->folder);
    return FALSE;
  }
  return TRUE;
}

GemCorpus *
gem_corpus_load(const GemCorpusOptions *options,
                const char *const *domains,
                GemTokenizer *tokenizer,
                GError **error)
{
  g_autoptr(GPtrArray) sources = g_ptr_array_new_with_free_func(source_free);
  g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
  Loading loading = {.options = options, .tokenizer = tokenizer, .paths = paths, .sources = sources};
  if (!check_tokenizer(tokenizer, error) || !plan(&loading, domains, error)) {
    return NULL;
  }
  g_mutex_init(&loading.lock);
  load_on_all_cores(&loading);
  g_mutex_clear(&loading.lock);
  if (loading.error != NULL) {
    g_propagate_error(error, loading.error);
    return NULL;
  }
  GemCorpus *self = g_new0(GemCorpus, 1);
  self->sources = g_steal_pointer(&sources);
  self->n_domains = g_strv_length((char **)domains);
  return self;
}

static gboolean
read_text_documents(GemSource *source,
                    const char *text,
                    gsize size,
                    guint longest,
                    GemTokenizer *tokenizer,
                    guint *left_out,
                    GError **error)
{
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  guint32 bos = gem_tokenizer_bos(tokenizer);
  const char *at = text + strspn(text, "\n"), *document;
  gsize length;
  while ((document = gem_data_next_document(&at, text + size, &length)) != NULL) {
    g_array_set_size(tokens, 0);
    g_array_append_val(tokens, bos);
    if (!gem_tokenizer_encode(tokenizer, document, (gssize)length, tokens, NULL, error)) {
      return FALSE;
    }
    if (tokens->len > longest) {
      (*left_out)++;
    } else {
      append_document(source, tokens, 0);
    }
  }
  return TRUE;
}

GemCorpus *
gem_corpus_load_text(const char *path,
                     gint8 domain,
                     guint longest,
                     GemTokenizer *tokenizer,
                     guint *ret_left_out,
                     GError **error)
{
  g_autofree char *text = NULL;
  gsize size = 0;
  guint left_out = 0;
  if (!check_tokenizer(tokenizer, error) || !gem_data_read_text(path, &text, &size, error)) {
    return NULL;
  }
  g_autoptr(GemCorpus) self = g_new0(GemCorpus, 1);
  GemSource *source = source_new(path, domain, FALSE);
  self->sources = g_ptr_array_new_with_free_func(source_free);
  g_ptr_array_add(self->sources, source);
  if (!read_text_documents(source, text, size, longest, tokenizer, &left_out, error)) {
    g_prefix_error(error, "%s: ", path);
    return NULL;
  }
  *ret_left_out = left_out;
  return g_steal_pointer(&self);
}

gsize
gem_corpus_n_tokens(const GemCorpus *self)
{
  gsize total = 0;
  for (guint i = 0; i < self->sources->len; i++) {
    total += ((GemSource *)self->sources->pdata[i])->tokens->len;
  }
  return total;
}
