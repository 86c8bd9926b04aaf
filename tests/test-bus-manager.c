/* Manager, Pathway and Backend over a real bus, on an engine without a model. */
#include "tests/gem-test-bus.h"

#include <string.h>

#define NONE gem_test_options("{}")

static GemTestBus *bus;
static GDBusConnection *client;

static char *
text_of(gsize length)
{
  return g_strnfill(length, 'a');
}

static void
test_ask(void)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "Ask",
                                               g_variant_new("(s@a{sv})", "one ",
                                                             gem_test_options("{'max_tokens': <uint32 3>,"
                                                                              "'seed': <uint64 7>}")));
  g_autoptr(GVariant) stats = g_variant_get_child_value(reply, 1);
  g_autoptr(GVariant) pathways = NULL;
  const char *answer = NULL;
  const char *reason = NULL;
  gboolean truncated = FALSE;
  guint64 number = 0;
  guint count = 0;
  double speed = 0;

  g_variant_get_child(reply, 0, "&s", &answer);
  g_assert_cmpstr(answer, ==, "one one one ");
  g_assert_true(g_variant_lookup(stats, "truncated", "b", &truncated) && truncated);
  g_assert_true(g_variant_lookup(stats, "reason", "&s", &reason));
  g_assert_cmpstr(reason, ==, "limit");
  g_assert_true(g_variant_lookup(stats, "prompt_tokens", "u", &count) && count == 4);
  g_assert_true(g_variant_lookup(stats, "generated_tokens", "u", &count) && count == 3);
  g_assert_true(g_variant_lookup(stats, "tokens_per_second", "d", &speed) && speed == 6);
  g_assert_true(g_variant_lookup(stats, "prefill_seconds", "d", &speed));
  g_assert_true(g_variant_lookup(stats, "decode_seconds", "d", &speed));
  g_assert_true(g_variant_lookup(stats, "seed", "t", &number) && number == 7);
  g_assert_true(g_variant_lookup(stats, "resident_bytes", "t", &number) && number == 1000);
  pathways = g_variant_lookup_value(stats, "pathways", G_VARIANT_TYPE("a{su}"));
  g_assert_true(g_variant_lookup(pathways, "general", "u", &count) && count == 7);
  g_assert_true(g_variant_lookup(stats, "degraded_tokens", "u", &count) && count == 0);
  g_assert_cmpuint(g_variant_n_children(stats), ==, 11);
}

static void
test_ask_defaults(void)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "x", NONE));
  const char *answer = NULL;

  g_variant_get_child(reply, 0, "&s", &answer);
  g_assert_cmpuint(strlen(answer), ==, 128);
}

static void
test_ask_fails(void)
{
  g_autofree char *long_text = text_of(4096);

  gem_test_manager_fails(client, "Ask", g_variant_new("(s@a{sv})", "fail", NONE), GEM_ERROR_FAILED,
                         "asked to fail");
  gem_test_manager_fails(client, "Ask", g_variant_new("(s@a{sv})", long_text, NONE),
                         GEM_ERROR_CONTEXT_EXCEEDED, "*4096*4096*");
  gem_test_manager_fails(client, "Ask",
                         g_variant_new("(s@a{sv})", "x", gem_test_options("{'max_tokens': <uint32 257>}")),
                         GEM_ERROR_INVALID_OPTION, "*max_tokens*1 to 256*");
  gem_test_manager_fails(client, "Ask",
                         g_variant_new("(s@a{sv})", "x", gem_test_options("{'slide': <true>}")),
                         GEM_ERROR_INVALID_OPTION, "*slide*");
}

