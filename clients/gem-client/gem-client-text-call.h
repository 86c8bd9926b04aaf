/* A method of the Manager that takes a text and options and answers at once. */
#pragma once

#include <gio/gio.h>

#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-verb.h"

/* Reads the text that `options` name, calls METHOD(text, {arguments}) and returns the reply, of `reply_type`.
 * Transfer full. */
GVariant *
gem_text_call(const GemVerbOptions *options,
              const GemRunArguments *arguments,
              const char *method,
              const char *reply_type,
              GError **error);
