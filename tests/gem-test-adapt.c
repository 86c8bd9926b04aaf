#include "tests/gem-test-adapt.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/gem-test-learned-file.h"
#include "tests/gem-test-patience.h"

#define PATIENCE_SECONDS 30
#define NONE             gem_test_options("{}")

void
gem_test_adapt_set_environment(GemTestAdapt *self, gboolean has_trainer)
{
  g_autofree char *program = g_build_filename(g_getenv("GEM_BUILD_DIR"), "tests", "fake-trainer", NULL);
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  g_autofree char *trainer = g_strconcat("GEMD_ADAPT_PROGRAM=", has_trainer ? program : "/nowhere", NULL);
  g_autofree char *state = g_strconcat("STATE_DIRECTORY=", self->state, NULL);

  g_strv_builder_add_many(builder, trainer, state, NULL);
  g_strfreev(self->gemd->bus->daemon_environment);
  self->gemd->bus->daemon_environment = g_strv_builder_end(builder);
}

void
gem_test_adapt_set_up(GemTestAdapt *self, gconstpointer data)
{
  const GemTestAdaptCase *one = data;

  self->gemd = gem_test_gemd_new();
  if (one->config != NULL) {
    g_autofree char *text = g_steal_pointer(&self->gemd->bus->config_text);

    self->gemd->bus->config_text = g_strconcat(text, one->config, NULL);
  }
  self->state = gem_test_folder_new();
  self->held = g_build_filename(self->gemd->folder, "held", NULL);
  gem_test_adapt_set_environment(self, TRUE);
  gem_test_gemd_start(self->gemd, "ready");
  self->ear = gem_test_job_ear_new(self->gemd->client);
}

void
gem_test_adapt_tear_down(GemTestAdapt *self, gconstpointer data)
{
  g_unlink(self->held); /* whoever waits ends */
  gem_test_job_ear_free(self->ear);
  gem_test_gemd_free(self->gemd);
  gem_test_folder_remove(self->state);
  g_free(self->state);
  g_free(self->held);
}

void
gem_test_adapt_add(const GemTestAdaptTest *tests)
{
  for (; tests->path != NULL; tests++) {
    g_test_add(tests->path, GemTestAdapt, &tests->one, gem_test_adapt_set_up, tests->run,
               gem_test_adapt_tear_down);
  }
}

int
gem_test_adapt_text(const char *orders, gsize bytes, guint seals)
{
  g_autoptr(GString) text = g_string_new(orders);
  int fd = memfd_create("text", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_string_append(text, "\n\n");
  while (text->len < bytes) {
    g_string_append(text, "The p\xc3\xa4rson shall pay. ");
  }
  g_assert_cmpint(write(fd, text->str, text->len), ==, (gssize)text->len);
  g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
  return fd;
}

/* Orders to learn `name`, sealed. */
int
gem_test_adapt_orders(GemTestAdapt *self, const char *name, const char *order, gboolean held)
{
  g_autofree char *learned = gem_test_learned_file_write(self->gemd->folder, name, 0);
  g_autofree char *text = held ? g_strdup_printf("hold %s\n%s %s", self->held, order, learned)
                               : g_strdup_printf("%s %s", order, learned);

  return gem_test_adapt_text(text, GEM_TEST_ADAPT_BYTES, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
}

void
gem_test_adapt_hold(GemTestAdapt *self)
{
  g_assert_true(g_file_set_contents(self->held, "", 0, NULL));
}

/* Takes `text`. The job's path; NULL with `error`. */
char *
gem_test_adapt_call(GDBusConnection *client, const char *name, int text, const char *options, GError **error)
{
  g_autoptr(GUnixFDList) descriptors = g_unix_fd_list_new_from_array(&text, 1);
  g_autoptr(GVariant) reply = g_dbus_connection_call_with_unix_fd_list_sync(
      client, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "AdaptDomain",
      g_variant_new("(sh@a{sv})", name, 0, gem_test_options(options)), G_VARIANT_TYPE("(o)"),
      G_DBUS_CALL_FLAGS_NONE, (int)(gem_test_patience(PATIENCE_SECONDS) / 1000), descriptors, NULL, NULL,
      error);
  char *path = NULL;

  if (reply == NULL) {
    g_dbus_error_strip_remote_error(*error);
    return NULL;
  }
  g_variant_get(reply, "(o)", &path);
  return path;
}

void
gem_test_adapt_fails(
    GemTestAdapt *self, const char *name, int text, const char *options, GemError code, const char *pattern)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *job = gem_test_adapt_call(self->gemd->client, name, text, options, &error);

  g_assert_null(job);
  gem_test_error_is(error, code, pattern);
}

char *
gem_test_adapt_start(GemTestAdapt *self, const char *name, const char *order, gboolean held)
{
  g_autoptr(GError) error = NULL;
  char *job = gem_test_adapt_call(self->gemd->client, name, gem_test_adapt_orders(self, name, order, held),
                                  "{}", &error);

  g_assert_no_error(error);
  return job;
}

/* What LearnedDomains tells of a domain; NULL: nothing. */
GVariant *
gem_test_adapt_find(GDBusConnection *client, const char *name)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "LearnedDomains", g_variant_new("(@a{sv})", NONE));
  g_autoptr(GVariant) domains = g_variant_get_child_value(reply, 0);

  for (gsize i = 0; i < g_variant_n_children(domains); i++) {
    g_autoptr(GVariant) domain = g_variant_get_child_value(domains, i);
    const char *its = NULL;

    g_assert_true(g_variant_lookup(domain, "name", "&s", &its));
    if (g_str_equal(its, name)) {
      return g_steal_pointer(&domain);
    }
  }
  return NULL;
}