static void
test_route(void)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "Route", g_variant_new("(s@a{sv})", "al", NONE));
  g_autoptr(GVariant) rows = g_variant_get_child_value(reply, 0);
  g_autoptr(GVariant) probabilities = NULL;
  const char *piece = NULL;
  const char *pathway = NULL;
  guint64 offset = 0;
  guint64 length = 0;
  double probability = 0;

  g_assert_cmpstr(g_variant_get_type_string(reply), ==, "(a(sttsa{sd}))");
  g_assert_cmpuint(g_variant_n_children(rows), ==, 2);
  g_variant_get_child(rows, 1, "(&stt&s@a{sd})", &piece, &offset, &length, &pathway, &probabilities);
  g_assert_cmpstr(piece, ==, "l");
  g_assert_cmpuint(offset, ==, 1);
  g_assert_cmpuint(length, ==, 1);
  g_assert_cmpstr(pathway, ==, "legal");
  g_assert_cmpuint(g_variant_n_children(probabilities), ==, 3);
  g_assert_true(g_variant_lookup(probabilities, "legal", "d", &probability) && probability == 1);
}

/* The longest text has more tokens than an answer has rows. */
static void
test_route_too_large(void)
{
  g_autofree char *text = text_of(GEM_MAX_TEXT_BYTES);

  gem_test_manager_fails(client, "Route", g_variant_new("(s@a{sv})", text, NONE), GEM_ERROR_LIMIT_EXCEEDED,
                         "*262144 tokens, up to 16384*");
}

static void
test_classify(void)
{
  static const char *const labels[] = {"a", "bbb", NULL};
  g_autoptr(GVariant) reply =
      gem_test_manager(client, "Classify", g_variant_new("(s^as@a{sv})", "text", labels, NONE));
  g_autoptr(GVariant) expected = g_variant_ref_sink(g_variant_new_parsed("([('a', 0.25), ('bbb', 0.75)],)"));

  g_assert_true(g_variant_equal(reply, expected));
}

static void
classify_fails(const char *const *labels, GemError code, const char *pattern)
{
  gem_test_manager_fails(client, "Classify", g_variant_new("(s^as@a{sv})", "text", labels, NONE), code,
                         pattern);
}

static void
test_classify_fails(void)
{
  g_autofree char *long_label = text_of(1025);
  const char *many[258] = {NULL};
  const char *large[18] = {NULL};
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < 257; i++) {
    g_ptr_array_add(names, g_strdup_printf("label %u", i));
    many[i] = g_ptr_array_index(names, i);
  }
  for (guint i = 0; i < 17; i++) {
    g_ptr_array_add(names, g_strdup_printf("%01000u", i));
    large[i] = g_ptr_array_index(names, 257 + i);
  }
  classify_fails((const char *[]){NULL}, GEM_ERROR_INVALID_OPTION, "labels: there are 0, 2 to 256*");
  classify_fails((const char *[]){"a", NULL}, GEM_ERROR_INVALID_OPTION, "labels: there are 1, *");
  classify_fails(many, GEM_ERROR_INVALID_OPTION, "labels: there are 257, *");
  classify_fails((const char *[]){"a", "b", "a", NULL}, GEM_ERROR_INVALID_OPTION, "labels: label 3 *twice");
  classify_fails((const char *[]){"a", "", NULL}, GEM_ERROR_INVALID_TEXT, "label 2 has 0 bytes, 1 to 1024*");
  classify_fails((const char *[]){"a", long_label, NULL}, GEM_ERROR_INVALID_TEXT, "label 2 has 1025 bytes*");
  classify_fails(large, GEM_ERROR_INVALID_OPTION, "labels: they have 17000 bytes together, at most 16384*");
}

static void
test_embed_score_count(void)
{
  g_autoptr(GVariant) vector = gem_test_manager(client, "Embed", g_variant_new("(s@a{sv})", "abc", NONE));
  g_autoptr(GVariant) score = gem_test_manager(
      client, "Score", g_variant_new("(s@a{sv})", "abc", gem_test_options("{'domain': <'general'>}")));
  g_autoptr(GVariant) count = gem_test_manager(client, "CountTokens", g_variant_new("(s)", "abcd"));
  g_autoptr(GVariant) expected = g_variant_ref_sink(g_variant_new_parsed("([0.6, 0.8],)"));
  double log_likelihood = 0;
  guint64 tokens = 0;

  g_assert_true(g_variant_equal(vector, expected));
  g_variant_get(score, "(dt)", &log_likelihood, &tokens);
  g_assert_cmpfloat(log_likelihood, ==, -6);
  g_assert_cmpuint(tokens, ==, 3);
  g_variant_get(count, "(t)", &tokens);
  g_assert_cmpuint(tokens, ==, 4);
}

