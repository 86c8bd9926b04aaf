/* A model folder is replaced as a whole: what is there before and after, whatever happens on the way. */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "format/gem-manifest.h"
#include "tests/gem-test-folder.h"
#include "training/network/gem-model-stage.h"

typedef struct {
  char *dir, *model; /* model: DIR/model, which nobody has made */
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
  self->dir = gem_test_folder_new();
  self->model = g_build_filename(self->dir, "model", NULL);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  gem_test_folder_remove(self->dir);
  g_free(self->dir);
  g_free(self->model);
}

/* A stage with files that hold `text`. */
static GemModelStage *
stage_new(const char *folder, const char *const *files, const char *text)
{
  g_autoptr(GError) error = NULL;
  GemModelStage *stage = gem_model_stage_new(folder, &error);
  g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
  g_assert_no_error(error);
  for (guint i = 0; files[i] != NULL; i++) {
    gem_model_stage_add(stage, files[i], bytes, &error);
    g_assert_no_error(error);
  }
  return stage;
}

static void
write_model(const char *folder, const char *const *files, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemModelStage) stage = stage_new(folder, files, text);
  gem_model_stage_commit(stage, "staged", files, &error);
  g_assert_no_error(error);
}

static gint
compare(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What is in the folder, hidden or not, is this: names in their order, a space between. */
static void
assert_entries(const char *folder, const char *expected)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;
  while ((name = g_dir_read_name(dir)) != NULL) {
    g_ptr_array_add(names, g_strdup(name));
  }
  g_ptr_array_sort(names, compare);
  g_ptr_array_add(names, NULL);
  g_autofree char *joined = g_strjoinv(" ", (char **)names->pdata);
  g_assert_cmpstr(joined, ==, expected);
}

static void
assert_text(const char *folder, const char *file, const char *expected)
{
  g_autofree char *path = g_build_filename(folder, file, NULL), *text = NULL;
  g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
  g_assert_cmpstr(text, ==, expected);
}

/* All that the manifest names is as it says. */
static void
assert_model(const char *folder, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemManifest) manifest = gem_manifest_load(folder, &error);
  g_assert_no_error(error);
  const char *const *files = gem_manifest_get_files(manifest);
  for (guint i = 0; files[i] != NULL; i++) {
    gem_manifest_verify(manifest, files[i], &error);
    g_assert_no_error(error);
    assert_text(folder, files[i], text);
  }
}

static const char *const OLD[] = {"general.gguf", "pathway-old.gguf", NULL};
static const char *const NEW[] = {"general.gguf", "router.gguf", NULL};

/* What leads to it is made, and goes again when nothing comes of it. */
static void
test_new(Fixture *self, gconstpointer data)
{
  g_autofree char *above = g_build_filename(self->dir, "a", NULL),
                  *folder = g_build_filename(above, "b", "model/", NULL);
  g_autoptr(GemModelStage) dropped = stage_new(folder, NEW, "new");
  g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
  g_clear_pointer(&dropped, gem_model_stage_free);
  assert_entries(self->dir, "");
  write_model(folder, NEW, "new");
  assert_entries(folder, "general.gguf manifest router.gguf");
  assert_model(folder, "new");
  g_autofree char *beside = g_build_filename(above, "b", NULL);
  assert_entries(beside, "model");
}

/* All files of the old model go, and nothing else; until then it is as it was. */
static void
test_replaced(Fixture *self, gconstpointer data)
{
  struct stat status;
  write_model(self->model, OLD, "old");
  gem_test_write_text(self->model, "README.md", "mine");
  gem_test_write_text(self->model, "notes/today", "mine, too");
  g_assert_cmpint(g_chmod(self->model, 0751), ==, 0);
  g_autoptr(GemModelStage) dropped = stage_new(self->model, NEW, "new");
  assert_model(self->model, "old");
  g_clear_pointer(&dropped, gem_model_stage_free);
  assert_model(self->model, "old");
  assert_entries(self->model, "README.md general.gguf manifest notes pathway-old.gguf");
  assert_entries(self->dir, "model");

  write_model(self->model, NEW, "new");
  assert_model(self->model, "new");
  assert_entries(self->model, "README.md general.gguf manifest notes router.gguf");
  assert_text(self->model, "README.md", "mine");
  assert_text(self->model, "notes/today", "mine, too");
  assert_entries(self->dir, "model");
  g_assert_cmpint(stat(self->model, &status), ==, 0);
  g_assert_cmpuint(status.st_mode & 07777, ==, 0751);
}

/* A folder that is not for everybody is not read beside it, either. */
static void
test_private(Fixture *self, gconstpointer data)
{
  struct stat status;
  write_model(self->model, OLD, "old");
  g_assert_cmpint(g_chmod(self->model, 0700), ==, 0);
  g_autoptr(GemModelStage) stage = stage_new(self->model, NEW, "new");
  g_assert_cmpint(stat(gem_model_stage_get_folder(stage), &status), ==, 0);
  g_assert_cmpuint(status.st_mode & 077, ==, 0);
}

/* A process that stages and is killed. */
static void
stage_killed(const char *folder)
{
  pid_t child = fork();
  int status = 0;
  if (child == 0) {
    stage_new(folder, NEW, "killed");
    kill(getpid(), SIGKILL);
  }
  g_assert_cmpint(waitpid(child, &status, 0), ==, child);
  g_assert_true(WIFSIGNALED(status));
}

static guint
count_entries(const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  guint n = 0;
  while (g_dir_read_name(dir) != NULL) {
    n++;
  }
  return n;
}

