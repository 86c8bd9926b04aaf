/*
 * The service as a process: its start and end, its limits, and what a client that floods it does to others.
 * On an engine without a model; each test has a bus and a daemon of its own.
 */
#include "tests/gem-test-calls.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-patience.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NONE gem_test_options("{}")

static void
check_manager_string(GDBusConnection *client, const char *property, const char *pattern)
{
  g_autoptr(GVariant) value = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, property);

  if (!g_pattern_match_simple(pattern, g_variant_get_string(value, NULL))) {
    g_test_message("%s: \"%s\" is not like \"%s\"", property, g_variant_get_string(value, NULL), pattern);
    g_test_fail();
  }
}

/* ---- loading ---- */

/* The name is there while the model loads; a call waits for it. */
static void
test_slow_model(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GVariant) state = NULL;

  gem_test_bus_spawn(bus, "/fake/slow");
  gem_test_bus_wait_name(bus);
  state = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "ModelState");
  g_assert_cmpstr(g_variant_get_string(state, NULL), ==, "loading");
  check_manager_string(client, "ModelName", "");
  reply = gem_test_manager(client, "CountTokens", g_variant_new("(s)", "abc"));
  g_assert_nonnull(reply);
  check_manager_string(client, "ModelState", "ready");
}

static void
test_no_model(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *state = NULL;

  gem_test_bus_spawn(bus, "/fake/none");
  state = gem_test_bus_wait_settled(bus);
  g_assert_cmpstr(state, ==, "failed");
  check_manager_string(client, "ModelReason", "*/fake/none: general.gguf is missing*");
  gem_test_manager_fails(client, "Ask", g_variant_new("(s@a{sv})", "x", NONE), GEM_ERROR_NOT_READY,
                         "*/fake/none: general.gguf is missing*");
  gem_test_manager_fails(client, "CreateSession", g_variant_new("(@a{sv})", NONE), GEM_ERROR_NOT_READY, "*");
}

static void
test_unknown_model(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *variable = g_strconcat("GEMD_MODEL_DIR=", bus->dir, NULL);
  g_autofree char *pattern = g_strdup_printf("*no model \"nonesuch\" in %s*", bus->dir);
  g_autofree char *state = NULL;

  bus->daemon_arguments = g_strsplit("--development", " ", -1);
  bus->daemon_environment = g_strsplit(variable, "\n", -1);
  gem_test_bus_spawn(bus, "nonesuch");
  state = gem_test_bus_wait_settled(bus);
  g_assert_cmpstr(state, ==, "failed");
  check_manager_string(client, "ModelReason", pattern);
}

/* ---- command line and configuration ---- */

/* Everything that the daemon writes until it ends. */
static char *
read_log(GemTestBus *bus)
{
  char *text = g_malloc0(65536);
  gsize length = 0;

  g_assert_true(
      g_input_stream_read_all(g_subprocess_get_stdout_pipe(bus->daemon), text, 65535, &length, NULL, NULL));
  return text;
}

static void
check_exit(GemTestBus *bus, int status, const char *pattern)
{
  g_autofree char *text = NULL;

  bus->pipe_log = TRUE;
  gem_test_bus_spawn(bus, "/fake/ok");
  text = read_log(bus);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, status);
  if (!g_pattern_match_simple(pattern, text)) {
    g_test_message("\"%s\" is not like \"%s\"", text, pattern);
    g_test_fail();
  }
}

static void
test_bad_configuration(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();

  bus->config_text = g_strdup("[gemd]\nAskTokens=0\n");
  check_exit(bus, 2, "gemd: */gemd.conf: AskTokens=0: *1 to 1024*");
}

static void
test_bad_argument(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();

  bus->daemon_arguments = g_strsplit("--nonsense", " ", -1);
  check_exit(bus, 2, "gemd: *--nonsense*");
  g_strfreev(bus->daemon_arguments);
  bus->daemon_arguments = g_strsplit("more", " ", -1);
  check_exit(bus, 2, "gemd: *\"more\"*");
}

static void
test_version(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();

  bus->daemon_arguments = g_strsplit("--version", " ", -1);
  gem_test_bus_spawn(bus, "/fake/ok");
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

static void
test_name_taken(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) owner = gem_test_bus_connect(bus);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
      owner, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
      g_variant_new("(su)", GEM_BUS_NAME, 4), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);

  g_assert_no_error(error);
  check_exit(bus, 1, "*gemd: the name org.gemd.Gem1 cannot be owned*");
}

