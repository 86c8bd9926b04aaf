/* gem-client and the service itself, which this process plays: its models, its pathways, what it does and has
 * done. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "clients/gem-client/gem-client-exit.h"
#include "dbus/gem-names.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-folder.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
test_load(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) list = {0}, done = {0}, json = {0}, bad = {0}, refused = {0};
  g_autoptr(JsonNode) node = NULL;
  guint32 grace = 0;

  gem_test_client_run(service, ARGUMENTS("load", "--list"), NULL, &list);
  g_assert_cmpint(list.status, ==, GEM_EXIT_OK);
  g_assert_cmpstr(list.out, ==, "gem-new\ngem-test\n");
  gem_test_client_run(service, ARGUMENTS("load", "--grace", "5", "gem-new"), NULL, &done);
  g_assert_cmpstr(done.out, ==, "model gem-new is served, after 1.2 s\n");
  g_assert_cmpstr(done.err, ==, ""); /* progress is for terminals */
  g_assert_cmpint(done.status, ==, GEM_EXIT_OK);
  g_assert_true(g_variant_lookup(gem_test_service_get_options(service), "grace_seconds", "u", &grace));
  g_assert_cmpuint(grace, ==, 5);
  gem_test_client_run(service, ARGUMENTS("load", "--json", "gem-new"), NULL, &json);
  node = gem_test_parse_json(json.out);
  g_assert_cmpstr(json_object_get_string_member(json_node_get_object(node), "model"), ==, "gem-new");
  gem_test_client_run(service, ARGUMENTS("load", "bad"), NULL, &bad);
  g_assert_nonnull(strstr(bad.err, "weights are gone"));
  g_assert_cmpint(bad.status, ==, GEM_EXIT_FAILED);
  gem_test_client_run(service, ARGUMENTS("load", "error NotAuthorized"), NULL, &refused);
  g_assert_cmpint(refused.status, ==, GEM_EXIT_NOT_AUTHORIZED);
}

static void
test_load_none(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) list = {0};

  gem_test_service_take_models(service);
  gem_test_client_run(service, ARGUMENTS("load", "--list"), NULL, &list);
  g_assert_cmpint(list.status, ==, GEM_EXIT_OK);
  g_assert_cmpstr(list.out, ==, "");
  g_assert_nonnull(strstr(list.err, "there is no model in the folders"));
}