/* What was left behind goes with the next stage of the same folder: not what somebody works on, not what has
 * such a name and no mark, and not that of another folder. */
static void
test_left_behind(Fixture *self, gconstpointer data)
{
  g_autofree char *other = g_build_filename(self->dir, "model.2", NULL),
                  *link = g_build_filename(self->dir, "model.0123abcd.tmp", NULL);
  stage_killed(other);
  stage_killed(self->model);
  g_assert_cmpuint(count_entries(self->dir), ==, 2);
  g_autoptr(GemModelStage) working = stage_new(self->model, NEW, "new");
  g_assert_cmpuint(count_entries(self->dir), ==, 2);
  gem_test_write_text(self->dir, "model.89abcdef.tmp/general.gguf", "mine");
  gem_test_write_text(self->dir, "model.89abcdef.tmp.old/.staged", "mine");
  gem_test_write_text(self->dir, "elsewhere/.staged", "mine");
  g_assert_cmpint(symlink("elsewhere", link), ==, 0);
  g_autofree char *early = g_build_filename(self->dir, "model.01234567.tmp", NULL);
  g_assert_cmpint(g_mkdir(early, 0700), ==, 0);
  write_model(self->model, OLD, "old");
  g_assert_cmpuint(count_entries(self->dir), ==, 7);
  g_clear_pointer(&working, gem_model_stage_free);
  assert_model(self->model, "old");
  assert_entries(self->model, "general.gguf manifest pathway-old.gguf");
  write_model(other, OLD, "old");
  assert_entries(self->dir,
                 "elsewhere model model.0123abcd.tmp model.2 model.89abcdef.tmp model.89abcdef.tmp.old");
  assert_text(self->dir, "elsewhere/.staged", "mine");
}

/* The same within a folder that cannot be exchanged. */
static void
test_left_within(Fixture *self, gconstpointer data)
{
  g_autofree char *before = g_get_current_dir();
  write_model(self->model, OLD, "old");
  g_assert_cmpint(g_chdir(self->model), ==, 0);
  stage_killed(".");
  g_assert_cmpuint(count_entries("."), ==, 4);
  write_model(".", NEW, "new");
  assert_entries(".", "general.gguf manifest router.gguf");
  g_assert_cmpint(g_chdir(before), ==, 0);
}

/* Whoever works in a folder works in it afterwards, too: there the files are moved one by one. */
static void
test_within(Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *before = g_get_current_dir();
  write_model(self->model, OLD, "old");
  gem_test_write_text(self->model, "README.md", "mine");
  g_assert_cmpint(g_chdir(self->model), ==, 0);
  g_autoptr(GemModelStage) stage = stage_new(".", NEW, "new");
  assert_model(".", "old");
  gem_model_stage_commit(stage, "staged", NEW, &error);
  g_assert_no_error(error);
  assert_model(".", "new");
  assert_entries(".", "README.md general.gguf manifest router.gguf");
  assert_entries(self->dir, "model");
  g_autoptr(GemModelStage) dropped = stage_new(".", OLD, "old");
  g_clear_pointer(&dropped, gem_model_stage_free);
  assert_model(".", "new");
  assert_entries(".", "README.md general.gguf manifest router.gguf");
  g_assert_cmpint(g_chdir(before), ==, 0);
}

/* A link leads to the new model, too. */
static void
test_link(Fixture *self, gconstpointer data)
{
  g_autofree char *link = g_build_filename(self->dir, "link", NULL), *target = NULL;
  write_model(self->model, OLD, "old");
  g_assert_cmpint(symlink("model", link), ==, 0);
  write_model(link, NEW, "new");
  target = g_file_read_link(link, NULL);
  g_assert_cmpstr(target, ==, "model");
  assert_model(self->model, "new");
  assert_entries(self->dir, "link model");
}

/* What is no folder, and what is no file where one of the model's is to be. */
static void
test_errors(Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *lost = g_build_filename(self->dir, "lost", NULL);
  gem_test_write_text(self->dir, "text", "no folder");
  g_autofree char *text = g_build_filename(self->dir, "text", NULL);
  g_assert_null(gem_model_stage_new(text, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, "text: cannot make the folder"));
  g_clear_error(&error);
  g_assert_cmpint(symlink("nowhere", lost), ==, 0);
  g_assert_null(gem_model_stage_new(lost, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_clear_error(&error);

  write_model(self->model, OLD, "old");
  gem_test_write_text(self->model, "router.gguf/mine", "mine");
  g_autoptr(GemModelStage) stage = stage_new(self->model, NEW, "new");
  g_assert_false(gem_model_stage_commit(stage, "staged", NEW, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, "model/router.gguf: cannot be replaced"));
  g_clear_pointer(&stage, gem_model_stage_free);
  assert_model(self->model, "old");
  assert_entries(self->dir, "lost model text");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/model-stage/new", Fixture, NULL, set_up, test_new, tear_down);
  g_test_add("/model-stage/replaced", Fixture, NULL, set_up, test_replaced, tear_down);
  g_test_add("/model-stage/private", Fixture, NULL, set_up, test_private, tear_down);
  g_test_add("/model-stage/left-behind", Fixture, NULL, set_up, test_left_behind, tear_down);
  g_test_add("/model-stage/left-within", Fixture, NULL, set_up, test_left_within, tear_down);
  g_test_add("/model-stage/within", Fixture, NULL, set_up, test_within, tear_down);
  g_test_add("/model-stage/link", Fixture, NULL, set_up, test_link, tear_down);
  g_test_add("/model-stage/errors", Fixture, NULL, set_up, test_errors, tear_down);
  return g_test_run();
}