static void
test_bus_goes_away(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();

  g_subprocess_force_exit(bus->bus);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 1);
}

/* Callers' texts are in its memory. */
static void
test_no_core_dump(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autofree char *state = NULL;
  g_autofree char *path = NULL;
  g_autofree char *limits = NULL;
  g_autoptr(GError) error = NULL;
  GStatBuf status;

  /* A leak checker cannot look into such a process. */
  bus->daemon_environment = g_strsplit("ASAN_OPTIONS=detect_leaks=0", "\n", -1);
  bus->guarded = TRUE;
  gem_test_bus_spawn(bus, "/fake/ok");
  state = gem_test_bus_wait_settled(bus);
  g_assert_nonnull(state);
  path = g_strdup_printf("/proc/%s/limits", g_subprocess_get_identifier(bus->daemon));
  g_assert_true(g_file_get_contents(path, &limits, NULL, &error));
  g_assert_no_error(error);
  g_assert_true(g_regex_match_simple("^Max core file size +0 +0 ", limits, G_REGEX_MULTILINE, 0));
  g_free(path);
  /* Of a process that is not dumpable, /proc belongs to the superuser. */
  path = g_strdup_printf("/proc/%s/environ", g_subprocess_get_identifier(bus->daemon));
  g_assert_cmpint(g_stat(path, &status), ==, 0);
  g_assert_cmpint(status.st_uid, ==, 0);
}

/* ---- systemd ---- */

static int
listen_at(const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {10, 0};

  g_assert_cmpint(fd, >=, 0);
  g_strlcpy(address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
  g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), ==, 0);
  return fd;
}

/* Reads messages until one matches. */
static void
expect_message(int fd, const char *pattern)
{
  char message[1024];
  gssize length;

  do {
    length = recv(fd, message, sizeof message - 1, 0);
    if (length < 0) {
      g_test_message("no message like \"%s\"", pattern);
      g_test_fail();
      return;
    }
    message[length] = '\0';
  } while (!g_pattern_match_simple(pattern, message));
}

static void
test_notification(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autofree char *path = g_build_filename(bus->dir, "notify", NULL);
  g_autofree char *environment = g_strdup_printf("NOTIFY_SOCKET=%s\nWATCHDOG_USEC=200000", path);
  int fd = listen_at(path);

  bus->daemon_environment = g_strsplit(environment, "\n", -1);
  gem_test_bus_spawn(bus, "/fake/slow");
  expect_message(fd, "READY=1\nSTATUS=Loading the model");
  expect_message(fd, "WATCHDOG=1");
  expect_message(fd, "STATUS=Model fake is ready");
  expect_message(fd, "WATCHDOG=1");
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  expect_message(fd, "STOPPING=1\n*");
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
  close(fd);
}

static void
test_notification_of_failure(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autofree char *path = g_build_filename(bus->dir, "notify", NULL);
  g_autofree char *environment = g_strdup_printf("NOTIFY_SOCKET=%s", path);
  int fd = listen_at(path);

  bus->daemon_environment = g_strsplit(environment, "\n", -1);
  /* Whatever is told of files is one line: each line is an order to systemd. */
  gem_test_bus_spawn(bus, "/fake/none\nWATCHDOG=trigger\n");
  expect_message(fd, "STATUS=No model: */fake/none WATCHDOG=trigger : general.gguf is missing*");
  close(fd);
}

/* A language whose numbers have a comma, made in `folder`; FALSE: this machine cannot. */
static gboolean
make_locale(const char *folder)
{
  g_autofree char *path = g_build_filename(folder, "comma", NULL);
  g_autofree char *program = g_find_program_in_path("localedef");
  g_autoptr(GSubprocess) made =
      program != NULL
          ? g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, NULL,
                             program, "--no-archive", "-i", "de_DE", "-f", "UTF-8", path, NULL)
          : NULL;

  return made != NULL && g_subprocess_wait_check(made, NULL, NULL);
}

/* Whatever the language of the system is: what is told to programs has points in its numbers. */
static void
test_numbers(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *environment = g_strdup_printf("LOCPATH=%s\nLC_ALL=comma", folder);
  g_autofree char *text = NULL;

  if (!make_locale(folder)) {
    g_test_skip("needs localedef and the source of de_DE");
  } else {
    g_autoptr(GemTestBus) bus = gem_test_bus_new();
    g_autofree char *state = NULL;

    bus->pipe_log = TRUE;
    bus->daemon_environment = g_strsplit(environment, "\n", -1);
    gem_test_bus_spawn(bus, "/fake/ok");
    state = gem_test_bus_wait_settled(bus);
    g_assert_cmpstr(state, ==, "ready");
    text = gem_test_bus_end_log(bus);
    g_assert_true(g_regex_match_simple("is loaded, in [0-9]+\\.[0-9]{3} s", text, 0, 0));
  }
  gem_test_folder_remove(folder);
}

