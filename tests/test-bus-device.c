/* A device that is not ready when the service starts, and is when it is told to reload. */
#include <signal.h>
#include <string.h>

#include <glib/gstdio.h>

#include "tests/gem-test-gemd.h"
#include "tests/gem-test-modules.h"
#include "tests/gem-test-patience.h"

#define CONFIG "ContextTokens=256\nBackend=device\n"

typedef struct {
  GemTestGemd *gemd;
  char *plugin_dir; /* of the device */
  char *hold;       /* it is not ready while that file is there */
} Machine;

static Machine *
machine_new(void)
{
  Machine *self = g_new0(Machine, 1);
  g_autoptr(GStrvBuilder) arguments = g_strv_builder_new();
  g_autofree char *source = gem_test_build_path("tests", "plugin-device", "device.so", NULL);
  self->plugin_dir = gem_test_plugin_dir_new();
  g_free(gem_test_plugin_dir_add(self->plugin_dir, GEM_PLUGIN_BACKEND, "device", source));
  self->hold = g_build_filename(self->plugin_dir, "hold", NULL);
  g_assert_true(g_file_set_contents(self->hold, "", 0, NULL));
  self->gemd = gem_test_gemd_new();
  GemTestBus *bus = self->gemd->bus;
  g_strv_builder_add_many(arguments, "--plugin-dir", self->plugin_dir, NULL);
  g_strv_builder_addv(arguments, (const char **)bus->daemon_arguments);
  g_strfreev(bus->daemon_arguments);
  bus->daemon_arguments = g_strv_builder_end(arguments);
  g_autofree char *hold = g_strconcat("GEM_TEST_DEVICE_HOLD=", self->hold, NULL);
  bus->daemon_environment = g_strdupv((char *[]){hold, (char *)"GEM_TEST_DEVICE=later", NULL});
  g_free(bus->config_text);
  bus->config_text = g_strdup("[gemd]\n" CONFIG);
  return self;
}

static void
machine_free(Machine *self)
{
  gem_test_gemd_free(self->gemd);
  gem_test_folder_remove(self->plugin_dir);
  g_free(self->plugin_dir);
  g_free(self->hold);
  g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

static gboolean
is_in_use(const Machine *self)
{
  g_autoptr(GVariant) value =
      gem_test_get(self->gemd->client, GEM_BACKEND_PATH "/device", GEM_BACKEND_INTERFACE, "InUse");
  return g_variant_get_boolean(value);
}

static void
test_later(void)
{
  g_autoptr(Machine) self = machine_new();
  gem_test_gemd_start(self->gemd, "ready");
  g_assert_false(is_in_use(self));
  g_autoptr(GVariant) reason =
      gem_test_get(self->gemd->client, GEM_BACKEND_PATH "/device", GEM_BACKEND_INTERFACE, "Reason");
  g_assert_cmpstr(g_variant_get_string(reason, NULL), ==, "the test device is not ready");
  g_assert_cmpint(g_unlink(self->hold), ==, 0);
  gem_test_bus_reload(self->gemd->bus, CONFIG);
  gint64 until = gem_test_deadline(30);
  while (!is_in_use(self) && g_get_monotonic_time() < until) {
    g_usleep(10000);
  }
  g_assert_true(is_in_use(self));
}

/* The first call of the device that does not come back is under way. */
static void
wait_until_held(const Machine *self)
{
  gint64 until = gem_test_deadline(30);
  GStatBuf status = {0};
  while (g_stat(self->hold, &status) == 0 && status.st_size == 0 && g_get_monotonic_time() < until) {
    g_usleep(1000);
  }
  g_assert_cmpint(status.st_size, >, 0);
}

/* A device that hangs does not keep the service from ending in good order, in the time that it has; nor does
 * it leave a mark. */
static void
test_ends(gconstpointer behaviour)
{
  g_autoptr(Machine) self = machine_new();
  GemTestBus *bus = self->gemd->bus;
  gboolean named = g_str_equal(behaviour, "named"); /* the load of the model waits for it */
  g_autofree char *told = g_strconcat("GEM_TEST_DEVICE=", named ? "work" : behaviour, NULL);
  g_autofree char *cache = g_strconcat("CACHE_DIRECTORY=", self->plugin_dir, NULL);
  g_autofree char *hold = g_strdup(bus->daemon_environment[0]);
  g_strfreev(bus->daemon_environment);
  bus->daemon_environment = g_strdupv((char *[]){hold, told, cache, NULL});
  g_free(bus->config_text);
  bus->config_text = g_strdup(named ? "[gemd]\n" CONFIG : "[gemd]\nContextTokens=256\n");
  if (g_str_equal(behaviour, "work")) {
    gem_test_gemd_start(self->gemd, "ready");
  } else {
    gem_test_bus_spawn(bus, self->gemd->folder);
    gem_test_bus_wait_name(bus);
  }
  wait_until_held(self);
  gint64 began = g_get_monotonic_time();
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
  g_assert_cmpint(g_get_monotonic_time() - began, <, gem_test_patience(10)); /* TimeoutStopSec= */
  g_autofree char *path = g_build_filename(self->plugin_dir, "placement", NULL), *kept = NULL;
  if (g_file_get_contents(path, &kept, NULL, NULL)) {
    g_assert_null(strstr(kept, "trying"));
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/device/later", test_later);
  g_test_add_data_func("/bus/device/ends/compiles", "work", test_ends);
  g_test_add_data_func("/bus/device/ends/loads", "named", test_ends);
  g_test_add_data_func("/bus/device/ends/probes", "hang", test_ends);
  return g_test_run();
}