static void
test_load_interrupted(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_autoptr(GSubprocess) client = gem_test_client_start(service, ARGUMENTS("load", "held"), FALSE);
  g_auto(GemTestRun) run = {0};

  while (g_strcmp0(gem_test_service_get_text(service), "held") != 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  gem_test_client_interrupt(client);
  gem_test_client_finish(client, NULL, &run);
  g_assert_nonnull(strstr(run.err, "the model stays as it was"));
  g_assert_cmpint(run.status, ==, GEM_EXIT_INTERRUPTED);
  g_assert_cmpuint(gem_test_service_count_cancels(service), ==, 1);
}

/* The second Ctrl-C does not wait, so nothing is known of the model. */
static void
test_load_interrupted_twice(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_autoptr(GSubprocess) client = gem_test_client_start(service, ARGUMENTS("load", "stubborn"), FALSE);
  g_auto(GemTestRun) run = {0};

  while (g_strcmp0(gem_test_service_get_text(service), "stubborn") != 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  gem_test_client_interrupt(client);
  while (gem_test_service_count_cancels(service) == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  gem_test_client_interrupt(client);
  gem_test_client_finish(client, NULL, &run);
  g_assert_nonnull(strstr(run.err, "has not said what became of it; see gem-client status"));
  g_assert_null(strstr(run.err, "stays as it was"));
  g_assert_cmpint(run.status, ==, GEM_EXIT_INTERRUPTED);
}

static void
test_pathways(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) list = {0};
  g_auto(GemTestRun) out = {0};
  g_auto(GemTestRun) json = {0};
  g_auto(GemTestRun) general = {0};
  g_auto(GemTestRun) unknown = {0};
  g_autoptr(JsonNode) node = NULL;

  gem_test_client_run(service, ARGUMENTS("pathways"), NULL, &list);
  g_assert_cmpstr(list.out, ==,
                  "pathway  state     bits    file  resident  backend          reason\n"
                  "general  resident     4  1.2 MB    1.3 MB  cpu\n"
                  "legal    resident     4  1.2 MB    1.3 MB  cpu, blocks npu\n");
  gem_test_client_run(service, ARGUMENTS("pathways", "page-out", "legal"), NULL, &out);
  g_assert_nonnull(strstr(out.out, "legal    absent"));
  gem_test_client_run(service, ARGUMENTS("pathways", "--json", "page-in", "legal"), NULL, &json);
  node = gem_test_parse_json(json.out);
  g_assert_cmpstr(
      json_object_get_string_member(json_array_get_object_element(json_node_get_array(node), 0), "State"), ==,
      "resident");
  gem_test_client_run(service, ARGUMENTS("pathways", "page-out", "general"), NULL, &general);
  g_assert_cmpint(general.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(general.err, "general stays"));
  gem_test_client_run(service, ARGUMENTS("pathways", "page-in", "cooking"), NULL, &unknown);
  g_assert_cmpint(unknown.status, ==, GEM_EXIT_INVALID_INPUT);
  g_assert_nonnull(strstr(unknown.err, "there are: general, legal"));
}

static void
test_status(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) plain = {0};
  g_auto(GemTestRun) json = {0};
  g_auto(GemTestRun) wait = {0};
  g_auto(GemTestRun) failed = {0};
  g_auto(GemTestRun) other = {0};
  g_autoptr(JsonNode) node = NULL;

  gem_test_client_run(service, ARGUMENTS("status"), NULL, &plain);
  g_assert_nonnull(strstr(plain.out, "load        512.2 tokens/s; 1 text runs, 2 wait\n"));
  g_assert_nonnull(strstr(plain.out, "gem-test, ready\n"));
  g_assert_nonnull(strstr(plain.out, "2 of 2 resident: general, legal\n"));
  g_assert_nonnull(strstr(plain.out, "cpu on some CPU, kernels reference, in use\n"));
  gem_test_client_run(service, ARGUMENTS("status", "--json"), NULL, &json);
  node = gem_test_parse_json(json.out);
  g_assert_cmpstr(json_object_get_string_member(json_node_get_object(node), "ModelName"), ==, "gem-test");
  gem_test_service_refuse_stats(service);
  gem_test_client_run(service, ARGUMENTS("status"), NULL, &other);
  g_assert_cmpint(other.status, ==, GEM_EXIT_OK);
  g_assert_cmpstr(other.err, ==, "");
  g_assert_null(strstr(other.out, "load"));
  gem_test_service_set_model_state(service, "loading");
  gem_test_client_run(service, ARGUMENTS("status", "--wait", "0.2"), NULL, &wait);
  g_assert_cmpint(wait.status, ==, GEM_EXIT_NOT_READY);
  gem_test_service_set_model_state(service, "failed");
  gem_test_client_run(service, ARGUMENTS("status", "--wait", "30"), NULL, &failed);
  g_assert_cmpint(failed.status, ==, GEM_EXIT_NOT_READY);
}

static void
test_stats(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) plain = {0};
  g_auto(GemTestRun) json = {0};
  g_auto(GemTestRun) refused = {0};
  g_autoptr(JsonNode) node = NULL;
  JsonObject *answered;

  gem_test_client_run(service, ARGUMENTS("stats"), NULL, &plain);
  g_assert_cmpint(plain.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(plain.out, "up          1 h 2 min 3 s\n"));
  g_assert_nonnull(strstr(plain.out, "answered    Embed 5, Ask 3\n"));
  g_assert_nonnull(strstr(plain.out, "refused     Busy 2\n"));
  g_assert_nonnull(strstr(plain.out, "kept by     sessions 4, model 1\n"));
  g_assert_nonnull(strstr(plain.out, "pathways    none\n"));
  g_assert_nonnull(
      strstr(plain.out, "a token     half within 2.00 ms, 95 of 100 within 3.00, 99 within 4.00\n"));
  g_assert_nonnull(strstr(plain.out, "given back  2.0 MB;"));
  gem_test_client_run(service, ARGUMENTS("stats", "--json"), NULL, &json);
  node = gem_test_parse_json(json.out);
  answered = json_object_get_object_member(json_node_get_object(node), "answered");
  g_assert_cmpint(json_object_get_int_member(answered, "Embed"), ==, 5);
  gem_test_service_refuse_stats(service);
  gem_test_client_run(service, ARGUMENTS("stats"), NULL, &refused);
  g_assert_cmpint(refused.status, !=, GEM_EXIT_OK);
  g_assert_cmpstr(refused.out, ==, "");
  g_assert_nonnull(strstr(refused.err, "not you"));
}