/* ---- the end ---- */

/* Turns end with their reason, calls with their error, and the process with success, soon. */
static void
test_terminate(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *text = NULL;
  const char *reason = NULL;
  gint64 began;
  int fd = gem_test_generate(client, session, "slow", "{'max_tokens': <uint32 4096>}", NULL);

  gem_test_run_for(100);
  began = g_get_monotonic_time();
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->reason, ==, 5);
  g_assert_true(g_variant_lookup(ear->stats, "reason", "&s", &reason));
  g_assert_cmpstr(reason, ==, "shutdown");
  text = gem_test_read_all(fd);
  g_assert_true(g_str_has_prefix(text, "slowslow"));
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
  g_assert_cmpint(g_get_monotonic_time() - began, <, gem_test_patience(2));
}

/* A reader that does not read cannot hold it up. */
static void
test_terminate_with_stuck_reader(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  gint64 began;
  int fd = gem_test_generate(client, session, "flood", "{'max_tokens': <uint32 4096>}", NULL);

  gem_test_run_for(200);
  began = g_get_monotonic_time();
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->reason, ==, 5);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
  g_assert_cmpint(g_get_monotonic_time() - began, <, gem_test_patience(3));
  close(fd);
}

/* Tries until a short turn of the session is let in, and reads it; FALSE: it never is. */
static gboolean
wait_turn(GDBusConnection *client, const char *session)
{
  gint64 deadline = gem_test_deadline(20);

  while (g_get_monotonic_time() < deadline) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = gem_test_call(
        client, session, GEM_SESSION_INTERFACE, "Generate",
        g_variant_new("(s@a{sv})", "x", gem_test_options("{'max_tokens': <uint32 1>}")), &error);

    if (reply != NULL) {
      return TRUE; /* its end is closed: nobody took it */
    }
    g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
    gem_test_run_for(10);
  }
  return FALSE;
}

