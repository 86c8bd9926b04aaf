/* The error domain and its D-Bus names, both ways. */
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

static void
test_names_are_unique(void)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  for (int code = GEM_ERROR_FAILED; code <= GEM_ERROR_SHUTTING_DOWN; code++) {
    const char *name = gem_error_name(code);

    g_assert_true(g_str_has_prefix(name, GEM_ERROR_PREFIX));
    g_assert_true(g_dbus_is_interface_name(name));
    g_assert_true(g_hash_table_add(seen, (gpointer)name));
  }
  g_assert_cmpstr(gem_error_name(GEM_ERROR_CONTEXT_EXCEEDED), ==, "org.gemd.Gem1.Error.ContextExceeded");
  g_assert_cmpstr(gem_error_name((GemError)1000), ==, "org.gemd.Gem1.Error.Failed");
}

static void
test_names_both_ways(void)
{
  for (int code = GEM_ERROR_FAILED; code <= GEM_ERROR_SHUTTING_DOWN; code++) {
    g_autoptr(GError) sent = g_error_new(GEM_ERROR, code, "tokens: 9 of 8");
    g_autofree char *name = g_dbus_error_encode_gerror(sent);
    g_autoptr(GError) received = g_dbus_error_new_for_dbus_error(name, "tokens: 9 of 8");

    g_assert_cmpstr(name, ==, gem_error_name(code));
    g_assert_error(received, GEM_ERROR, code);
    g_assert_true(g_dbus_error_strip_remote_error(received));
    g_assert_cmpstr(received->message, ==, "tokens: 9 of 8");
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/error/names-are-unique", test_names_are_unique);
  g_test_add_func("/error/names-both-ways", test_names_both_ways);
  return g_test_run();
}