/* What a terminal would obey is shown in its place. */
static void
test_status_shows_control_bytes(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};

  gem_test_service_set_model_state(service, "odd\033[2J");
  gem_test_client_run(service, ARGUMENTS("status"), NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(run.out, "gem-test, odd^[[2J\n"));
  g_assert_null(strchr(run.out, '\033'));
}

static void
test_status_unreached(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) no_bus = {0}, no_service = {0};

  gem_test_client_run(service,
                      ARGUMENTS("status", "--wait", "0.1", "--address", "unix:path=/nonexistent/bus"), NULL,
                      &no_bus);
  g_assert_cmpint(no_bus.status, ==, GEM_EXIT_UNREACHABLE);
  g_assert_nonnull(strstr(no_bus.err, "not ready after 0.1 seconds: no connection to"));
  gem_test_service_leave(service);
  gem_test_client_run(service, ARGUMENTS("status", "--wait", "0.1"), NULL, &no_service);
  g_assert_cmpint(no_service.status, ==, GEM_EXIT_UNREACHABLE);
  g_assert_nonnull(strstr(no_service.err, "the service is not there"));
}

/* ---- a bus that cannot start the service ---- */

typedef struct {
  const char *error; /* the D-Bus name; NULL: there is a service, which does not answer */
  GDBusConnection *connection;
  guint starts;
  gboolean moves; /* the service that is found first has just left, and its successor does answer */
  guint found;
} DeadEnd;

static void
on_bus_call(GDBusConnection *connection,
            const char *sender,
            const char *path,
            const char *interface,
            const char *method,
            GVariant *parameters,
            GDBusMethodInvocation *invocation,
            gpointer data)
{
  DeadEnd *self = data;
  const char *name = "";

  if (g_str_equal(method, "Hello")) {
    g_dbus_method_invocation_return_value(invocation, g_variant_new("(s)", ":1.1"));
  } else if (g_str_equal(method, "GetNameOwner") && self->error == NULL) {
    g_variant_get(parameters, "(&s)", &name);
    if (g_str_equal(name, GEM_BUS_NAME)) {
      name = self->moves && self->found++ > 0 ? ":1.3" : ":1.2";
    }
    g_dbus_method_invocation_return_value(invocation, g_variant_new("(s)", name));
  } else if (g_str_equal(method, "GetNameOwner")) {
    g_dbus_method_invocation_return_dbus_error(invocation, "org.freedesktop.DBus.Error.NameHasNoOwner",
                                               "nobody has it");
  } else {
    self->starts++;
    g_dbus_method_invocation_return_dbus_error(invocation, self->error, "the unit is what it is");
  }
}

