/*
 * What keeps a device from doing harm: nobody waits for it, what it gives is looked at in each life of the
 * service, it is left alone after it ended one, and its copies of pathways take nobody's memory.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <utime.h>

#include "daemon/engine/gem-room.h"
#include "daemon/pager/gem-placement-decisions.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-modules.h"
#include "tests/gem-test-patience.h"
#include "tests/gem-test-scene.h"

/* ---- a device that does not come back ---- */

static char *hold_path; /* see tests/plugin-device */

static char *hold_free_path;

static void
hold(const char *path)
{
  g_assert_true(g_file_set_contents(path, "", 0, NULL));
}

static void
hold_device(void)
{
  hold(hold_path);
}

static void
let_go(const char *path)
{
  g_assert_cmpint(g_unlink(path), ==, 0);
}

static void
let_device_go(void)
{
  let_go(hold_path);
}

static gint64
size_of(const char *path)
{
  GStatBuf status;
  g_assert_cmpint(g_stat(path, &status), ==, 0);
  return status.st_size;
}

/* Compilations that began since the device is held. */
static gint64
count_held(void)
{
  return size_of(hold_path);
}

static void
wait_until_one_is_held(const char *path)
{
  gint64 until = gem_test_deadline(30);
  while (size_of(path) == 0 && g_get_monotonic_time() < until) {
    g_usleep(1000);
  }
  g_assert_cmpint(size_of(path), ==, 1);
}

static void
wait_until_held(void)
{
  wait_until_one_is_held(hold_path);
}

/* Texts run on the other side while one pathway is compiled; the next waits for its turn. */
static void
test_not_waited_for(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  hold_device();
  g_array_unref(gem_test_scene_run(scene, 40, NULL));
  wait_until_held();
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  guint other = legal == 0 ? 1 : 0;
  const char *other_name = scene->runtime->shape->domains[other];
  g_assert_true(gem_pager_need(scene->runtime->pager, other, NULL));
  g_array_unref(gem_test_scene_run(scene, 40, NULL));
  g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  g_assert_cmpint(count_held(), ==, 1);
  let_device_go();
  gem_test_scene_settle(scene);
  g_assert_true(gem_test_scene_is_on_device(scene, "legal"));
  g_assert_true(gem_test_scene_is_on_device(scene, other_name));
  gem_test_scene_close(scene);
}

/* What was compiled for nobody is freed on the device's own thread, and texts run meanwhile. */
static void
test_freeing_not_waited_for(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  hold_device();
  g_array_unref(gem_test_scene_run(scene, 40, NULL));
  wait_until_held();
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  g_assert_true(gem_pager_page_out(scene->runtime->pager, legal, GEM_PAGE_OUT_ASKED, NULL));
  hold(hold_free_path);
  let_device_go();
  wait_until_one_is_held(hold_free_path);
  g_array_unref(gem_test_scene_run(scene, 40, NULL));
  g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  g_assert_cmpint(size_of(hold_free_path), ==, 1); /* it has not ended */
  let_go(hold_free_path);
  gem_test_scene_settle(scene);
  g_assert_true(gem_test_scene_is_on_device(scene, "legal"));
  gem_test_scene_close(scene);
}

/* A copy of weights that may not be those that were checked is none: the file was touched while it was read.
 */
static void
test_file_changed_meanwhile(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  g_usleep(2100000); /* from now on any change shows, and the file is not read whole */
  hold_device();
  g_array_unref(gem_test_scene_run(scene, 40, NULL));
  wait_until_held();
  g_autofree char *path = g_build_filename(scene->test->model_path, "pathway-legal.gguf", NULL);
  g_assert_cmpint(g_utime(path, &(struct utimbuf){.actime = 1000, .modtime = 1000}), ==, 0);
  gem_test_scene_count_log("");
  let_device_go();
  gem_test_scene_settle(scene);
  g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  g_assert_cmpuint(gem_test_scene_count_log("pathway-legal.gguf: changed while it was read"), ==, 1);
  g_array_unref(gem_test_scene_run(scene, 40, NULL)); /* it goes on where it was */
  gem_test_scene_close(scene);
}

/* The groups of the file that are marks, one a line. */
static char *
list_marks(const char *path)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  GString *marks = g_string_new(NULL);
  g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  for (guint i = 0; groups[i] != NULL; i++) {
    if (g_str_has_prefix(groups[i], "trying")) {
      g_string_append_printf(marks, "%s\n", groups[i]);
    }
  }
  return g_string_free(marks, FALSE);
}

