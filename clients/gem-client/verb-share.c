/* gem-client share: a user's learned domain is for everybody, or no longer. */
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"

#include <pwd.h>
#include <string.h>

/* A name of a user, or a number. */
static gboolean
find_user(const char *word, guint32 *ret_uid, GError **error)
{
  const struct passwd *user = getpwnam(word);
  guint64 number = 0;

  if (user != NULL) {
    *ret_uid = user->pw_uid;
    return TRUE;
  }
  if (!g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT32, &number, NULL)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "no user \"%s\"", word);
    return FALSE;
  }
  *ret_uid = (guint32)number;
  return TRUE;
}

static gboolean
check_arguments(GStrv arguments, guint32 *ret_uid, GError **error)
{
  if (arguments == NULL || g_strv_length(arguments) != 2 || !g_utf8_validate(arguments[1], -1, NULL)) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "share takes the USER who learned it and the NAME of the domain");
    return FALSE;
  }
  return find_user(arguments[0], ret_uid, error);
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  gboolean stop = FALSE;
  const GOptionEntry entries[] = {
      {"stop", 0, 0, G_OPTION_ARG_NONE, &stop, "It is its own user's alone again", NULL},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry *const groups[] = {entries, NULL};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(GVariant) reply = NULL;
  guint32 uid = 0;

  if (!gem_verb_parse(self, groups, argv, &options, &error) ||
      !check_arguments(options.arguments, &uid, &error)) {
    return gem_exit_report(error);
  }
  remote = gem_remote_open(&options, &error);
  reply = remote != NULL
              ? gem_remote_call_manager(remote, "ShareDomain",
                                        g_variant_new("(usba{sv})", uid, options.arguments[1], !stop, NULL),
                                        "()", &error)
              : NULL;
  return reply != NULL ? GEM_EXIT_OK : gem_exit_report(error);
}

const GemVerb gem_verb_share = {
    .name = "share",
    .arguments = "USER NAME",
    .summary = "Share a domain that a user had learned with everybody",
    .details = "For administrators. What it was learned from can show in what it writes.\n\n"
               "Examples:\n"
               "  sudo gem-client share alice garden\n"
               "  sudo gem-client share --stop alice garden",
    .run = run,
};
