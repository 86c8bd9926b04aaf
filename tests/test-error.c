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

static void
assert_key(const GError *error, const char *key, const char *message)
{
  g_autofree char *found = NULL;
  g_autofree char *rest = NULL;

  g_assert_true(gem_error_get_key(error, &found, &rest));
  g_assert_cmpstr(found, ==, key);
  g_assert_cmpstr(rest, ==, message);
}

/* As it was set, and as it is after the way over the bus. */
static void
assert_round_trip(const GError *sent, const char *key, const char *message)
{
  g_autofree char *name = g_dbus_error_encode_gerror(sent);
  g_autoptr(GError) received = g_dbus_error_new_for_dbus_error(name, sent->message);

  assert_key(sent, key, message);
  assert_key(received, key, message);
  g_assert_error(received, GEM_ERROR, sent->code);
}

static void
test_keys_both_ways(void)
{
  g_autoptr(GError) option = NULL, domain = NULL, argument = NULL;

  gem_error_set_option(&option, GEM_ERROR_INVALID_OPTION, "max_tokens", "%d is out of range", 0);
  g_assert_cmpstr(option->message, ==, "option \"max_tokens\": 0 is out of range");
  assert_round_trip(option, "max_tokens", "0 is out of range");
  gem_error_set_option(&domain, GEM_ERROR_UNKNOWN_DOMAIN, "domain", "no domain %s", "\"a\": b");
  assert_round_trip(domain, "domain", "no domain \"a\": b");
  gem_error_set_argument(&argument, "labels", "label %u stands there twice", 2u);
  g_assert_cmpstr(argument->message, ==, "labels: label 2 stands there twice");
  assert_round_trip(argument, "labels", "label 2 stands there twice");
}

/* Other errors are of no key, whatever they begin with. */
static void
test_no_keys(void)
{
  static const struct {
    GemError code;
    const char *message;
  } cases[] = {
      {GEM_ERROR_INVALID_OPTION, "unknown option \"labels\"; this method takes: none"},
      {GEM_ERROR_INVALID_OPTION, "argument 2: no descriptor came with it"},
      {GEM_ERROR_INVALID_OPTION, "option \"Max\": 1"},
      {GEM_ERROR_INVALID_OPTION, "option \"\": 1"},
      {GEM_ERROR_INVALID_OPTION, ": 1"},
      {GEM_ERROR_INVALID_OPTION, "labels"},
      {GEM_ERROR_MODEL, "clusters: 3 are in the file"},
      {GEM_ERROR_LIMIT_EXCEEDED, "MaxSessions: 4 are in use, 4 are allowed"},
  };
  g_autoptr(GError) foreign = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_FAILED, "option \"seed\": 1");
  char *key = NULL, *message = NULL;

  g_assert_false(gem_error_get_key(foreign, &key, &message));
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = g_error_new_literal(GEM_ERROR, (gint)cases[i].code, cases[i].message);

    g_assert_false(gem_error_get_key(error, &key, &message));
  }
  g_assert_null(key);
  g_assert_null(message);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/error/names-are-unique", test_names_are_unique);
  g_test_add_func("/error/names-both-ways", test_names_both_ways);
  g_test_add_func("/error/keys-both-ways", test_keys_both_ways);
  g_test_add_func("/error/no-keys", test_no_keys);
  return g_test_run();
}
