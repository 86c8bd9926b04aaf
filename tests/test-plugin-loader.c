/*
 * The loader: what it finds, what it takes, what it refuses and why, and that closing really unmaps.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/gem-test-modules.h"

typedef struct {
  char *dir;
  GemPluginLoader *loader; /* over dir alone */
} Fixture;

static void
fixture_set_up(Fixture *fixture, gconstpointer data)
{
  fixture->dir = gem_test_plugin_dir_new();
  const char *dirs[] = {fixture->dir, NULL};
  fixture->loader = gem_plugin_loader_new(dirs);
}

static void
fixture_tear_down(Fixture *fixture, gconstpointer data)
{
  gem_plugin_loader_free(fixture->loader);
  gem_test_folder_remove(fixture->dir);
  g_free(fixture->dir);
}

/* One of the modules that were built for this test, as DIR/attention/NAME.so; transfer full. */
static char *
add_built(Fixture *fixture, const char *built, const char *name)
{
  g_autofree char *file = g_strconcat(built, ".so", NULL);
  g_autofree char *source = gem_test_build_path("tests", "plugin-broken", file, NULL);
  return gem_test_plugin_dir_add(fixture->dir, GEM_PLUGIN_ATTENTION, name, source);
}

/* The error is of that code and its message has both parts, of which the first is the thing at fault. */
static void
assert_refused(
    Fixture *fixture, const char *name, GemPluginLoaderError code, const char *thing, const char *reason)
{
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_plugin_loader_open(fixture->loader, GEM_PLUGIN_ATTENTION, name, &error));
  g_assert_error(error, GEM_PLUGIN_LOADER_ERROR, (int)code);
  g_test_message("%s", error->message);
  g_assert_nonnull(strstr(error->message, thing));
  g_assert_nonnull(strstr(error->message, reason));
}

static void
assert_opens(Fixture *fixture, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemPluginModule) module =
      gem_plugin_loader_open(fixture->loader, GEM_PLUGIN_ATTENTION, name, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(gem_plugin_module_get(module)->name, ==, name);
}

static void
test_open_and_close(Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = add_built(fixture, "whole", "whole");
  for (int round = 0; round < 3; round++) {
    g_autoptr(GError) error = NULL;
    GemPluginModule *module = gem_plugin_loader_open(fixture->loader, GEM_PLUGIN_ATTENTION, "whole", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(gem_plugin_module_get_path(module), ==, path);
    g_assert_cmpuint(gem_plugin_module_get(module)->kind, ==, GEM_PLUGIN_ATTENTION);
    g_assert_true(gem_test_is_mapped(path));
    gem_plugin_module_close(module);
    g_assert_false(gem_test_is_mapped(path));
  }
}

/* A refused module is not left in memory either. */
static void
test_description(Fixture *fixture, gconstpointer data)
{
  static const struct {
    const char *name;
    GemPluginLoaderError code;
    const char *reason;
  } cases[] = {
      {"other-major", GEM_PLUGIN_LOADER_ERROR_ABI, "plugin ABI 2.x, this service has 1.5"},
      {"newer-minor", GEM_PLUGIN_LOADER_ERROR_ABI, "plugin ABI 1.6, newer than"},
      {"small-struct", GEM_PLUGIN_LOADER_ERROR_ABI, "its description has"},
      {"other-kind", GEM_PLUGIN_LOADER_ERROR_ABI, "is of kind 1, the folder “attention” holds kind 2"},
      {"other-name", GEM_PLUGIN_LOADER_ERROR_ABI, "calls itself “hole”"},
      {"no-license", GEM_PLUGIN_LOADER_ERROR_ABI, "states no license"},
      {"small-table", GEM_PLUGIN_LOADER_ERROR_ABI, "its table of functions has"},
      {"no-table", GEM_PLUGIN_LOADER_ERROR_ABI, "its table of functions has 0 bytes"},
      {"no-function", GEM_PLUGIN_LOADER_ERROR_ABI, "function 2 of 7"},
      {"no-description", GEM_PLUGIN_LOADER_ERROR_ABI, "describes nothing"},
      {"no-entry", GEM_PLUGIN_LOADER_ERROR_BROKEN, "exports no gem_plugin_describe"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    /* In the place of the whole one: the file has the name that the module states. */
    g_autofree char *path = add_built(fixture, cases[i].name, "whole");
    assert_refused(fixture, "whole", cases[i].code, path, cases[i].reason);
    g_assert_false(gem_test_is_mapped(path));
    g_assert_cmpint(g_unlink(path), ==, 0);
  }
}

static void
test_not_a_library(Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = add_built(fixture, "whole", "whole");
  g_assert_true(g_file_set_contents(path, "not an ELF file, whatever its name says\n", -1, NULL));
  g_assert_cmpint(g_chmod(path, 0644), ==, 0);
  assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_BROKEN, path, "cannot be loaded");

  /* The beginning of a real one. */
  g_autofree char *whole = gem_test_build_path("tests", "plugin-broken", "whole.so", NULL);
  g_autofree char *contents = NULL;
  g_assert_true(g_file_get_contents(whole, &contents, NULL, NULL));
  g_assert_true(g_file_set_contents(path, contents, 200, NULL));
  g_assert_cmpint(g_chmod(path, 0644), ==, 0);
  assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_BROKEN, path, "cannot be loaded");
}