/* Every method that takes a text refuses the same ones. */
static void
test_texts(void)
{
  static const struct {
    const char *method, *type;
  } methods[] = {{"Ask", "s@a{sv}"}, {"Route", "s@a{sv}"}, {"Embed", "s@a{sv}"}, {"Score", "s@a{sv}"}};
  static const char *const labels[] = {"a", "b", NULL};
  g_autofree char *most = text_of(GEM_MAX_TEXT_BYTES);
  g_autofree char *more = text_of(GEM_MAX_TEXT_BYTES + 1);
  const char *texts[] = {"", more};
  const char *patterns[] = {"*empty: 0 bytes, 1 to 262144*", "*262145 bytes, up to 262144*"};
  g_autoptr(GVariant) reply = NULL;

  for (gsize t = 0; t < G_N_ELEMENTS(texts); t++) {
    for (gsize m = 0; m < G_N_ELEMENTS(methods); m++) {
      gem_test_manager_fails(client, methods[m].method, g_variant_new("(s@a{sv})", texts[t], NONE),
                             GEM_ERROR_INVALID_TEXT, patterns[t]);
    }
    gem_test_manager_fails(client, "Classify", g_variant_new("(s^as@a{sv})", texts[t], labels, NONE),
                           GEM_ERROR_INVALID_TEXT, patterns[t]);
    gem_test_manager_fails(client, "CountTokens", g_variant_new("(s)", texts[t]), GEM_ERROR_INVALID_TEXT,
                           patterns[t]);
  }
  reply = gem_test_manager(client, "CountTokens", g_variant_new("(s)", most));
  g_assert_nonnull(reply);
}

/* Every method that takes options refuses unknown keys and domains. */
static void
test_options(void)
{
  static const char *const methods[] = {"Ask", "Route", "Embed", "Score"};
  static const char *const labels[] = {"a", "b", NULL};
  const char *unknown = "{'nonsense': <1>}";
  const char *domain = "{'domain': <'law'>}";

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    gem_test_manager_fails(client, methods[i], g_variant_new("(s@a{sv})", "x", gem_test_options(unknown)),
                           GEM_ERROR_INVALID_OPTION, "*\"nonsense\"*");
    if (!g_str_equal(methods[i], "Route")) {
      gem_test_manager_fails(client, methods[i], g_variant_new("(s@a{sv})", "x", gem_test_options(domain)),
                             GEM_ERROR_UNKNOWN_DOMAIN, "*\"law\"*general, legal, stem, broken*");
    }
  }
  gem_test_manager_fails(client, "Classify",
                         g_variant_new("(s^as@a{sv})", "x", labels, gem_test_options(unknown)),
                         GEM_ERROR_INVALID_OPTION, "*\"nonsense\"*");
  gem_test_manager_fails(client, "CreateSession", g_variant_new("(@a{sv})", gem_test_options(unknown)),
                         GEM_ERROR_INVALID_OPTION, "*\"nonsense\"*");
  gem_test_manager_fails(client, "CreateSession", g_variant_new("(@a{sv})", gem_test_options(domain)),
                         GEM_ERROR_UNKNOWN_DOMAIN, "*\"law\"*");
}