static void
send(GDBusConnection *connection, GDBusMessage *message, const char *sender, GVariant *body)
{
  g_dbus_message_set_sender(message, sender);
  if (body != NULL) {
    g_dbus_message_set_body(message, body);
  }
  g_dbus_connection_send_message(connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
  g_object_unref(message);
}

static void
answer_as_successor(GDBusConnection *connection, GDBusMessage *call)
{
  static const char job[] = GEM_JOB_PATH "/one";

  if (g_str_equal(g_dbus_message_get_member(call), "GetAll")) {
    send(connection, g_dbus_message_new_method_reply(call), ":1.3",
         g_variant_new_parsed("({'Models': <['gem-next']>},)"));
  } else {
    send(connection, g_dbus_message_new_method_reply(call), ":1.3", g_variant_new("(o)", job));
    send(connection, g_dbus_message_new_signal(job, GEM_JOB_INTERFACE, "Completed"), ":1.3",
         g_variant_new_parsed("('done', {'model': <'gem-next'>, 'seconds': <1.5>})"));
  }
}

/* What is for the service is never answered; or what its successor gets alone. */
static GDBusMessage *
on_message(GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  const DeadEnd *self = data;
  const char *destination = incoming ? g_dbus_message_get_destination(message) : NULL;

  if (g_strcmp0(destination, ":1.2") != 0 && g_strcmp0(destination, ":1.3") != 0) {
    return message;
  }
  if (self->moves && g_strcmp0(destination, ":1.3") == 0) {
    answer_as_successor(connection, message);
  } else if (self->moves) {
    send(
        connection,
        g_dbus_message_new_method_error_literal(message, "org.freedesktop.DBus.Error.ServiceUnknown", "gone"),
        "org.freedesktop.DBus", NULL);
  }
  g_object_unref(message);
  return NULL;
}

static gboolean
on_bus_connection(GDBusServer *server, GDBusConnection *connection, gpointer data)
{
  static const GDBusInterfaceVTable vtable = {.method_call = on_bus_call};
  static const char xml[] =
      "<node><interface name='org.freedesktop.DBus'>"
      "<method name='Hello'><arg type='s' direction='out'/></method>"
      "<method name='GetNameOwner'><arg type='s' direction='in'/><arg type='s' direction='out'/></method>"
      "<method name='StartServiceByName'><arg type='s' direction='in'/><arg type='u' direction='in'/>"
      "<arg type='u' direction='out'/></method>"
      "</interface></node>";
  g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);

  g_assert_cmpuint(g_dbus_connection_register_object(connection, "/org/freedesktop/DBus", node->interfaces[0],
                                                     &vtable, data, NULL, NULL),
                   >, 0);
  g_dbus_connection_add_filter(connection, on_message, data, NULL);
  ((DeadEnd *)data)->connection = g_object_ref(connection);
  return TRUE;
}

/* What gem-client, with these arguments and the address of such a bus, makes of it. */
static void
run_on_dead_end(DeadEnd *dead_end, const char *const *arguments, GemTestRun *ret_run)
{
  g_autofree char *dir = gem_test_folder_new();
  g_autofree char *address = g_strdup_printf("unix:path=%s/bus", dir);
  g_autofree char *guid = g_dbus_generate_guid();
  g_autoptr(GError) error = NULL;
  g_autoptr(GDBusServer) server =
      g_dbus_server_new_sync(address, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL, &error);
  g_autoptr(GStrvBuilder) words = g_strv_builder_new();
  g_auto(GStrv) all = NULL;

  g_assert_no_error(error);
  g_signal_connect(server, "new-connection", G_CALLBACK(on_bus_connection), dead_end);
  g_dbus_server_start(server);
  g_strv_builder_addv(words, (const char **)arguments);
  g_strv_builder_add_many(words, "--address", address, NULL);
  all = g_strv_builder_end(words);
  gem_test_client_run(NULL, (const char *const *)all, NULL, ret_run);
  g_clear_object(&dead_end->connection);
  g_dbus_server_stop(server);
  gem_test_folder_remove(dir);
}

static void
check_failed_start(const char *error_name, int status)
{
  DeadEnd dead_end = {.error = error_name};
  g_auto(GemTestRun) run = {0};

  run_on_dead_end(&dead_end, ARGUMENTS("tokens", "x"), &run);
  g_test_message("%s: %s", error_name, run.err);
  g_assert_cmpuint(dead_end.starts, ==, 1);
  g_assert_cmpint(run.status, ==, status);
  g_assert_nonnull(strstr(run.err, "the service is not there: the unit is what it is"));
}