static void
test_mode(Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = add_built(fixture, "whole", "whole");
  g_autofree char *folder = g_path_get_dirname(path);
  const char *places[] = {path, folder, fixture->dir};
  static const struct {
    mode_t extra;
    const char *reason;
  } modes[] = {{S_IWGRP, "is writable by its group"}, {S_IWOTH, "is writable by its group or others"}};

  for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
    struct stat status;
    g_assert_cmpint(stat(places[i], &status), ==, 0);
    for (gsize j = 0; j < G_N_ELEMENTS(modes); j++) {
      g_autofree char *thing = g_strconcat(places[i], ": ", NULL);
      g_assert_cmpint(g_chmod(places[i], (status.st_mode & 07777) | modes[j].extra), ==, 0);
      assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_UNSAFE, thing, modes[j].reason);
      g_assert_false(gem_test_is_mapped(path));
    }
    g_assert_cmpint(g_chmod(places[i], status.st_mode & 07777), ==, 0);
    assert_opens(fixture, "whole");
  }
}

static void
test_file_type(Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = add_built(fixture, "whole", "whole");
  g_autofree char *folder = g_path_get_dirname(path);
  g_autofree char *real = g_strconcat(path, ".real", NULL);
  g_autofree char *elsewhere = g_build_filename(fixture->dir, "elsewhere", NULL);

  g_assert_cmpint(g_rename(path, real), ==, 0);
  g_assert_cmpint(symlink(real, path), ==, 0);
  assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_UNSAFE, path, "a symbolic link");

  g_assert_cmpint(g_unlink(path), ==, 0);
  g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
  assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_UNSAFE, path, "not a regular file");

  g_assert_cmpint(g_rmdir(path), ==, 0);
  g_assert_cmpint(g_rename(real, path), ==, 0);
  assert_opens(fixture, "whole");

  g_assert_cmpint(g_rename(folder, elsewhere), ==, 0);
  g_assert_cmpint(symlink(elsewhere, folder), ==, 0);
  assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_UNSAFE, folder, "a symbolic link");
}

