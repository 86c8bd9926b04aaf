/*
 * Pathways that move in the middle of a text. The device is the tests' own; with GEM_ORT_LIBRARY,
 * backends/npu-ort on ONNX Runtime's CPU provider, too.
 */
#include <string.h>

#include <glib/gstdio.h>

#include "tests/gem-test-scene.h"

static void
fail_in_third_block(GemTestScene *self, guint block)
{
  if (block == 0) {
    gem_test_scene_wait_for_device(self, "legal");
  }
  if (block == 1) {
    g_assert_true(gem_test_scene_is_on_device(self, "general"));
    g_setenv("GEM_TEST_DEVICE", "fail", TRUE);
  }
  if (block >= 2) {
    g_assert_false(gem_test_scene_is_on_device(self, "general"));
    g_assert_false(gem_test_scene_is_on_device(self, "legal"));
  }
}

static void
test_fails_meanwhile(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  g_autoptr(GArray) moved = gem_test_scene_run(scene, 64, fail_in_third_block);
  g_assert_cmpuint(moved->len, ==, 64);
  g_setenv("GEM_TEST_DEVICE", "work", TRUE);
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  g_assert_true(gem_pager_page_out(scene->runtime->pager, legal, GEM_PAGE_OUT_ASKED, NULL));
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  g_assert_false(gem_test_scene_is_on_device(scene, "legal")); /* it is not trusted again */
  gem_test_scene_close(scene);
}

/* The project's own sentences, each domain's as one text: what the model is made to predict. */
typedef struct {
  GArray *tokens; /* guint32 */
  guint domain;
} Text;

static void
text_free(gpointer data)
{
  Text *text = data;
  g_array_unref(text->tokens);
  g_free(text);
}

static GPtrArray *
read_texts(const GemTestScene *self)
{
  g_autofree char *path =
      g_build_filename(g_getenv("GEM_SOURCE_DIR"), "tests", "data", "routing-sentences.tsv", NULL);
  g_autofree char *contents = NULL;
  g_autoptr(GError) error = NULL;
  g_assert_true(g_file_get_contents(path, &contents, NULL, &error));
  g_auto(GStrv) lines = g_strsplit(contents, "\n", -1);
  GPtrArray *texts = g_ptr_array_new_with_free_func(text_free);
  for (guint d = 0; d < self->runtime->shape->n_domains; d++) {
    g_autofree char *start = g_strconcat(self->runtime->shape->domains[d], "\t", NULL);
    g_autoptr(GString) joined = g_string_new(NULL);
    for (char **line = lines; *line != NULL; line++) {
      if (g_str_has_prefix(*line, start)) {
        g_string_append_printf(joined, "%s ", *line + strlen(start));
      }
    }
    if (joined->len > 0) {
      Text *text = g_new0(Text, 1);
      text->domain = d;
      text->tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
      g_assert_true(
          gem_tokenizer_encode(self->runtime->tokenizer, joined->str, -1, text->tokens, NULL, &error));
      g_ptr_array_add(texts, text);
    }
  }
  return texts;
}

/* Blocks of a text that run on the CPU before its pathways move, and those that run on the device until they
 * move back. */
#define BLOCKS_BEFORE 1u
#define BLOCKS_THERE  6u

static void
move_there(GemTestScene *self)
{
  gem_placement_try_again(self->runtime->placement);
  gem_pager_place_again(self->runtime->pager);
  gem_test_scene_wait_for_device(self, "general");
  gem_test_scene_wait_for_device(self, self->domain);
}

static void
move_back(GemTestScene *self)
{
  GemPager *pager = self->runtime->pager;
  guint index;
  g_assert_true(gem_pager_find(pager, self->domain, &index));
  gem_placement_give_up(self->runtime->placement, "general");
  gem_placement_give_up(self->runtime->placement, self->domain);
  gem_pager_drop_copies(pager);
  g_assert_true(gem_pager_page_out(pager, index, GEM_PAGE_OUT_ASKED, NULL));
  g_assert_true(gem_pager_need(pager, index, NULL));
  g_assert_false(gem_test_scene_is_on_device(self, "general"));
  g_assert_false(gem_test_scene_is_on_device(self, self->domain));
}

/* The likeliest tokens of all texts, one after the other. */
static GArray *
run_texts(GemTestScene *self, GPtrArray *texts, void (*between)(GemTestScene *, guint))
{
  GArray *all = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < texts->len; i++) {
    const Text *text = texts->pdata[i];
    self->domain = self->runtime->shape->domains[text->domain];
    if (between != NULL) {
      move_back(self); /* from where the last text left it */
    }
    g_autoptr(GArray) best = gem_test_scene_run_tokens(self, &g_array_index(text->tokens, guint32, 0),
                                                       text->tokens->len, (guint8)text->domain, between);
    g_array_append_vals(all, best->data, best->len);
  }
  return all;
}

