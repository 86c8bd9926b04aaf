#include "clients/gem-client/gem-client-text-call.h"

#include "clients/gem-client/gem-client-input.h"
#include "clients/gem-client/gem-client-remote.h"

GVariant *
gem_text_call(const GemVerbOptions *options,
              const GemRunArguments *arguments,
              const char *method,
              const char *reply_type,
              GError **error)
{
  g_autofree char *text = gem_input_text(options, error);
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(GVariant) call = NULL;
  GVariant *run;

  if (text == NULL) {
    return NULL;
  }
  run = gem_run_arguments_to_variant(arguments, error);
  if (run == NULL) {
    return NULL;
  }
  call = g_variant_ref_sink(g_variant_new("(s@a{sv})", text, run));
  remote = gem_remote_open(options, error);
  return remote == NULL ? NULL : gem_remote_call_manager(remote, method, call, reply_type, error);
}