/* Whoever runs the service may own the modules of a development folder; nobody else but root may. */
static void
test_owner(Fixture *fixture, gconstpointer data)
{
  const uid_t nobody = 65534;
  if (geteuid() != 0) {
    g_test_skip("only root can give files away");
    return;
  }
  g_autofree char *path = add_built(fixture, "whole", "whole");
  g_autofree char *folder = g_path_get_dirname(path);
  const char *places[] = {path, folder, fixture->dir};

  for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
    g_autofree char *thing = g_strconcat(places[i], ": belongs to user 65534", NULL);
    g_assert_cmpint(chown(places[i], nobody, nobody), ==, 0);
    assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_UNSAFE, thing, "must belong to root");
    g_assert_cmpint(chown(places[i], 0, 0), ==, 0);
  }
  assert_opens(fixture, "whole");

  for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
    g_assert_cmpint(chown(places[i], nobody, nobody), ==, 0);
  }
  g_assert_cmpint(seteuid(nobody), ==, 0);
  assert_opens(fixture, "whole");
  g_assert_cmpint(seteuid(0), ==, 0);
}

static void
test_missing(Fixture *fixture, gconstpointer data)
{
  assert_refused(fixture, "whole", GEM_PLUGIN_LOADER_ERROR_MISSING, "attention/whole.so", fixture->dir);

  static const char *const names[] = {"", "../attention/whole", "whole.so", "Whole", "who le"};
  g_autofree char *path = add_built(fixture, "whole", "whole");
  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    assert_refused(fixture, names[i], GEM_PLUGIN_LOADER_ERROR_MISSING, names[i], "is no name of a module");
  }

  g_autoptr(GemPluginLoader) empty = gem_plugin_loader_new(NULL);
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_plugin_loader_open(empty, GEM_PLUGIN_ATTENTION, "whole", &error));
  g_assert_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_MISSING);
}

/* The first folder wins, also when its module is refused: what stands in front must be put right. */
static void
test_order_of_folders(Fixture *fixture, gconstpointer data)
{
  g_autofree char *first_path = add_built(fixture, "whole", "whole");
  g_autofree char *whole = gem_test_build_path("tests", "plugin-broken", "whole.so", NULL);
  g_autofree char *second_dir = gem_test_plugin_dir_new();
  g_autofree char *second_path = gem_test_plugin_dir_add(second_dir, GEM_PLUGIN_ATTENTION, "whole", whole);
  const char *dirs[] = {"/nonexistent", fixture->dir, second_dir, NULL};
  g_autoptr(GemPluginLoader) loader = gem_plugin_loader_new(dirs);
  g_autoptr(GError) error = NULL;

  GemPluginModule *module = gem_plugin_loader_open(loader, GEM_PLUGIN_ATTENTION, "whole", &error);
  g_assert_no_error(error);
  g_assert_cmpstr(gem_plugin_module_get_path(module), ==, first_path);
  gem_plugin_module_close(module);

  g_assert_cmpint(g_chmod(first_path, 0666), ==, 0);
  g_assert_null(gem_plugin_loader_open(loader, GEM_PLUGIN_ATTENTION, "whole", &error));
  g_assert_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_UNSAFE);
  g_clear_error(&error);

  g_assert_cmpint(g_unlink(first_path), ==, 0);
  module = gem_plugin_loader_open(loader, GEM_PLUGIN_ATTENTION, "whole", &error);
  g_assert_no_error(error);
  g_assert_cmpstr(gem_plugin_module_get_path(module), ==, second_path);
  gem_plugin_module_close(module);
  gem_test_folder_remove(second_dir);
}

static void
test_list(Fixture *fixture, gconstpointer data)
{
  g_autofree char *whole = add_built(fixture, "whole", "whole");
  g_autofree char *other = add_built(fixture, "other-major", "other-major");
  g_autofree char *folder = g_path_get_dirname(whole);
  g_autofree char *note = g_build_filename(folder, "README.md", NULL);
  g_autofree char *badly_named = g_build_filename(folder, "Not_A_Name.so", NULL);
  g_assert_true(g_file_set_contents(note, "", 0, NULL));
  g_assert_true(g_file_set_contents(badly_named, "", 0, NULL));
  const char *dirs[] = {fixture->dir, "/nonexistent", fixture->dir, NULL};
  g_autoptr(GemPluginLoader) loader = gem_plugin_loader_new(dirs);

  g_auto(GStrv) found = gem_plugin_loader_list(loader, GEM_PLUGIN_ATTENTION);
  g_autofree char *names = g_strjoinv(" ", found);
  g_assert_cmpstr(names, ==, "other-major whole");
  g_assert_false(gem_test_is_mapped(whole));

  g_auto(GStrv) none = gem_plugin_loader_list(loader, GEM_PLUGIN_ROUTER);
  g_assert_cmpuint(g_strv_length(none), ==, 0);
}

