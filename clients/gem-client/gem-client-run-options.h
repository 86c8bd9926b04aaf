/* Options of the service's methods, from the command line: each is a number or a word that is handed on;
 * whether the service takes it is the service's to say. */
#pragma once

#include <gio/gio.h>

#include "clients/gem-client/gem-client-exit.h"

/* For every text: which pathway, how many clusters, and whether others come first. NULL: not given. */
typedef struct {
  char *domain;
  char *clusters;
  char *priority;
} GemRunArguments;

/* For generated text. */
typedef struct {
  char *max_tokens, *temperature, *top_k, *top_p, *seed;
  GStrv stop;
  gboolean raw, slide;
} GemGenerateArguments;

void
gem_run_arguments_clear(GemRunArguments *arguments);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemRunArguments, gem_run_arguments_clear)
void
gem_generate_arguments_clear(GemGenerateArguments *arguments);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemGenerateArguments, gem_generate_arguments_clear)

/* Entries of GOption for both kinds. Transfer full, ended by a NULL entry; free with g_free. */
GOptionEntry *
gem_run_arguments_entries(GemRunArguments *arguments);
GOptionEntry *
gem_generate_arguments_entries(GemGenerateArguments *arguments);

/* An a{sv} (floating) of what was given. Errors: G_OPTION_ERROR, naming the option, for what is no number. */
GVariant *
gem_run_arguments_to_variant(const GemRunArguments *arguments, GError **error);
/* The same; `routes` as for Session.Generate. */
GVariant *
gem_generate_arguments_to_variant(const GemGenerateArguments *arguments, gboolean routes, GError **error);

/* gem_exit_report, of a call that options were handed on with: the service names an option by its key, as in
 * option "max_tokens": 0 is out of range; said is what was typed, --max-tokens: 0 is out of range. */
GemExit
gem_run_options_report(const GError *error);
