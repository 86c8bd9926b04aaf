#include "training/network/gem-run-identity.h"

#include <string.h>

static void
add_name(GString *self, const char *name)
{
  g_string_append_printf(self, "%s%s=", self->len > 0 ? " " : "", name);
}

void
gem_run_identity_add_number(GString *self, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  add_name(self, name);
  g_string_append(self, g_ascii_formatd(text, sizeof text, "%.9g", value));
}

void
gem_run_identity_add_string(GString *self, const char *name, const char *value)
{
  add_name(self, name);
  g_string_append_uri_escaped(self, value != NULL ? value : "none", "/,=*?:+", TRUE);
}

gboolean
gem_run_identity_is_lower_rate(const char *name, const char *there, const char *here)
{
  return strcmp(name, "rate") == 0 && g_ascii_strtod(here, NULL) < g_ascii_strtod(there, NULL);
}

/* `item`: NAME=VALUE. The value of that name among `items`; NULL: it is not there. */
static const char *
find_value(const char *const *items, const char *item)
{
  gsize length = strcspn(item, "=") + 1;
  while (*items != NULL && strncmp(*items, item, length) != 0) {
    items++;
  }
  return *items != NULL ? *items + length : NULL;
}

char *
gem_run_identity_compare(const char *there,
                         const char *here,
                         GemRunIdentityMayDiffer may_differ,
                         gpointer data)
{
  g_auto(GStrv) old = g_strsplit(there, " ", -1), new = g_strsplit(here, " ", -1);
  g_autoptr(GString) differences = g_string_new(NULL);
  for (char **item = new; *item != NULL; item++) {
    g_autofree char *name = g_strndup(*item, strcspn(*item, "="));
    const char *wanted = *item + strlen(name) + 1, *found = find_value((const char *const *)old, *item);
    if (found == NULL || (strcmp(found, wanted) != 0 && !may_differ(name, found, wanted, data))) {
      g_string_append_printf(differences, "%s%s is %s there and %s here", differences->len > 0 ? ", " : "",
                             name, found != NULL ? found : "not known", wanted);
    }
  }
  return differences->len > 0 ? g_strdup(differences->str) : NULL;
}
