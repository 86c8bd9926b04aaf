/*
 * Who may administrate: another user's calls, and a polkit that the test plays. Needs the superuser, who
 * alone can become another user. On an engine without a model.
 */
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-bus.h"
#include "tests/gem-test-calls.h"

#define NOBODY "65534"

/* Turns of one that leaves: no more than a user's. */
#define DRAINING 8
#define ROUNDS   40
/* Its leaving and polkit's answer are to meet, and when they do nobody knows. */
#define ROUNDS_A_DELAY 8

/* What the played polkit says. */
typedef enum { ANSWER_YES, ANSWER_NO, ANSWER_CHALLENGE, ANSWER_LATER, ANSWER_TIME_OUT } Answer;

typedef struct {
  GemTestBus *bus;
  GDBusConnection *connection;
  Answer answer;
  GDBusMethodInvocation *waiting; /* ANSWER_LATER */
  guint questions;
  guint32 flags; /* of the last question */
  char *action;
  char *subject;
  char *id;        /* of the last question */
  char *withdrawn; /* of the last question that was withdrawn */
} Polkit;

static const char introspection[] =
    "<node><interface name='org.freedesktop.PolicyKit1.Authority'><method name='CheckAuthorization'>"
    "<arg type='(sa{sv})' direction='in'/><arg type='s' direction='in'/><arg type='a{ss}' direction='in'/>"
    "<arg type='u' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='(bba{ss})' direction='out'/></method><method name='CancelCheckAuthorization'>"
    "<arg type='s' direction='in'/></method></interface></node>";

static void
answer_question(GDBusMethodInvocation *invocation, Answer answer)
{
  g_dbus_method_invocation_return_value(
      invocation, g_variant_new("((bba{ss}))", answer == ANSWER_YES, answer == ANSWER_CHALLENGE, NULL));
}

static void
on_question(GDBusConnection *connection,
            const char *sender,
            const char *path,
            const char *interface,
            const char *method,
            GVariant *parameters,
            GDBusMethodInvocation *invocation,
            gpointer data)
{
  Polkit *self = data;
  g_autoptr(GVariant) details = NULL;
  const char *kind, *action;

  if (g_str_equal(method, "CancelCheckAuthorization")) {
    g_free(self->withdrawn);
    g_variant_get(parameters, "(s)", &self->withdrawn);
    g_dbus_method_invocation_return_value(invocation, NULL);
    return;
  }
  self->questions++;
  g_clear_pointer(&self->id, g_free);
  g_variant_get(parameters, "((&s@a{sv})&s@a{ss}us)", &kind, &details, &action, NULL, &self->flags,
                &self->id);
  g_assert_cmpstr(self->id, !=, "");
  g_assert_cmpstr(kind, ==, "system-bus-name");
  g_free(self->action);
  self->action = g_strdup(action);
  g_free(self->subject);
  g_assert_true(g_variant_lookup(details, "name", "s", &self->subject));
  if (self->answer == ANSWER_LATER) {
    self->waiting = invocation;
  } else if (self->answer == ANSWER_TIME_OUT) {
    /* What GDBus says when the time of a call is over: so this comes to the service, sooner. */
    g_dbus_method_invocation_return_error_literal(invocation, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "late");
  } else {
    answer_question(invocation, self->answer);
  }
}

