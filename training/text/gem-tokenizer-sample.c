#include "training/text/gem-tokenizer-sample.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "training/arithmetic/gem-random.h"
#include "training/text/gem-data-folder.h"

#define MULTILINGUAL_WEIGHT 1.5
#define CORPUS_WEIGHT       0.6
#define TASKS_WEIGHT        0.4 /* of all tasks of a domain together */

/* One file's text, whole lines. */
typedef struct {
  GString *text;
  gboolean is_task;
} Source;

typedef struct {
  char *name;
  GPtrArray *sources; /* Source */
} Domain;

/* Something that wants a share, and how much it has to give. */
typedef struct {
  double weight;
  double size;
  double share; /* filled in */
} Claim;

static void
source_free(gpointer data)
{
  Source *source = data;

  g_string_free(source->text, TRUE);
  g_free(source);
}

static void
domain_free(gpointer data)
{
  Domain *domain = data;

  g_free(domain->name);
  g_ptr_array_unref(domain->sources);
  g_free(domain);
}

static Domain *
get_domain(GPtrArray *domains, const char *name)
{
  Domain *domain;

  for (guint i = 0; i < domains->len; i++) {
    domain = g_ptr_array_index(domains, i);
    if (strcmp(domain->name, name) == 0) {
      return domain;
    }
  }
  domain = g_new0(Domain, 1);
  domain->name = g_strdup(name);
  domain->sources = g_ptr_array_new_with_free_func(source_free);
  g_ptr_array_add(domains, domain);
  return domain;
}

static GString *
add_source(GPtrArray *domains, const char *domain, gboolean is_task)
{
  Source *source = g_new0(Source, 1);

  source->text = g_string_new(NULL);
  source->is_task = is_task;
  g_ptr_array_add(get_domain(domains, domain)->sources, source);
  return source->text;
}

static gsize
domain_size(const Domain *domain)
{
  gsize size = 0;

  for (guint i = 0; i < domain->sources->len; i++) {
    size += ((Source *)g_ptr_array_index(domain->sources, i))->text->len;
  }
  return size;
}

/* ---- reading ---- */

/* All but the held-out documents. */
static gboolean
read_corpus_file(const char *path, GString *text, GError **error)
{
  g_autofree char *contents = NULL;
  const char *at, *document;
  gsize size, length;

  if (!gem_data_read_text(path, &contents, &size, error)) {
    return FALSE;
  }
  at = contents;
  for (gsize i = 0; (document = gem_data_next_document(&at, contents + size, &length)); i++) {
    if (!gem_data_is_held_out(i)) {
      g_string_append_len(text, document, (gssize)length);
      g_string_append_c(text, '\n');
    }
  }
  return TRUE;
}