void
gem_test_adapt_check_state(GemTestAdapt *self, const char *name, const char *expected)
{
  g_autoptr(GVariant) domain = gem_test_adapt_find(self->gemd->client, name);
  const char *state = NULL;

  g_assert_nonnull(domain);
  g_assert_true(g_variant_lookup(domain, "state", "&s", &state));
  g_assert_cmpstr(state, ==, expected);
}

static gboolean
is_in(GDBusConnection *client, const char *name, const char *expected, const char *phase)
{
  g_autoptr(GVariant) domain = gem_test_adapt_find(client, name);
  const char *state = "", *at = NULL;

  return domain != NULL && g_variant_lookup(domain, "state", "&s", &state) && g_str_equal(state, expected) &&
         (phase == NULL || (g_variant_lookup(domain, "phase", "&s", &at) && g_str_equal(at, phase)));
}

void
gem_test_adapt_wait_state(GemTestAdapt *self, const char *name, const char *expected, const char *phase)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (!is_in(self->gemd->client, name, expected, phase)) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_usleep(5000);
  }
}

/* ---- steps ---- */

void
gem_test_adapt_restart(GemTestAdapt *self, int signal_number, const char *expected)
{
  g_subprocess_send_signal(self->gemd->bus->daemon, signal_number);
  gem_test_bus_wait_exit(self->gemd->bus);
  if (expected != NULL) {
    gem_test_gemd_start(self->gemd, expected);
  }
}

char *
gem_test_adapt_start_orders(GemTestAdapt *self, const char *name, const char *orders)
{
  g_autofree char *learned = gem_test_learned_file_write(self->gemd->folder, name, 0);
  g_autofree char *text = g_strdup_printf("%slearn %s", orders, learned);
  g_autoptr(GError) error = NULL;
  char *job = gem_test_adapt_call(self->gemd->client, name,
                                  gem_test_adapt_text(text, GEM_TEST_ADAPT_BYTES, 0), "{}", &error);

  g_assert_no_error(error);
  return job;
}

void
gem_test_adapt_learn(GemTestAdapt *self, const char *name, guint number)
{
  g_autofree char *job = gem_test_adapt_start_orders(self, name, "");

  gem_test_job_ear_wait(self->ear, number, "done");
}

void
gem_test_adapt_manager(GemTestAdapt *self, const char *method, const char *name)
{
  g_variant_unref(gem_test_manager(self->gemd->client, method, g_variant_new("(s@a{sv})", name, NONE)));
}

GVariant *
gem_test_adapt_make_share(const char *name, gboolean shared)
{
  return g_variant_new("(usb@a{sv})", (guint32)geteuid(), name, shared, NONE);
}

void
gem_test_adapt_share(GemTestAdapt *self, const char *name, gboolean shared)
{
  g_variant_unref(
      gem_test_manager(self->gemd->client, "ShareDomain", gem_test_adapt_make_share(name, shared)));
}

void
gem_test_adapt_check_boolean(GemTestAdapt *self, const char *name, const char *key, gboolean expected)
{
  g_autoptr(GVariant) domain = gem_test_adapt_find(self->gemd->client, name);
  gboolean value = !expected;

  g_assert_nonnull(domain);
  g_assert_true(g_variant_lookup(domain, key, "b", &value));
  g_assert_cmpint(value, ==, expected);
}

char *
gem_test_adapt_path(GemTestAdapt *self, const char *user, const char *name, const char *file)
{
  g_autofree char *own = g_strdup_printf("%u", geteuid());

  return g_build_filename(self->state, "learned", user != NULL ? user : own, name, file, NULL);
}

int
gem_test_adapt_hold_open(const char *path)
{
  int fd = open(path, O_RDWR | O_CLOEXEC);

  g_assert_cmpint(fd, >=, 0);
  signal(SIGIO, SIG_IGN); /* that somebody waits */
  if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}
