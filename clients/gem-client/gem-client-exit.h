/* The exit codes of gem-client: a contract with scripts, documented in gem-client(1). */
#pragma once

#include <gio/gio.h>

typedef enum {
  GEM_EXIT_OK = 0,
  GEM_EXIT_FAILED = 1,         /* the service failed or stops, or the output could not be written */
  GEM_EXIT_USAGE = 2,          /* a verb, option or argument that does not exist or does not parse */
  GEM_EXIT_UNREACHABLE = 3,    /* no bus, or no service on it, or it went away */
  GEM_EXIT_NOT_AUTHORIZED = 4, /* not allowed to this user */
  GEM_EXIT_INVALID_INPUT = 5,  /* a text, option value or domain that the service does not take */
  GEM_EXIT_LIMIT = 6,          /* a quota, the context's length, or busy: later or less may work */
  GEM_EXIT_NOT_READY = 7,      /* the model is still loading, or could not be loaded */
  GEM_EXIT_INTERRUPTED = 130,  /* Ctrl-C */
} GemExit;

/* What to end with after `error`, which may come from the service (GEM_ERROR), the bus, or gem-client itself.
 */
GemExit
gem_exit_from_error(const GError *error);

/* Says `error` on standard error, with control bytes shown, and returns its exit code. */
GemExit
gem_exit_report(const GError *error);

/* An option of a method, or an argument of it, by its key, and what the program that says it calls the option
 * for it: max_tokens, "max-tokens". */
typedef struct {
  const char *key, *typed;
} GemTypedOption;

/* The same, of a call that options were handed on with: what the error says of a key of `options`, a list
 * ended by an empty one, is said of what was typed, --max-tokens: 0 is out of range. */
GemExit
gem_exit_report_typed(const GError *error, const GemTypedOption *options);