static gint
compare_strings(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean
read_corpora(const char *folder, GPtrArray *domains, GError **error)
{
  g_autofree char *corpus = g_build_filename(folder, "corpus", NULL);
  g_autoptr(GDir) dir = g_dir_open(corpus, 0, error);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  const char *name;

  if (!dir) {
    return FALSE;
  }
  while ((name = g_dir_read_name(dir))) {
    if (g_str_has_suffix(name, ".txt")) {
      g_ptr_array_add(names, g_strdup(name));
    }
  }
  g_ptr_array_sort(names, compare_strings);

  for (guint i = 0; i < names->len; i++) {
    const char *file = g_ptr_array_index(names, i);
    g_autofree char *path = g_build_filename(corpus, file, NULL);
    g_autofree char *domain = g_strndup(file, strlen(file) - strlen(".txt"));

    if (!read_corpus_file(path, add_source(domains, domain, FALSE), error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
read_task_file(const char *path, GString *text, GError **error)
{
  g_autofree char *contents = NULL;
  g_auto(GStrv) lines = NULL;

  if (!gem_data_read_text(path, &contents, NULL, error)) {
    return FALSE;
  }
  lines = g_strsplit(contents, "\n", -1);
  for (guint i = 0; lines[i]; i++) {
    g_auto(GemDataLine) line = {0};

    if (*lines[i] == '\0') {
      continue;
    }
    if (!gem_data_line_parse(lines[i], &line, error)) {
      g_prefix_error(error, "%s: line %u: ", path, i + 1);
      return FALSE;
    }
    g_string_append_printf(text, "%s\n%s\n", line.input, line.target);
  }
  return TRUE;
}

static gboolean
read_tasks(const char *folder, GPtrArray *domains, GError **error)
{
  g_autoptr(GPtrArray) tasks = gem_data_folder_read_tasks(folder, error);

  for (guint i = 0; tasks && i < tasks->len; i++) {
    const GemDataTask *task = g_ptr_array_index(tasks, i);
    g_autofree char *path = gem_data_task_path(folder, task, "train.jsonl");

    gboolean there = FALSE;

    if (!task->permissive) {
      continue;
    }
    /* A task may be there for measuring only. */
    if (!gem_data_find_file(path, &there, error) ||
        (there && !read_task_file(path, add_source(domains, task->domain, TRUE), error))) {
      return FALSE;
    }
  }
  return tasks != NULL;
}

/* ---- sharing ---- */

/* Shares out `total` by weight; a claim that is too small for its share gets all that it has, and the others
 * share what it leaves. */
static void
share_out(Claim *claims, guint n, double total)
{
  gboolean again = TRUE;

  for (guint i = 0; i < n; i++) {
    claims[i].share = -1;
  }
  while (again) {
    double left = total, weight = 0;

    for (guint i = 0; i < n; i++) {
      left -= MAX(claims[i].share, 0);
      weight += claims[i].share < 0 ? claims[i].weight : 0;
    }
    again = FALSE;
    for (guint i = 0; i < n; i++) {
      if (claims[i].share < 0 && claims[i].size <= left * claims[i].weight / weight) {
        claims[i].share = claims[i].size;
        again = TRUE;
      }
    }
    for (guint i = 0; !again && i < n; i++) {
      if (claims[i].share < 0) {
        claims[i].share = left * claims[i].weight / weight;
      }
    }
  }
}

static Claim *
claims_of_domains(GPtrArray *domains)
{
  Claim *claims = g_new0(Claim, domains->len);

  for (guint i = 0; i < domains->len; i++) {
    const Domain *domain = g_ptr_array_index(domains, i);

    claims[i].weight = strcmp(domain->name, "multilingual") == 0 ? MULTILINGUAL_WEIGHT : 1;
    claims[i].size = (double)domain_size(domain);
  }
  return claims;
}

static Claim *
claims_of_sources(const Domain *domain)
{
  Claim *claims = g_new0(Claim, domain->sources->len);
  guint n_tasks = 0;

  for (guint i = 0; i < domain->sources->len; i++) {
    n_tasks += ((Source *)g_ptr_array_index(domain->sources, i))->is_task;
  }
  for (guint i = 0; i < domain->sources->len; i++) {
    const Source *source = g_ptr_array_index(domain->sources, i);

    claims[i].weight = source->is_task ? TASKS_WEIGHT / n_tasks : CORPUS_WEIGHT;
    claims[i].size = (double)source->text->len;
  }
  return claims;
}

/* ---- writing ---- */

/* Writes each line with the same probability. Returns the bytes written;
 * *number keeps the errno of the first that were not. */
static gsize
write_lines(const GString *text, double probability, GemRandom *random, FILE *file, int *number)
{
  gsize n = 0;

  for (const char *line = text->str; *line;) {
    const char *newline = strchr(line, '\n');
    const gsize length = newline ? (gsize)(newline + 1 - line) : strlen(line);

    if (length > 1 && gem_random_uniform(random) < probability) {
      const gsize written = fwrite(line, 1, length, file);

      *number = *number == 0 && written < length ? errno : *number;
      n += written;
    }
    line += length;
  }
  return n;
}

/* 0, or the errno. */
static int
write_domains(GPtrArray *domains, gsize bytes, guint64 seed, FILE *file, GemTokenizerSampleProgress progress)
{
  g_autofree Claim *claims = claims_of_domains(domains);
  guint64 stream = 0;
  int number = 0;

  share_out(claims, domains->len, (double)bytes);
  for (guint i = 0; i < domains->len; i++) {
    const Domain *domain = g_ptr_array_index(domains, i);
    g_autofree Claim *parts = claims_of_sources(domain);
    gsize taken = 0;

    share_out(parts, domain->sources->len, claims[i].share);
    for (guint j = 0; j < domain->sources->len; j++) {
      const Source *source = g_ptr_array_index(domain->sources, j);
      GemRandom random = gem_random_seeded(seed, stream++);

      if (source->text->len > 0) {
        taken += write_lines(source->text, parts[j].share / parts[j].size, &random, file, &number);
      }
    }
    progress(domain->name, taken, domain_size(domain));
  }
  return number;
}

gboolean
gem_tokenizer_sample_write(const char *folder,
                           gsize bytes,
                           guint64 seed,
                           const char *path,
                           GemTokenizerSampleProgress progress,
                           GError **error)
{
  g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func(domain_free);
  FILE *file;
  int number;

  if (!read_corpora(folder, domains, error) || !read_tasks(folder, domains, error)) {
    return FALSE;
  }

  file = fopen(path, "we");
  if (!file) {
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "%s: %s", path, g_strerror(errno));
    return FALSE;
  }
  number = write_domains(domains, bytes, seed, file, progress);
  if (fclose(file) != 0 && number == 0) {
    number = errno;
  }
  if (number != 0) {
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number), "%s: cannot be written: %s", path,
                g_strerror(number));
  }
  return number == 0;
}