static gboolean
has_mark(const GemTestScene *scene)
{
  g_autofree char *path = gem_test_scene_placement_file(scene);
  g_autofree char *marks = list_marks(path);
  return marks[0] != '\0';
}

/* The model is loaded, serves, and is closed; a mark stands in the file only meanwhile. */
static void
test_hangs(void)
{
  g_autoptr(GemTestScene) plain = gem_test_scene_new("absent", NULL);
  gem_test_scene_open(plain);
  g_autoptr(GArray) expected = gem_test_scene_run(plain, 40, NULL);
  gem_test_scene_close(plain);
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  hold_device();
  gem_test_scene_open(scene);
  wait_until_held();
  g_assert_true(has_mark(scene));
  g_autoptr(GArray) found = gem_test_scene_run(scene, 40, NULL);
  g_assert_cmpmem(found->data, found->len * sizeof(guint32), expected->data, expected->len * sizeof(guint32));
  g_assert_false(gem_test_scene_is_on_device(scene, "general"));
  gem_test_scene_close(scene);
  g_assert_false(has_mark(scene));
  let_device_go();
}

/* One that an earlier process left. */
static void
leave_mark(const GemTestScene *scene, const char *identity)
{
  g_autofree char *path = gem_test_scene_placement_file(scene);
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
  g_key_file_set_string(file, "trying", "pathway", "general");
  g_key_file_set_string(file, "trying", "of", identity);
  g_key_file_set_string(file, "trying", "process", "another");
  g_assert_true(g_key_file_save_to_file(file, path, NULL));
}

static void
test_left_mark(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  g_autofree char *identity = gem_backend_set_describe(scene->runtime->backends, scene->test->config.threads);
  g_assert_true(gem_test_scene_is_on_device(scene, "general"));
  g_assert_false(has_mark(scene));
  gem_test_scene_close(scene);

  leave_mark(scene, identity);
  gem_test_scene_count_log("");
  gem_test_scene_open(scene);
  g_assert_cmpuint(gem_test_scene_count_log("the service ended while it tried pathway general there"), ==, 1);
  g_assert_false(gem_test_scene_is_on_device(scene, "general"));
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_pager_place_again(scene->runtime->pager);
  gem_test_scene_settle(scene);
  g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  gem_test_scene_close(scene);

  leave_mark(scene, "another driver");
  gem_test_scene_open(scene);
  g_assert_true(gem_test_scene_is_on_device(scene, "general"));
  gem_test_scene_close(scene);

  leave_mark(scene, identity);
  g_autofree char *path = gem_test_scene_placement_file(scene);
  g_assert_cmpint(g_unlink(path), ==, 0);
  gem_test_scene_open(scene);
  g_assert_true(gem_test_scene_is_on_device(scene, "general"));
  gem_test_scene_close(scene);
}

static gpointer
mark_on_thread(gpointer data)
{
  gem_placement_decisions_mark(g_getenv("GEM_TEST_MARKS"), "one", "a device", "general");
  if (g_strcmp0(g_getenv("GEM_TEST_END"), "by the device") == 0) {
    exit(1);
  }
  return NULL;
}

static void
end_marked(void)
{
  gem_test_folder_remove(g_getenv("GEM_TEST_FOLDER"));
  g_thread_join(g_thread_new("device", mark_on_thread, NULL));
  if (g_strcmp0(g_getenv("GEM_TEST_END"), "killed") == 0) {
    raise(SIGKILL);
  }
  exit(0);
}

/* A process that ends in good order leaves no mark, whatever its device is at; one that is killed does, and
 * one that the device's own code ends. */
static void
test_mark_at_end(void)
{
  static const char *const ends[] = {"in good order", "killed", "by the device"};
  if (g_test_subprocess()) {
    end_marked();
  }
  for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
    g_autofree char *folder = gem_test_folder_new();
    g_autofree char *file = g_build_filename(folder, "marks", NULL);
    g_setenv("GEM_TEST_MARKS", file, TRUE);
    g_setenv("GEM_TEST_END", ends[i], TRUE);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_assert_true(g_test_trap_has_passed() == (i == 0));
    g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    g_autofree char *left = gem_placement_decisions_find_mark(file, "a device");
    g_assert_cmpstr(left, ==, i == 0 ? NULL : "general");
    gem_test_folder_remove(folder);
  }
  g_unsetenv("GEM_TEST_MARKS");
  g_unsetenv("GEM_TEST_END");
}