/* Nor can one whose answer is written, and not yet all in the pipe: it hears that the answer is not whole. */
static void
test_terminate_with_unread_answer(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxRequestsPerUser=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *other = gem_test_create_session(client);
  g_autofree char *text = NULL;
  const char *reason = NULL;
  /* More than the pipe takes, less than what pauses the engine. */
  int fd = gem_test_generate(client, session, "flood", "{'max_tokens': <uint32 28>}", NULL);

  /* Another turn may start as soon as the engine is done. */
  g_assert_true(wait_turn(client, other));
  gem_test_ear_wait(ear, 1);
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  gem_test_ear_wait(ear, 2);
  g_assert_cmpuint(ear->reason, ==, 5);
  g_assert_true(g_variant_lookup(ear->stats, "reason", "&s", &reason));
  g_assert_cmpstr(reason, ==, "shutdown");
  text = gem_test_read_all(fd);
  g_assert_cmpuint(strlen(text), <, 28 * 4096);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

static void
test_terminate_with_calls(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_auto(GemTestAnswers) answers = {0};

  gem_test_call_many(client, 10, "Ask", "silent", "{}", &answers);
  gem_test_run_for(200);
  g_assert_cmpuint(answers.answered, ==, 0);
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  gem_test_answers_wait(&answers, 10);
  g_assert_cmpuint(answers.codes[GEM_ERROR_SHUTTING_DOWN], ==, 10);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

static void
test_terminate_while_loading(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_auto(GemTestAnswers) answers = {0};

  gem_test_bus_spawn(bus, "/fake/slow");
  gem_test_bus_wait_name(bus);
  gem_test_call_many(client, 1, "Ask", "x", "{}", &answers);
  gem_test_run_for(100);
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  gem_test_answers_wait(&answers, 1);
  g_assert_cmpuint(answers.codes[GEM_ERROR_SHUTTING_DOWN], ==, 1);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

/* ---- authorization ---- */

/* Another user may use the model, and not page. Needs the superuser, who alone can become another. */
static void
test_other_user(void)
{
  g_autofree char *setpriv = g_find_program_in_path("setpriv");
  g_autofree char *gdbus = g_find_program_in_path("gdbus");
  g_autoptr(GemTestBus) bus = NULL;
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *errors = NULL;
  g_autofree char *output = NULL;
  g_autoptr(GError) error = NULL;

  if (geteuid() != 0 || setpriv == NULL || gdbus == NULL) {
    g_test_skip("needs the superuser, setpriv and gdbus");
    return;
  }
  bus = gem_test_bus_new_with_daemon();
  process = g_subprocess_new(
      G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "setpriv", "--reuid=65534",
      "--regid=65534", "--clear-groups", "gdbus", "call", "--address", bus->address, "--dest", GEM_BUS_NAME,
      "--object-path", GEM_PATHWAY_PATH "/legal", "--method", GEM_PATHWAY_INTERFACE ".PageOut", "{}", NULL);
  g_assert_no_error(error);
  g_assert_true(g_subprocess_communicate_utf8(process, NULL, NULL, NULL, &errors, &error));
  g_assert_nonnull(strstr(errors, "org.gemd.Gem1.Error.NotAuthorized"));
  g_clear_object(&process);
  process = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "setpriv", "--reuid=65534",
                             "--regid=65534", "--clear-groups", "gdbus", "call", "--address", bus->address,
                             "--dest", GEM_BUS_NAME, "--object-path", GEM_OBJECT_PATH, "--method",
                             GEM_MANAGER_INTERFACE ".CountTokens", "abc", NULL);
  g_assert_no_error(error);
  g_assert_true(g_subprocess_communicate_utf8(process, NULL, NULL, &output, NULL, &error));
  g_assert_cmpstr(output, ==, "(uint64 3,)\n");
}

/* What callers say and get stands in no log. */
static void
test_canary(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GVariant) reply = NULL;
  g_autofree char *session = NULL;
  g_autofree char *state = NULL;
  g_autofree char *text = NULL;
  g_autofree char *streamed = NULL;

  bus->pipe_log = TRUE;
  bus->daemon_environment = g_strsplit("G_MESSAGES_DEBUG=all", "\n", -1);
  gem_test_bus_spawn(bus, "/fake/ok");
  state = gem_test_bus_wait_settled(bus);
  g_assert_nonnull(state);
  session = gem_test_create_session(client);
  streamed = gem_test_read_all(gem_test_generate(
      client, session, "canary", "{'max_tokens': <uint32 2>, 'handle_token': <'canary'>}", NULL));
  g_assert_cmpstr(streamed, ==, "canarycanary");
  reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "canary", NONE));
  g_assert_nonnull(reply);
  gem_test_manager_fails(client, "Ask",
                         g_variant_new("(s@a{sv})", "canary", gem_test_options("{'canary': <1>}")),
                         GEM_ERROR_INVALID_OPTION, "*canary*");
  text = gem_test_bus_end_log(bus);
  g_assert_nonnull(strstr(text, "model fake is loaded"));
  g_assert_null(strstr(text, "canary"));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/service/slow-model", test_slow_model);
  g_test_add_func("/bus/service/no-model", test_no_model);
  g_test_add_func("/bus/service/unknown-model", test_unknown_model);
  g_test_add_func("/bus/service/bad-configuration", test_bad_configuration);
  g_test_add_func("/bus/service/bad-argument", test_bad_argument);
  g_test_add_func("/bus/service/version", test_version);
  g_test_add_func("/bus/service/name-taken", test_name_taken);
  g_test_add_func("/bus/service/bus-goes-away", test_bus_goes_away);
  g_test_add_func("/bus/service/no-core-dump", test_no_core_dump);
  g_test_add_func("/bus/service/notification", test_notification);
  g_test_add_func("/bus/service/notification-of-failure", test_notification_of_failure);
  g_test_add_func("/bus/service/numbers", test_numbers);
  g_test_add_func("/bus/service/terminate", test_terminate);
  g_test_add_func("/bus/service/terminate-with-stuck-reader", test_terminate_with_stuck_reader);
  g_test_add_func("/bus/service/terminate-with-unread-answer", test_terminate_with_unread_answer);
  g_test_add_func("/bus/service/terminate-with-calls", test_terminate_with_calls);
  g_test_add_func("/bus/service/terminate-while-loading", test_terminate_while_loading);
  g_test_add_func("/bus/service/other-user", test_other_user);
  g_test_add_func("/bus/service/canary", test_canary);
  return g_test_run();
}
