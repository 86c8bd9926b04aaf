/*
 * Long texts are cut into tokens on a thread: here for as long as a file stands there, on an engine without a
 * model. What waits for that is the call alone; each test has a bus and a daemon of its own.
 */
#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-bus.h"

#define LONG_BYTES 2100

/* ---- a call whose text is held ---- */

typedef struct {
  char *hold; /* file */
  char *text;
  GVariant *reply;
  GUnixFDList *fds;
  GError *error;
  gboolean over;
} Held;

static void
held_clear(Held *self)
{
  g_free(self->hold);
  g_free(self->text);
  g_clear_pointer(&self->reply, g_variant_unref);
  g_clear_object(&self->fds);
  g_clear_error(&self->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Held, held_clear)

/* From now on its text, of so many bytes and more, is held. */
static void
held_init(Held *self, GemTestBus *bus, gsize bytes)
{
  static guint number;
  g_autofree char *name = g_strdup_printf("hold%u", number++);
  g_autofree char *rest = g_strnfill(bytes, 'x');

  self->hold = g_build_filename(bus->dir, name, NULL);
  self->text = g_strdup_printf("hold %s %s", self->hold, rest);
  g_assert_true(g_file_set_contents(self->hold, "", 0, NULL));
}

static void
on_reply(GObject *source, GAsyncResult *result, gpointer data)
{
  Held *self = data;

  self->reply = g_dbus_connection_call_with_unix_fd_list_finish(G_DBUS_CONNECTION(source), &self->fds, result,
                                                                &self->error);
  if (self->error != NULL) {
    g_dbus_error_strip_remote_error(self->error);
  }
  self->over = TRUE;
}

/* Options under which an answer is always the same, where the method takes any. */
static GVariant *
options_of(const char *method)
{
  gboolean writes = g_str_equal(method, "Ask") || g_str_equal(method, "Generate");

  return gem_test_options(writes ? "{'max_tokens': <uint32 3>, 'seed': <uint64 1>}" : "{}");
}

static GVariant *
parameters_of(const char *method, const char *text, const char *const *labels)
{
  if (g_str_equal(method, "CountTokens")) {
    return g_variant_new("(s)", text);
  }
  return g_str_equal(method, "Classify") ? g_variant_new("(s^as@a{sv})", text, labels, options_of(method))
                                         : g_variant_new("(s@a{sv})", text, options_of(method));
}

static const char *const short_labels[] = {"yes", "no", NULL};

/* Does not wait; `path` is the manager's or a session's. */
static void
held_call(
    Held *self, GDBusConnection *client, const char *path, const char *method, const char *const *labels)
{
  gboolean generate = g_str_equal(method, "Generate");

  g_dbus_connection_call_with_unix_fd_list(client, GEM_BUS_NAME, path,
                                           generate ? GEM_SESSION_INTERFACE : GEM_MANAGER_INTERFACE, method,
                                           parameters_of(method, self->text, labels), NULL,
                                           G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, on_reply, self);
}

static void
held_let_go(Held *self)
{
  g_assert_cmpint(unlink(self->hold), ==, 0);
  while (!self->over) {
    g_main_context_iteration(NULL, TRUE);
  }
}

/* Somebody else is served, after all that this client had sent before. */
static void
others_are_served(GDBusConnection *client)
{
  static const char *const methods[] = {"Ask", "Route", "Classify", "Embed", "Score", "CountTokens"};

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    g_variant_unref(gem_test_manager(client, methods[i], parameters_of(methods[i], "x", short_labels)));
  }
}

/* ---- calls ---- */

/* Held one after the other, all at once in the end: none holds up a short one, and each gets its answer. */
static void
test_calls(void)
{
  static const char *const methods[] = {"Ask", "Route", "Classify", "Embed", "Score", "CountTokens"};
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    g_auto(Held) held = {0};
    g_autoptr(GVariant) again = NULL;

    held_init(&held, bus, LONG_BYTES);
    held_call(&held, client, GEM_OBJECT_PATH, methods[i], short_labels);
    others_are_served(client);
    g_assert_false(held.over);
    held_let_go(&held);
    g_assert_no_error(held.error);
    again = gem_test_manager(client, methods[i], parameters_of(methods[i], held.text, short_labels));
    g_assert_true(g_variant_equal(held.reply, again));
  }
}