/* Wrong signatures never reach the daemon's code, and do no harm. */
static void
test_wrong_signature(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply =
      gem_test_call(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Ask", g_variant_new("(u)", 1), &error);

  g_assert_null(reply);
  g_assert_error(error, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS);
  g_clear_error(&error);
  reply = gem_test_call(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Tell", NULL, &error);
  g_assert_null(reply);
  g_assert_error(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD);
}

static void
check_property(const char *path, const char *interface, const char *property, const char *expected)
{
  g_autoptr(GVariant) value = gem_test_get(client, path, interface, property);
  g_autofree char *text = g_variant_print(value, FALSE);

  g_assert_cmpstr(text, ==, expected);
}

static void
test_properties(void)
{
  static const char *const expected[][2] = {
      {"ModelName", "'fake'"},
      {"ModelDigest", "'0123456789abcdef'"},
      {"ModelState", "'ready'"},
      {"ModelReason", "''"},
      {"ContextTokens", "4096"},
      {"Threshold", "0.69999999999999996"},
      {"Attention", "'scar'"},
      {"ResidentBytes", "1000"},
      {"Domains", "['legal', 'stem', 'broken']"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
    check_property(GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, expected[i][0], expected[i][1]);
  }
  check_property(GEM_BACKEND_PATH "/cpu", GEM_BACKEND_INTERFACE, "InUse", "true");
  check_property(GEM_BACKEND_PATH "/cpu", GEM_BACKEND_INTERFACE, "Kernels", "'fake'");
  check_property(GEM_BACKEND_PATH "/cpu", GEM_BACKEND_INTERFACE, "Reason", "''");
  check_property(GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Bits", "4");
  check_property(GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "FileBytes", "4096");
  check_property(GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Reason", "''");
}

/* The ObjectManager lists pathways and backends, nothing else; a broken domain says why. */
static void
test_managed_objects(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GVariant) objects = NULL;
  g_autoptr(GVariant) broken = NULL;
  g_autofree char *session = gem_test_create_session(client);
  const char *reason = NULL;
  const char *state = NULL;

  reply = gem_test_call(client, GEM_OBJECT_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                        NULL, &error);
  g_assert_no_error(error);
  objects = g_variant_get_child_value(reply, 0);
  g_assert_cmpuint(g_variant_n_children(objects), ==, 5);
  broken = g_variant_lookup_value(objects, GEM_PATHWAY_PATH "/broken", NULL);
  g_assert_nonnull(broken);
  g_variant_unref(g_steal_pointer(&objects));
  objects = g_variant_lookup_value(broken, GEM_PATHWAY_INTERFACE, NULL);
  g_assert_true(g_variant_lookup(objects, "Reason", "&s", &reason));
  g_assert_cmpstr(reason, ==, "pathway-broken.gguf is missing");
  g_assert_true(g_variant_lookup(objects, "State", "&s", &state));
  g_assert_cmpstr(state, ==, "absent");
}

static void
page(const char *domain, const char *method, const char *options, int code, const char *pattern)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(client, path, GEM_PATHWAY_INTERFACE, method,
                                            g_variant_new("(@a{sv})", gem_test_options(options)), &error);

  if (code < 0) {
    g_assert_no_error(error);
  } else {
    gem_test_error_is(error, (GemError)code, pattern);
  }
}

static void
test_paging(void)
{
  page("stem", "PageOut", "{}", -1, NULL);
  check_property(GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "State", "'absent'");
  check_property(GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "ResidentBytes", "0");
  page("stem", "PageIn", "{}", -1, NULL);
  check_property(GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "State", "'resident'");
  check_property(GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "ResidentBytes", "5000");
  check_property(GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "Backend", "'fake'");
  check_property(GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "Placement", "[]");
  page("legal", "PageIn", "{}", -1, NULL);
  check_property(GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Placement",
                 "[(1, 'fake', 10.5, 21.0), (64, 'npu', 640.0, 64.25)]");
  page("general", "PageOut", "{}", GEM_ERROR_PATHWAY, "*general*");
  page("broken", "PageIn", "{}", GEM_ERROR_PATHWAY, "pathway-broken.gguf is missing");
  page("stem", "PageOut", "{'force': <true>}", GEM_ERROR_INVALID_OPTION, "*\"force\"*takes: none*");
}

/* Paging tells nobody: a change would tell what others ask. */
static void
on_changed(GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *parameters,
           gpointer data)
{
  *(guint *)data += 1;
}

static void
test_paging_is_silent(void)
{
  guint heard = 0;
  guint subscription = g_dbus_connection_signal_subscribe(
      client, GEM_BUS_NAME, "org.freedesktop.DBus.Properties", "PropertiesChanged", NULL, NULL,
      G_DBUS_SIGNAL_FLAGS_NONE, on_changed, &heard, NULL);
  g_autoptr(GVariant) reply = NULL;

  page("legal", "PageOut", "{}", -1, NULL);
  page("legal", "PageIn", "{}", -1, NULL);
  reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "x", NONE));
  g_assert_nonnull(reply);
  gem_test_run_for(100);
  g_assert_cmpuint(heard, ==, 0);
  g_dbus_connection_signal_unsubscribe(client, subscription);
}

/* ---- what is introspected is what the XML says ---- */

static GDBusNodeInfo *
introspect(const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply =
      gem_test_call(client, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &error);
  const char *xml = NULL;
  GDBusNodeInfo *node;

  g_assert_no_error(error);
  g_variant_get(reply, "(&s)", &xml);
  node = g_dbus_node_info_new_for_xml(xml, &error);
  g_assert_no_error(error);
  return node;
}

static char *
interface_xml(GDBusNodeInfo *node, const char *interface)
{
  GDBusInterfaceInfo *info = g_dbus_node_info_lookup_interface(node, interface);
  GString *xml = g_string_new(NULL);

  g_assert_nonnull(info);
  g_dbus_interface_info_generate_xml(info, 0, xml);
  return g_string_free(xml, FALSE);
}

static void
check_introspection(const char *path, const char *interface)
{
  static const char unix_fd_annotation[] = "<annotation name=\"org.gtk.GDBus.C.UnixFD\" value=\"true\"/>";
  char *unix_fd = NULL;
  g_autofree char *file = g_strconcat(interface, ".xml", NULL);
  g_autofree char *name = g_build_filename(g_getenv("GEM_SOURCE_DIR"), "dbus", file, NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GDBusNodeInfo) contract = NULL;
  g_autoptr(GDBusNodeInfo) node = introspect(path);
  g_autofree char *expected = NULL;
  g_autofree char *actual = interface_xml(node, interface);

  g_assert_true(g_file_get_contents(name, &text, NULL, NULL));
  /* What only the code generator reads does not come back. */
  unix_fd = strstr(text, unix_fd_annotation);
  if (unix_fd != NULL) {
    memset(unix_fd, ' ', strlen(unix_fd_annotation));
  }
  contract = g_dbus_node_info_new_for_xml(text, &error);
  g_assert_no_error(error);
  expected = interface_xml(contract, interface);
  g_assert_cmpstr(actual, ==, expected);
}

static void
test_introspection(void)
{
  g_autofree char *session = gem_test_create_session(client);

  check_introspection(GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE);
  check_introspection(GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE);
  check_introspection(GEM_BACKEND_PATH "/cpu", GEM_BACKEND_INTERFACE);
  check_introspection(session, GEM_SESSION_INTERFACE);
}

int
main(int argc, char **argv)
{
  int status;

  g_test_init(&argc, &argv, NULL);
  bus = gem_test_bus_new_with_daemon();
  client = gem_test_bus_connect(bus);
  g_test_add_func("/bus/manager/ask", test_ask);
  g_test_add_func("/bus/manager/ask-defaults", test_ask_defaults);
  g_test_add_func("/bus/manager/ask-fails", test_ask_fails);
  g_test_add_func("/bus/manager/route", test_route);
  g_test_add_func("/bus/manager/route-too-large", test_route_too_large);
  g_test_add_func("/bus/manager/classify", test_classify);
  g_test_add_func("/bus/manager/classify-fails", test_classify_fails);
  g_test_add_func("/bus/manager/embed-score-count", test_embed_score_count);
  g_test_add_func("/bus/manager/texts", test_texts);
  g_test_add_func("/bus/manager/options", test_options);
  g_test_add_func("/bus/manager/wrong-signature", test_wrong_signature);
  g_test_add_func("/bus/manager/properties", test_properties);
  g_test_add_func("/bus/manager/managed-objects", test_managed_objects);
  g_test_add_func("/bus/manager/paging", test_paging);
  g_test_add_func("/bus/manager/paging-is-silent", test_paging_is_silent);
  g_test_add_func("/bus/manager/introspection", test_introspection);
  status = g_test_run();
  g_object_unref(client);
  gem_test_bus_free(bus);
  return status;
}