/* As if the process that left the marks of this one were another. */
static void
disown_marks(const char *path)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_assert_true(g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL));
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  for (guint i = 0; groups[i] != NULL; i++) {
    g_key_file_set_string(file, groups[i], "process", "another");
  }
  g_assert_true(g_key_file_save_to_file(file, path, NULL));
}

/* Of two engines at it at once each takes away its own mark, and whichever is left is found. */
static void
test_two_marks(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *path = g_build_filename(folder, "placement", NULL);
  gem_placement_decisions_mark(path, "one", "a device", "general");
  gem_placement_decisions_mark(path, "two", "a device", "legal");
  gem_placement_decisions_mark(path, "three", "another device", "finance");
  g_assert_null(gem_placement_decisions_find_mark(path, "a device"));
  gem_placement_decisions_unmark(path, "one");
  g_autofree char *marks = list_marks(path);
  g_assert_cmpstr(marks, ==, "trying two\ntrying three\n");
  disown_marks(path);
  g_autofree char *found = gem_placement_decisions_find_mark(path, "a device");
  g_assert_cmpstr(found, ==, "legal");
  g_autofree char *other = gem_placement_decisions_find_mark(path, "another device");
  g_assert_cmpstr(other, ==, "finance");
  g_assert_null(gem_placement_decisions_find_mark(path, "a third device"));
  gem_test_folder_remove(folder);
}

/* ---- what is known of it ---- */

/* A decision of an earlier life does not vouch for what the device gives in this one. */
static void
test_known_is_checked(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  gem_test_scene_close(scene);
  scene->test->config.backend = NULL;
  gem_test_scene_rewrite_decisions(scene, TRUE);
  g_setenv("GEM_TEST_DEVICE", "wrong-row", TRUE);
  gem_test_scene_count_log("");
  gem_test_scene_open(scene);
  gem_test_scene_settle(scene);
  g_assert_cmpuint(gem_test_scene_count_log("pathway general does not run on the device: what it gives is"),
                   ==, 1);
  g_assert_false(gem_test_scene_is_on_device(scene, "general"));
  gem_test_scene_close(scene);
}

static gsize
count_decisions(const GemTestScene *scene)
{
  g_autofree char *path = gem_test_scene_placement_file(scene);
  g_autoptr(GKeyFile) file = g_key_file_new();
  gsize n = 0;
  g_assert_true(g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL));
  g_strfreev(g_key_file_get_groups(file, &n));
  return n;
}

/* Another setting of the device, or another number of threads beside it, is another decision. */
static void
test_depends(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  for (guint i = 1; i <= 2; i++) {
    gem_test_scene_open(scene);
    gem_test_scene_close(scene);
    g_assert_cmpuint(count_decisions(scene), ==, 2);
  }
  g_setenv("GEM_TEST_DEVICE_OPTIONS", "precision=[low]", TRUE);
  gem_test_scene_open(scene);
  gem_test_scene_close(scene);
  g_assert_cmpuint(count_decisions(scene), ==, 4);
  scene->test->config.threads = 2;
  gem_test_scene_open(scene);
  gem_test_scene_close(scene);
  g_assert_cmpuint(count_decisions(scene), ==, 6);
  g_unsetenv("GEM_TEST_DEVICE_OPTIONS");
}

/* ---- later ---- */

static void
on_looked(GObject *source, GAsyncResult *result, gpointer data)
{
  gint *found = data;
  *found = gem_engine_look_for_devices_finish(GEM_ENGINE(source), result) ? 1 : 0;
}