/* A service that does not answer is waited for no longer than one that is not there. */
static void
test_status_unanswered(void)
{
  DeadEnd dead_end = {0};
  g_auto(GemTestRun) run = {0};

  run_on_dead_end(&dead_end, ARGUMENTS("status", "--wait", "0.1"), &run);
  g_assert_nonnull(strstr(run.err, "not ready after 0.1 seconds: "));
  g_assert_cmpint(run.status, ==, GEM_EXIT_UNREACHABLE);
}

/* The errors of a service manager are those of a service that is not there; a refusal is a refusal. */
static void
test_failed_start(void)
{
  check_failed_start("org.freedesktop.systemd1.UnitMasked", GEM_EXIT_UNREACHABLE);
  check_failed_start("org.freedesktop.systemd1.NoSuchUnit", GEM_EXIT_UNREACHABLE);
  check_failed_start("org.freedesktop.DBus.Error.TimedOut", GEM_EXIT_UNREACHABLE);
  check_failed_start("org.freedesktop.DBus.Error.Spawn.ChildExited", GEM_EXIT_UNREACHABLE);
  check_failed_start("org.freedesktop.DBus.Error.AccessDenied", GEM_EXIT_NOT_AUTHORIZED);
}

/* One that was idle has left since it was found: the next one is asked, whatever the verb begins with. */
static void
test_successor(void)
{
  DeadEnd lists = {.moves = TRUE}, loads = {.moves = TRUE};
  g_auto(GemTestRun) list = {0}, load = {0};

  run_on_dead_end(&lists, ARGUMENTS("load", "--list"), &list);
  g_assert_cmpstr(list.err, ==, "");
  g_assert_cmpstr(list.out, ==, "gem-next\n");
  run_on_dead_end(&loads, ARGUMENTS("load", "gem-next"), &load);
  g_assert_cmpstr(load.err, ==, "");
  g_assert_cmpint(load.status, ==, GEM_EXIT_OK);
}

static gboolean
page_legal_out(gpointer data)
{
  gem_test_service_set_legal_state(data, "absent");
  gem_test_service_set_model_state(data, "odd\033[2J");
  return G_SOURCE_REMOVE;
}

static gboolean
leave(gpointer data)
{
  gem_test_service_leave(data);
  return G_SOURCE_REMOVE;
}

static void
test_monitor(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_autoptr(GSubprocess) client =
      gem_test_client_start(service, ARGUMENTS("monitor", "--interval", "0.05"), FALSE);
  g_auto(GemTestRun) run = {0};

  gem_test_client_wait_output(client);
  g_timeout_add(300, page_legal_out, service);
  g_timeout_add(600, leave, service);
  g_timeout_add(900, gem_test_client_interrupt, client);
  gem_test_client_finish(client, NULL, &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_nonnull(strstr(run.out, "service        is there\n"));
  g_assert_nonnull(strstr(run.out, "model          is ready\n"));
  g_assert_nonnull(strstr(run.out, "model          is odd^[[2J\n"));
  g_assert_nonnull(strstr(run.out, "legal          is resident\n"));
  g_assert_nonnull(strstr(run.out, "legal          is absent\n"));
  g_assert_nonnull(strstr(run.out, "load           tokens/s 512\n"));
  g_assert_nonnull(strstr(run.out, "service        is not there\n"));
  /* Only changes are told. */
  g_assert_null(strstr(strstr(run.out, "general        is resident\n") + 1, "general        is resident\n"));
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/client/pathways", test_pathways);
  g_test_add_func("/client/load/whole", test_load);
  g_test_add_func("/client/load/none", test_load_none);
  g_test_add_func("/client/load/interrupted", test_load_interrupted);
  g_test_add_func("/client/load/interrupted-twice", test_load_interrupted_twice);
  g_test_add_func("/client/status/whole", test_status);
  g_test_add_func("/client/status/control-bytes", test_status_shows_control_bytes);
  g_test_add_func("/client/status/unreached", test_status_unreached);
  g_test_add_func("/client/status/unanswered", test_status_unanswered);
  g_test_add_func("/client/successor", test_successor);
  g_test_add_func("/client/failed-start", test_failed_start);
  g_test_add_func("/client/stats", test_stats);
  g_test_add_func("/client/monitor", test_monitor);
  return g_test_run();
}
