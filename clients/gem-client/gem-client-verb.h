/*
 * The verbs of gem-client, and what they have in common: the table of them, their options for the bus and for
 * JSON, and --help.
 */
#pragma once

#include <gio/gio.h>

#include "clients/gem-client/gem-client-exit.h"

typedef struct _GemVerb GemVerb;

struct _GemVerb {
  const char *name;
  const char *arguments; /* as in "Usage: gem-client NAME [OPTION...] ARGUMENTS" */
  const char *summary;   /* one line */
  const char *details;   /* what --help says after the options: notes, and examples */
  GemExit (*run)(const GemVerb *self, char **argv);
};

/* One line each in gem-client-verb.c; one file each, verb-NAME.c (undo beside forget). */
extern const GemVerb gem_verb_ask, gem_verb_route, gem_verb_classify, gem_verb_embed, gem_verb_score,
    gem_verb_tokens, gem_verb_pathways, gem_verb_load, gem_verb_adapt, gem_verb_learned, gem_verb_undo,
    gem_verb_forget, gem_verb_share, gem_verb_status, gem_verb_monitor, gem_verb_stats;

/* Runs the verb that argv[1] names. `argv` is NULL-terminated. */
GemExit
gem_verb_main(char **argv);

/* What every verb takes. */
typedef struct {
  gboolean json;
  gboolean system;
  gboolean session;
  char *address;   /* NULL: not given */
  GStrv arguments; /* what is no option; NULL: nothing */
} GemVerbOptions;

void
gem_verb_options_clear(GemVerbOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemVerbOptions, gem_verb_options_clear)

/* Parses argv (argv[0] is the verb) into `options`, and into what the entries of `groups` (a list
 * ended by NULL of lists ended by a NULL entry; may be NULL) point to. --help prints and ends the process.
 * Errors: G_OPTION_ERROR. */
gboolean
gem_verb_parse(const GemVerb *self,
               const GOptionEntry *const *groups,
               char **argv,
               GemVerbOptions *options,
               GError **error);