/* Of all dynamic symbols that the file defines, the entry is the only one. */
static void
assert_exports_entry_alone(const char *path)
{
  const char *readelf[] = {"readelf", "--dyn-syms", "--wide", path, NULL};
  g_autofree char *output = NULL;
  g_autoptr(GError) error = NULL;
  int status;
  g_spawn_sync(NULL, (char **)readelf, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, &status, &error);
  g_assert_no_error(error);
  g_assert_true(g_spawn_check_wait_status(status, NULL));

  guint entries = 0;
  g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
  for (char **line = lines; *line != NULL; line++) {
    if (strstr(*line, " GLOBAL ") == NULL || strstr(*line, " UND ") != NULL) {
      continue;
    }
    g_test_message("%s: %s", path, *line);
    g_assert_true(g_str_has_suffix(*line, " " GEM_PLUGIN_ENTRY));
    entries++;
  }
  g_assert_cmpuint(entries, ==, 1);
}

/* Opens and closes one module of this tree: it is mapped in between, and then no longer. */
static void
assert_comes_and_goes(GemPluginKind kind, const char *name)
{
  g_autoptr(GemPluginModule) module = gem_test_module_open(kind, name);
  g_autofree char *path = g_strdup(gem_plugin_module_get_path(module));
  g_assert_true(gem_test_is_mapped(path));
  gem_plugin_module_close(g_steal_pointer(&module));
  g_assert_false(gem_test_is_mapped(path));
  assert_exports_entry_alone(path);
}

/* The modules of this tree: all there, each opens, shows its entry alone, and is gone when it is closed. */
static void
test_own_modules(void)
{
  static const struct {
    GemPluginKind kind;
    const char *names;
  } expected[] = {
      {GEM_PLUGIN_ROUTER, "bert"},
      {GEM_PLUGIN_ATTENTION, "dense scar"},
      {GEM_PLUGIN_PATHWAY,
       "adaptive commonsense conversational finance general healthcare learned legal multilingual stem"},
  };
  g_autoptr(GemPluginLoader) loader = gem_test_loader_new();
  for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
    g_auto(GStrv) found = gem_plugin_loader_list(loader, expected[i].kind);
    g_autofree char *names = g_strjoinv(" ", found);
    g_assert_cmpstr(names, ==, expected[i].names);
    for (char **name = found; *name != NULL; name++) {
      assert_comes_and_goes(expected[i].kind, *name);
    }
  }

  g_auto(GStrv) backends = gem_plugin_loader_list(loader, GEM_PLUGIN_BACKEND);
  g_assert_true(g_strv_contains((const char *const *)backends, "cpu"));
  for (char **name = backends; *name != NULL; name++) {
    assert_comes_and_goes(GEM_PLUGIN_BACKEND, *name);
  }
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
  } tests[] = {
      {"/plugin-loader/open-and-close", test_open_and_close},
      {"/plugin-loader/description", test_description},
      {"/plugin-loader/not-a-library", test_not_a_library},
      {"/plugin-loader/mode", test_mode},
      {"/plugin-loader/file-type", test_file_type},
      {"/plugin-loader/owner", test_owner},
      {"/plugin-loader/missing", test_missing},
      {"/plugin-loader/order-of-folders", test_order_of_folders},
      {"/plugin-loader/list", test_list},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Fixture, NULL, fixture_set_up, tests[i].run, fixture_tear_down);
  }
  g_test_add_func("/plugin-loader/own-modules", test_own_modules);
  return g_test_run();
}