static void
move_there_and_back(GemTestScene *self, guint block)
{
  if (block + 1 == BLOCKS_BEFORE) {
    move_there(self);
  } else if (block + 1 == BLOCKS_BEFORE + BLOCKS_THERE) {
    move_back(self);
  }
}

/* Where a token ran. */
typedef enum { BEFORE, THERE, BACK, PARTS } Part;

static Part
part_of(guint position)
{
  guint block = position / GEM_TEST_SCENE_BLOCK;
  return block < BLOCKS_BEFORE ? BEFORE : block < BLOCKS_BEFORE + BLOCKS_THERE ? THERE : BACK;
}

typedef struct {
  guint all[PARTS], same[PARTS];
} Count;

static Count
count_same(GPtrArray *texts, const GArray *expected, const GArray *moved)
{
  Count count = {0};
  guint i = 0;
  g_assert_cmpuint(expected->len, ==, moved->len);
  for (guint t = 0; t < texts->len; t++) {
    const Text *text = texts->pdata[t];
    for (guint position = 0; position < text->tokens->len; position++, i++) {
      Part part = part_of(position);
      count.all[part]++;
      count.same[part] += g_array_index(expected, guint32, i) == g_array_index(moved, guint32, i) ? 1 : 0;
    }
  }
  return count;
}

/* The model that ships: each text begins on the CPU, its pathways move to `backend` after the first block,
 * and back after some more. `least`: of the likeliest tokens that stay the same, of those that ran there, and
 * of those after them, for which the device's keys and values are in the cache. A difference in the last bits
 * of a float is enough for another one here and there, where two are almost as likely: roundings to 8 bits
 * and clusters turn over. */
static void
check_moved(const char *behaviour, const char *backend, double least)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new(behaviour, "cpu");
  g_free(scene->test->model_path);
  scene->test->model_path = g_build_filename(g_getenv("GEM_SOURCE_DIR"), "models", "gem-mini", NULL);
  scene->test->config.model_path = scene->test->model_path;
  scene->test->config.context = 2048;
  gem_test_scene_open(scene);
  g_autoptr(GPtrArray) texts = read_texts(scene);
  g_autoptr(GArray) expected = run_texts(scene, texts, NULL);
  gem_test_scene_close(scene);

  scene->test->config.backend = backend;
  gem_test_scene_open(scene); /* measures, and keeps what it found */
  for (guint d = 0; d < scene->runtime->shape->n_domains; d++) {
    g_assert_true(gem_pager_need(scene->runtime->pager, d, NULL));
  }
  gem_test_scene_settle(scene);
  gem_test_scene_close(scene);

  scene->test->config.backend = NULL;
  gem_test_scene_rewrite_decisions(scene, TRUE);
  gem_test_scene_open(scene);
  g_autoptr(GArray) moved = run_texts(scene, texts, move_there_and_back);
  gem_test_scene_close(scene);
  const Count count = count_same(texts, expected, moved);
  g_test_message(
      "%s: of the likeliest tokens are the same: %u of %u before, %u of %u there, %u of %u back again",
      backend, count.same[BEFORE], count.all[BEFORE], count.same[THERE], count.all[THERE], count.same[BACK],
      count.all[BACK]);
  g_assert_cmpuint(count.same[BEFORE], ==, count.all[BEFORE]);
  g_assert_cmpuint(count.all[THERE], >, 500);
  g_assert_cmpuint(count.all[BACK], >, 100);
  g_assert_cmpfloat((double)count.same[THERE] / count.all[THERE], >=, least);
  g_assert_cmpfloat((double)count.same[BACK] / count.all[BACK], >=, least);
}

static void
test_moves_meanwhile(void)
{
  check_moved("work", "device", 0.975); /* sums in another order than any other backend */
}

static void
test_moves_to_npu_ort(void)
{
  const char *library = g_getenv("GEM_ORT_LIBRARY");
  if (library == NULL || *library == '\0') {
    g_test_skip("GEM_ORT_LIBRARY names no libonnxruntime: ./dev npu fetches one");
    return;
  }
  g_autofree char *folder = gem_test_folder_new(), *path = g_build_filename(folder, "cpu.conf", NULL);
  g_autofree char *lines = g_strdup_printf("Library=%s\nAllowCpu=yes\n", library);
  g_assert_true(g_file_set_contents(path, lines, -1, NULL));
  g_chmod(path, 0600);
  g_setenv("GEM_NPU_ORT_DIR", folder, TRUE);
  g_setenv("ORT_DISABLE_TELEMETRY", "1", TRUE);
  check_moved("absent", "npu-ort", 0.98);
  g_unsetenv("GEM_NPU_ORT_DIR");
  gem_test_folder_remove(folder);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/placement-moves/fails-meanwhile", test_fails_meanwhile);
  g_test_add_func("/placement-moves/moves-meanwhile", test_moves_meanwhile);
  g_test_add_func("/placement-moves/moves-to-npu-ort", test_moves_to_npu_ort);
  return g_test_run();
}