static gboolean
look_for_devices(GemEngine *engine)
{
  gint found = -1;
  gem_engine_look_for_devices_async(engine, NULL, on_looked, &found);
  while (found < 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  return found == 1;
}

/* One that was not ready when the model was loaded is found when it is; not where another was named. */
static void
test_deferred(void)
{
  static const char *const named[] = {NULL, "device", "cpu"};
  for (guint i = 0; i < G_N_ELEMENTS(named); i++) {
    hold_device();
    g_autoptr(GemTestScene) scene = gem_test_scene_new("later", named[i]);
    gem_test_engine_start(scene->test);
    g_assert_false(look_for_devices(scene->test->engine));
    let_device_go();
    g_assert_cmpint(look_for_devices(scene->test->engine), ==, i < 2);
  }
}

static void
test_tried_again(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("refuse", "device");
  gem_test_engine_start(scene->test);
  g_autoptr(GemPathwayInfo) before = gem_engine_get_pathway(scene->test->engine, "general");
  g_assert_cmpstr(before->backend, ==, "cpu");
  g_setenv("GEM_TEST_DEVICE", "work", TRUE);
  gem_engine_try_devices_again(scene->test->engine);
  gint64 until = gem_test_deadline(30);
  gboolean moved = FALSE;
  while (!moved && g_get_monotonic_time() < until) {
    g_autoptr(GemPathwayInfo) now = gem_engine_get_pathway(scene->test->engine, "general");
    moved = g_str_equal(now->backend, "device");
    g_usleep(1000);
  }
  g_assert_true(moved);
}

/* ---- memory ---- */

static guint64
bytes_of(const GemTestScene *scene, const char *name)
{
  guint index;
  g_assert_true(gem_pager_find(scene->runtime->pager, name, &index));
  g_autoptr(GemPathwayInfo) info = gem_pager_get_info(scene->runtime->pager, index);
  return info->resident_bytes;
}

/* General is on both sides, and counts twice; its copy goes before any domain, and comes again. */
static void
test_copies(void)
{
  g_autoptr(GemTestScene) plain = gem_test_scene_new("absent", NULL);
  gem_test_scene_open(plain);
  guint64 general = bytes_of(plain, "general");
  guint64 fixed = plain->runtime->budget.fixed;
  gem_test_scene_close(plain);

  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  GemPager *pager = scene->runtime->pager;
  gsize copy = gem_pager_get_copy_bytes(pager);
  g_assert_cmpuint(copy, >, 0);
  g_assert_cmpuint(bytes_of(scene, "general"), ==, general + copy);
  g_assert_cmpuint(scene->runtime->budget.fixed, ==, fixed);
  g_assert_cmpuint(gem_pager_get_spare_bytes(pager, 0), ==, copy);
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_test_scene_wait_for_device(scene, "legal");
  guint64 legal = bytes_of(scene, "legal");
  g_assert_cmpuint(gem_pager_get_copy_bytes(pager), ==, copy); /* all of legal moved */

  gem_room_set_limit(scene->runtime, gem_runtime_bytes(scene->runtime) - 1);
  g_assert_cmpuint(gem_pager_get_copy_bytes(pager), ==, 0);
  g_assert_cmpuint(bytes_of(scene, "general"), ==, general);
  g_assert_cmpuint(bytes_of(scene, "legal"), ==, legal);
  gem_pager_place_again(pager);
  gem_test_scene_settle(scene);
  g_assert_false(gem_test_scene_is_on_device(scene, "general")); /* no room */
  gem_room_set_limit(scene->runtime, 0);
  gem_pager_place_again(pager);
  gem_test_scene_wait_for_device(scene, "general");
  gem_pager_drop_copies(pager);
  g_assert_false(gem_test_scene_is_on_device(scene, "general"));
  g_assert_true(gem_test_scene_is_on_device(scene, "legal"));
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_test_scene_close(scene);
}

int
main(int argc, char **argv)
{
  gem_test_scene_keep_log();
  g_test_init(&argc, &argv, NULL);
  g_autofree char *folder = gem_test_folder_new();
  hold_path = g_build_filename(folder, "hold", NULL);
  hold_free_path = g_build_filename(folder, "hold-free", NULL);
  g_setenv("GEM_TEST_FOLDER", folder, TRUE);
  g_setenv("GEM_TEST_DEVICE_HOLD", hold_path, TRUE);
  g_setenv("GEM_TEST_DEVICE_HOLD_FREE", hold_free_path, TRUE);
  g_test_add_func("/placement-guards/not-waited-for", test_not_waited_for);
  g_test_add_func("/placement-guards/freeing-not-waited-for", test_freeing_not_waited_for);
  g_test_add_func("/placement-guards/file-changed-meanwhile", test_file_changed_meanwhile);
  g_test_add_func("/placement-guards/hangs", test_hangs);
  g_test_add_func("/placement-guards/left-mark", test_left_mark);
  g_test_add_func("/placement-guards/two-marks", test_two_marks);
  g_test_add_func("/placement-guards/mark-at-end", test_mark_at_end);
  g_test_add_func("/placement-guards/known-is-checked", test_known_is_checked);
  g_test_add_func("/placement-guards/depends", test_depends);
  g_test_add_func("/placement-guards/deferred", test_deferred);
  g_test_add_func("/placement-guards/tried-again", test_tried_again);
  g_test_add_func("/placement-guards/copies", test_copies);
  int status = g_test_run();
  g_free(hold_path);
  g_free(hold_free_path);
  gem_test_folder_remove(folder);
  return status;
}