static void
polkit_start(Polkit *self)
{
  static const GDBusInterfaceVTable table = {.method_call = on_question};
  g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(introspection, NULL);
  g_autoptr(GVariant) owned = NULL;
  g_autoptr(GError) error = NULL;

  g_dbus_connection_register_object(self->connection, "/org/freedesktop/PolicyKit1/Authority",
                                    node->interfaces[0], &table, self, NULL, &error);
  g_assert_no_error(error);
  owned = g_dbus_connection_call_sync(self->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                      "org.freedesktop.DBus", "RequestName",
                                      g_variant_new("(su)", "org.freedesktop.PolicyKit1", 0),
                                      G_VARIANT_TYPE("(u)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
  g_assert_no_error(error);
  g_assert_nonnull(owned);
}

static void
set_up(Polkit *self, gconstpointer data)
{
  self->bus = gem_test_bus_new_with_daemon();
  self->connection = gem_test_bus_connect(self->bus);
}

static void
tear_down(Polkit *self, gconstpointer data)
{
  g_clear_object(&self->connection);
  gem_test_bus_free(self->bus);
  g_free(self->action);
  g_free(self->subject);
  g_free(self->id);
  g_free(self->withdrawn);
}

/* ---- another user's call ---- */

typedef struct {
  char *output, *errors;
  gboolean ended;
} Call;

static void
on_ended(GObject *source, GAsyncResult *result, gpointer data)
{
  Call *call = data;

  g_subprocess_communicate_utf8_finish(G_SUBPROCESS(source), result, &call->output, &call->errors, NULL);
  call->ended = TRUE;
}

/* Calls what `method` says: path, interface, method, signature, arguments, NULL. */
static GSubprocess *
start_call(Polkit *self, Call *call, gboolean interactive, const char *const *method)
{
  static const char *const become_nobody[] = {"setpriv",        "--reuid=" NOBODY, "--regid=" NOBODY,
                                              "--clear-groups", "busctl",          NULL};
  g_autofree char *address = g_strconcat("--address=", self->bus->address, NULL);
  const char *flag =
      interactive ? "--allow-interactive-authorization=yes" : "--allow-interactive-authorization=no";
  g_autoptr(GError) error = NULL;
  g_autoptr(GStrvBuilder) words = g_strv_builder_new();
  g_auto(GStrv) command = NULL;
  GSubprocess *process;

  g_strv_builder_addv(words, (const char **)become_nobody);
  g_strv_builder_add_many(words, address, flag, "call", GEM_BUS_NAME, NULL);
  g_strv_builder_addv(words, (const char **)method);
  command = g_strv_builder_end(words);
  process = g_subprocess_newv((const char *const *)command,
                              G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  g_assert_no_error(error);
  g_subprocess_communicate_utf8_async(process, NULL, NULL, on_ended, call);
  return process;
}

#define LEGAL (GEM_PATHWAY_PATH "/legal")

static const char *const page_out_call[] = {LEGAL, GEM_PATHWAY_INTERFACE, "PageOut", "a{sv}", "0", NULL};
static const char *const load_model_call[] = {
    GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "LoadModel", "sa{sv}", "nonesuch", "0", NULL};

static const char *const stats_call[] = {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Stats", "a{sv}", "0", NULL};

/* TRUE: it worked; else the message is like `pattern`. */
static gboolean
try_call(Polkit *self, gboolean interactive, const char *const *method, const char *pattern)
{
  Call call = {0};
  g_autoptr(GSubprocess) process = start_call(self, &call, interactive, method);
  gboolean success;

  while (!call.ended) {
    g_main_context_iteration(NULL, TRUE);
  }
  success = g_subprocess_get_successful(process);
  if (!success && !g_pattern_match_simple(pattern, call.errors)) {
    g_test_message("\"%s\" is not like \"%s\"", call.errors, pattern);
    g_test_fail();
  }
  g_free(call.output);
  g_free(call.errors);
  return success;
}

static gboolean
page_out(Polkit *self, gboolean interactive, const char *pattern)
{
  return try_call(self, interactive, page_out_call, pattern);
}

static gboolean
skip_unless_possible(void)
{
  g_autofree char *setpriv = g_find_program_in_path("setpriv");
  g_autofree char *busctl = g_find_program_in_path("busctl");

  if (geteuid() != 0 || setpriv == NULL || busctl == NULL) {
    g_test_skip("needs the superuser, setpriv and busctl");
    return TRUE;
  }
  return FALSE;
}

static void
test_answers(Polkit *self, gconstpointer data)
{
  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  self->answer = ANSWER_YES;
  g_assert_true(page_out(self, FALSE, ""));
  g_assert_cmpstr(self->action, ==, "org.gemd.Gem1.manage-pathways");
  g_assert_true(g_dbus_is_unique_name(self->subject));
  self->answer = ANSWER_NO;
  g_assert_false(page_out(self, FALSE, "*not authorized: polkit says no*"));
  self->answer = ANSWER_CHALLENGE;
  g_assert_false(page_out(self, FALSE, "*not authorized: a password is wanted*"));
  g_assert_cmpuint(self->questions, ==, 3);
}

/* A property is set by those who may page in. */
static void
test_pin(Polkit *self, gconstpointer data)
{
  static const char *const pin_call[] = {
      LEGAL, "org.freedesktop.DBus.Properties", "Set", "ssv", GEM_PATHWAY_INTERFACE, "Pinned", "b", "true",
      NULL};
  g_autoptr(GVariant) before = NULL, after = NULL;

  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  self->answer = ANSWER_NO;
  g_assert_false(try_call(self, FALSE, pin_call, "*not authorized: polkit says no*"));
  g_assert_cmpstr(self->action, ==, "org.gemd.Gem1.manage-pathways");
  before = gem_test_get(self->connection, GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Pinned");
  g_assert_false(g_variant_get_boolean(before));
  self->answer = ANSWER_YES;
  g_assert_true(try_call(self, FALSE, pin_call, ""));
  after = gem_test_get(self->connection, GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Pinned");
  g_assert_true(g_variant_get_boolean(after));
  g_assert_cmpuint(self->questions, ==, 2);
}

/* Another action, and nothing is told before the answer. */
static void
test_load_model(Polkit *self, gconstpointer data)
{
  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  self->answer = ANSWER_NO;
  g_assert_false(try_call(self, FALSE, load_model_call, "*not authorized: polkit says no*"));
  g_assert_cmpstr(self->action, ==, "org.gemd.Gem1.load-model");
  self->answer = ANSWER_YES;
  g_assert_false(try_call(self, FALSE, load_model_call, "*no model \"nonesuch\"*"));
  g_assert_cmpuint(self->questions, ==, 2);
}

static void
test_stats(Polkit *self, gconstpointer data)
{
  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  self->answer = ANSWER_NO;
  g_assert_false(try_call(self, FALSE, stats_call, "*not authorized: polkit says no*"));
  g_assert_cmpstr(self->action, ==, "org.gemd.Gem1.read-statistics");
  self->answer = ANSWER_YES;
  g_assert_true(try_call(self, FALSE, stats_call, ""));
}

static void
test_interaction(Polkit *self, gconstpointer data)
{
  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  self->answer = ANSWER_YES;
  g_assert_true(page_out(self, FALSE, ""));
  g_assert_cmpuint(self->flags, ==, 0);
  g_assert_true(page_out(self, TRUE, ""));
  g_assert_cmpuint(self->flags, ==, 1);
}

static void
wait_withdrawn(Polkit *self)
{
  while (self->withdrawn == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpstr(self->withdrawn, ==, self->id);
}

/* A password that nobody types: polkit is there, and the dialog does not stay. */
static void
test_unanswered(Polkit *self, gconstpointer data)
{
  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  self->answer = ANSWER_TIME_OUT;
  g_assert_false(page_out(self, TRUE, "*not authorized: nobody answered*"));
  wait_withdrawn(self);
  g_assert_false(page_out(self, FALSE, "*not authorized: polkit cannot be asked*"));
}

/* A service that stops while polkit thinks says so, at once, and polkit is told. */
static void
test_stopped(Polkit *self, gconstpointer data)
{
  g_autoptr(GSubprocess) process = NULL;
  Call call = {0};

  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  self->answer = ANSWER_LATER;
  process = start_call(self, &call, TRUE, page_out_call);
  while (self->questions == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_subprocess_send_signal(self->bus->daemon, SIGTERM);
  while (!call.ended) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_false(g_subprocess_get_successful(process));
  g_assert_nonnull(strstr(call.errors, "the service stops"));
  wait_withdrawn(self);
  g_assert_cmpint(gem_test_bus_wait_exit(self->bus), ==, 0);
  answer_question(self->waiting, ANSWER_NO);
  g_free(call.output);
  g_free(call.errors);
}

static void
test_no_polkit(Polkit *self, gconstpointer data)
{
  if (!skip_unless_possible()) {
    g_assert_false(page_out(self, FALSE, "*not authorized: polkit cannot be asked*"));
  }
}

/* Others are served while polkit thinks, and who left meanwhile is not worked for, even if it says yes. */
static void
test_vanished(Polkit *self, gconstpointer data)
{
  g_autoptr(GDBusConnection) other = NULL;
  g_autoptr(GVariant) count = NULL, state = NULL;
  g_autoptr(GSubprocess) process = NULL;
  Call call = {0};

  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  other = gem_test_bus_connect(self->bus);
  self->answer = ANSWER_LATER;
  process = start_call(self, &call, FALSE, page_out_call);
  while (self->questions == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  count = gem_test_manager(other, "CountTokens", g_variant_new("(s)", "abc"));
  g_assert_nonnull(count);
  g_subprocess_force_exit(process);
  while (!call.ended) {
    g_main_context_iteration(NULL, TRUE);
  }
  wait_withdrawn(self);
  answer_question(self->waiting, ANSWER_YES);
  gem_test_run_for(100);
  state = gem_test_get(other, GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "State");
  g_assert_cmpstr(g_variant_get_string(state, NULL), ==, "resident");
  g_free(call.output);
  g_free(call.errors);
}

/* The test's own connection of another user, whom the bus knows by the ids that it is opened with. */
static GDBusConnection *
connect_nobody(Polkit *self)
{
  const uid_t nobody = 65534;
  GDBusConnection *connection;

  g_assert_cmpint(setresuid(nobody, nobody, 0), ==, 0);
  connection = gem_test_bus_connect(self->bus);
  g_assert_cmpint(setresuid(0, 0, 0), ==, 0);
  return connection;
}

/* It leaves with turns whose text waits in their pipes; polkit's answer comes while these are ended. */
static void
leave_draining(Polkit *self, guint round)
{
  g_autoptr(GDBusConnection) client = connect_nobody(self);
  guint questions = self->questions;
  int readers[DRAINING];

  for (guint i = 0; i < DRAINING; i++) {
    g_autofree char *session = gem_test_create_session(client);

    /* 80 KiB, more than a pipe holds. */
    readers[i] = gem_test_generate(client, session, "flood", "{'max_tokens': <uint32 20>}", NULL);
  }
  g_dbus_connection_call(client, GEM_BUS_NAME, LEGAL, GEM_PATHWAY_INTERFACE, "PageOut",
                         g_variant_new("(@a{sv})", gem_test_options("{}")), NULL, G_DBUS_CALL_FLAGS_NONE, -1,
                         NULL, NULL, NULL);
  gem_test_run_for(20);
  while (self->questions == questions) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  g_usleep(round % ROUNDS_A_DELAY * 50);
  answer_question(self->waiting, ANSWER_NO);
  g_assert_true(g_dbus_connection_flush_sync(self->connection, NULL, NULL));
  for (guint i = 0; i < DRAINING; i++) {
    close(readers[i]);
  }
}

static void
test_left_draining(Polkit *self, gconstpointer data)
{
  g_autoptr(GDBusConnection) other = NULL;

  if (skip_unless_possible()) {
    return;
  }
  polkit_start(self);
  other = gem_test_bus_connect(self->bus);
  self->answer = ANSWER_LATER;
  for (guint round = 0; round < ROUNDS; round++) {
    g_autoptr(GVariant) count = NULL;

    leave_draining(self, round);
    count = gem_test_manager(other, "CountTokens", g_variant_new("(s)", "abc"));
    g_assert_nonnull(count);
  }
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Polkit *self, gconstpointer data);
  } tests[] = {
      {"/bus/authorize/answers", test_answers},         {"/bus/authorize/pin", test_pin},
      {"/bus/authorize/load-model", test_load_model},   {"/bus/authorize/stats", test_stats},
      {"/bus/authorize/interaction", test_interaction}, {"/bus/authorize/no-polkit", test_no_polkit},
      {"/bus/authorize/vanished", test_vanished},       {"/bus/authorize/unanswered", test_unanswered},
      {"/bus/authorize/stopped", test_stopped},         {"/bus/authorize/left-draining", test_left_draining},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Polkit, NULL, set_up, tests[i].run, tear_down);
  }
  return g_test_run();
}