/* A short text with labels that are not. */
static void
test_labels(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *one = g_strnfill(1000, 'a'), *other = g_strnfill(1000, 'b'), *third = g_strnfill(100, 'c');
  const char *labels[] = {one, other, third, NULL};
  g_autoptr(GVariant) scores = NULL;
  g_auto(Held) held = {0};

  held_init(&held, bus, 1);
  held_call(&held, client, GEM_OBJECT_PATH, "Classify", labels);
  others_are_served(client);
  g_assert_false(held.over);
  held_let_go(&held);
  g_assert_no_error(held.error);
  scores = g_variant_get_child_value(held.reply, 0);
  g_assert_cmpuint(g_variant_n_children(scores), ==, 3);
}

/* What the text turns out to be is told as ever: here it has more tokens than the context. */
static void
test_too_long(void)
{
  static const char *const methods[] = {"Ask", "Classify", "Embed", "Score"};
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *text = g_strnfill(5000, 'x');
  const char *labels[] = {text, "no", NULL};

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    gboolean classify = g_str_equal(methods[i], "Classify"); /* its labels' lengths are checked before */

    gem_test_manager_fails(client, methods[i], parameters_of(methods[i], text, labels),
                           classify ? GEM_ERROR_INVALID_TEXT : GEM_ERROR_CONTEXT_EXCEEDED,
                           classify ? "label 1 *" : "*5000*4096*");
  }
}

/* Nobody is there to be told; the place goes to the next, and so does what counted. */
static void
test_caller_left(void)
{
  static const char *const methods[] = {"Ask", "Route", "Classify", "Embed", "Score", "CountTokens"};
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("ParallelAsks=1\nMaxCallsPerUser=1\n");

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
    g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
    g_auto(Held) held = {0};
    g_autoptr(GVariant) name = NULL;

    held_init(&held, bus, LONG_BYTES);
    held_call(&held, client, GEM_OBJECT_PATH, methods[i], short_labels);
    /* It has arrived, and counts. */
    name = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "ModelName");
    g_assert_nonnull(name);
    gem_test_manager_fails(other, "CountTokens", g_variant_new("(s)", "x"), GEM_ERROR_LIMIT_EXCEEDED,
                           "MaxCallsPerUser: 1 are in use, 1 are allowed");
    g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
    held_let_go(&held);
    g_assert_nonnull(held.error);
    for (;;) {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer = gem_test_call(other, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Ask",
                                                 parameters_of("Ask", "x", NULL), &error);

      if (answer != NULL) {
        break;
      }
      gem_test_error_is(error, GEM_ERROR_LIMIT_EXCEEDED, "MaxCallsPerUser*"); /* it is about to go */
    }
  }
}

/* Ask's time passes while its text is cut: it does not begin any more. */
static void
test_ask_late(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("AskSeconds=1\nParallelAsks=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_auto(Held) held = {0};

  held_init(&held, bus, LONG_BYTES);
  held_call(&held, client, GEM_OBJECT_PATH, "Ask", NULL);
  gem_test_run_for(1500);
  g_assert_false(held.over);
  held_let_go(&held);
  gem_test_error_is(held.error, GEM_ERROR_BUSY, "*ParallelAsks*did not start in 1 s");
  others_are_served(client);
}

/* ---- turns ---- */

static guint32
prompt_tokens_of(GemTestEar *ear)
{
  guint32 tokens = 0;

  g_assert_true(g_variant_lookup(ear->stats, "prompt_tokens", "u", &tokens));
  return tokens;
}

/* The session's next turn waits for its turn. */
static void
test_turn(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client), *other = gem_test_create_session(client);
  g_autofree char *text = NULL, *next = NULL;
  g_auto(Held) held = {0};

  held_init(&held, bus, LONG_BYTES);
  held_call(&held, client, session, "Generate", NULL);
  others_are_served(client);
  g_free(gem_test_read_all(gem_test_generate(client, other, "x", "{'max_tokens': <uint32 1>}", NULL)));
  gem_test_ear_wait(ear, 1);
  gem_test_generate_fails(client, session, "next", "{}", GEM_ERROR_BUSY, "*last turn still runs*");
  g_assert_false(held.over);
  held_let_go(&held);
  g_assert_no_error(held.error);
  text = gem_test_read_all(g_unix_fd_list_get(held.fds, 0, NULL));
  g_assert_cmpuint(strlen(text), ==, 3 * strlen(held.text)); /* a token of its answer is the whole prompt */
  g_assert_true(g_str_has_prefix(text, held.text));
  gem_test_ear_wait(ear, 2);
  g_assert_cmpuint(prompt_tokens_of(ear), ==, strlen(held.text));
  next = gem_test_read_all(gem_test_generate(client, session, "b", "{'max_tokens': <uint32 1>}", NULL));
  gem_test_ear_wait(ear, 3);
  g_assert_cmpstr(next, ==, "b");
}

