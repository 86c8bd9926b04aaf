/*
 * The one GError domain of the service and the D-Bus error names that it maps to, both ways: the daemon
 * returns these, and a client that links this file gets them back as GEM_ERROR.
 */
#pragma once

#include <gio/gio.h>

#define GEM_ERROR (gem_error_quark())
GQuark
gem_error_quark(void);

typedef enum {
  GEM_ERROR_FAILED, /* org.gemd.Gem1.Error.Failed: something that should not happen; the message says what */
  GEM_ERROR_INVALID_TEXT,   /* .InvalidText: empty, too long, not UTF-8, or with a NUL */
  GEM_ERROR_INVALID_OPTION, /* .InvalidOption: an unknown key, a wrong type, a value out of range; the message
                               names it */
  GEM_ERROR_UNKNOWN_DOMAIN, /* .UnknownDomain */
  GEM_ERROR_CONTEXT_EXCEEDED, /* .ContextExceeded: tokens needed and tokens there are */
  GEM_ERROR_LIMIT_EXCEEDED,   /* .LimitExceeded: a quota; the message names it */
  GEM_ERROR_BUSY,           /* .Busy: the session already generates, or a call's turn did not come in time */
  GEM_ERROR_CANCELLED,      /* .Cancelled */
  GEM_ERROR_NOT_AUTHORIZED, /* .NotAuthorized: not the owner, or not allowed */
  GEM_ERROR_NOT_READY,      /* .NotReady: the model is still loading, or could not be loaded */
  GEM_ERROR_MODEL,          /* .Model: a file of the model is missing, cut short or altered */
  GEM_ERROR_PATHWAY,        /* .Pathway: a pathway cannot be paged in or out */
  GEM_ERROR_MODEL_CHANGED,  /* .ModelChanged: the session belongs to a model that is no longer served */
  GEM_ERROR_NOT_SUPPORTED,  /* .NotSupported: not installed here, or switched off; the message says what */
  GEM_ERROR_SHUTTING_DOWN,  /* .ShuttingDown */
} GemError;

/* "org.gemd.Gem1.Error.ContextExceeded" for a code; never NULL. */
const char *
gem_error_name(GemError code);

/* An error as callers get it: one of GEM_ERROR, without what only the daemon's own code would understand.
 * Takes `error`. */
GError *
gem_error_for_caller(GError *error);

/* Errors of what a caller gave, written and read here alone: D-Bus carries a name and a text, so that the
 * text has to tell which it is. Of an option, by its key, and of an argument of a method (INVALID_OPTION):
 *   option "max_tokens": 0 is out of range, 1 to 256
 *   labels: label 2 stands there twice
 * Keys and names are of a-z and "_". */
void
gem_error_set_option(GError **error, GemError code, const char *key, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
void
gem_error_set_argument(GError **error, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* What such an error is of, "max_tokens", and what it says of that, as it was set or as it came over the bus.
 * Transfer full. FALSE for every other error. */
gboolean
gem_error_get_key(const GError *error, char **ret_key, char **ret_message);
