/*
 * The folder that training reads:
 *   corpus/DOMAIN.txt                       documents, a blank line between them
 *   tasks/DOMAIN/NAME/{train,dev,test}.jsonl  one object a line: {"input", "target", ...}
 *   manifest.json                           {"tasks": [{"domain", "name", "permissive"}, ...]}
 * and what of it is held out for measuring.
 */
#pragma once

#include <gio/gio.h>

typedef struct {
  char *domain, *name;
  gboolean permissive; /* its licence allows a model that ships to be trained on it; false when not said */
} GemDataTask;

/* A whole file of text, NUL-terminated. Errors name it; a NUL in it is one, MALFORMED, since what comes after
 * would not be seen. `ret_size` may be NULL. */
gboolean
gem_data_read_text(const char *path, char **ret_text, gsize *ret_size, GError **error);

/* Whether there is a file at `path`. Errors name it: what cannot be looked at, is no regular file, or is a
 * link that leads nowhere, would be missed without a word. */
gboolean
gem_data_find_file(const char *path, gboolean *ret_there, GError **error);

/* The tasks that FOLDER/manifest.json lists, in its order. Errors name the file. Transfer full, of
 * GemDataTask. */
GPtrArray *
gem_data_folder_read_tasks(const char *folder, GError **error);

/* FOLDER/tasks/DOMAIN/NAME/FILE. Transfer full. */
char *
gem_data_task_path(const char *folder, const GemDataTask *task, const char *file);

/* One line of a task's file. */
typedef struct {
  char *input, *target;
  char **choices; /* what the target is one of; NULL: the line does not say */
} GemDataLine;

/* Parses a line's object; MALFORMED when it is none or more than one, lacks a string, or a string of it has a
 * NUL. */
gboolean
gem_data_line_parse(const char *line, GemDataLine *ret_line, GError **error);
void
gem_data_line_clear(GemDataLine *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemDataLine, gem_data_line_clear)

/* The labels of a task whose lines do not name their choices: an array of strings in the file labels.json
 * beside them. NULL without an error when there is no such file. */
gboolean
gem_data_read_labels(const char *path, GStrv *ret_labels, GError **error);

/* The document at `*at`, without the line breaks at its end, over which `*at` moves; NULL at `end`. The text
 * is NUL-terminated there. */
const char *
gem_data_next_document(const char **at, const char *end, gsize *ret_length);

/* Whether the corpus document of that index, from 0, is held out for measuring. */
gboolean
gem_data_is_held_out(gsize document);