/* A turn counts from the moment that it is asked for, and once. */
static void
test_turn_counts(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxRequestsPerUser=1\nMaxStreamsPerUser=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client), *other = gem_test_create_session(client);
  g_auto(Held) held = {0};

  held_init(&held, bus, LONG_BYTES);
  held_call(&held, client, session, "Generate", NULL);
  gem_test_generate_fails(client, other, "x", "{}", GEM_ERROR_LIMIT_EXCEEDED,
                          "MaxRequestsPerUser: 1 are in use, 1 are allowed");
  held_let_go(&held);
  g_assert_no_error(held.error);
  g_free(gem_test_read_all(g_unix_fd_list_get(held.fds, 0, NULL)));
  gem_test_ear_wait(ear, 1);
  g_free(gem_test_read_all(gem_test_generate(client, other, "x", "{'max_tokens': <uint32 1>}", NULL)));
  gem_test_ear_wait(ear, 2);
}

static void
test_turn_closed(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxRequestsPerUser=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client), *other = gem_test_create_session(client);
  g_autoptr(GVariant) closed = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(Held) held = {0};

  held_init(&held, bus, LONG_BYTES);
  held_call(&held, client, session, "Generate", NULL);
  closed = gem_test_call(client, session, GEM_SESSION_INTERFACE, "Close", NULL, &error);
  g_assert_no_error(error);
  g_assert_nonnull(closed);
  g_assert_false(held.over);
  held_let_go(&held);
  gem_test_error_is(held.error, GEM_ERROR_CANCELLED, "the session was closed");
  g_free(gem_test_read_all(gem_test_generate(client, other, "x", "{'max_tokens': <uint32 1>}", NULL)));
}

/* Nobody is there to be told; the service goes on. */
static void
test_turn_left(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client), *next = NULL;
  g_autoptr(GVariant) tokens = NULL;
  g_auto(Held) held = {0};

  held_init(&held, bus, LONG_BYTES);
  held_call(&held, client, session, "Generate", NULL);
  tokens = gem_test_get(client, session, GEM_SESSION_INTERFACE, "Tokens"); /* the call before has arrived */
  g_assert_cmpuint(g_variant_get_uint32(tokens), ==, 0);
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  held_let_go(&held);
  g_assert_nonnull(held.error);
  next = gem_test_create_session(other);
  g_free(gem_test_read_all(gem_test_generate(other, next, "x", "{'max_tokens': <uint32 1>}", NULL)));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/cut/calls", test_calls);
  g_test_add_func("/bus/cut/labels", test_labels);
  g_test_add_func("/bus/cut/too-long", test_too_long);
  g_test_add_func("/bus/cut/caller-left", test_caller_left);
  g_test_add_func("/bus/cut/ask-late", test_ask_late);
  g_test_add_func("/bus/cut/turn", test_turn);
  g_test_add_func("/bus/cut/turn-counts", test_turn_counts);
  g_test_add_func("/bus/cut/turn-closed", test_turn_closed);
  g_test_add_func("/bus/cut/turn-left", test_turn_left);
  return g_test_run();
}
