/*
 * Packed matrices that are kept on disk: they come back as they were, and whatever does not hold, or could
 * have been written by others, is as good as none.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/gem-kernels.h"
#include "plugins/backends/cpu/gem-cpu-keeping.h"
#include "plugins/backends/cpu/gem-cpu-kept-file.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-modules.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER  "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static GemCpuKeepControl go_on; /* nobody stops what is written */

enum { ROWS = 40, COLS = 64, COUNT = 3 };

typedef struct {
  char *dir;  /* of the cache */
  char *file; /* of DIGEST */
  GemCpuKeep *keep;
  guint8 *data; /* [COUNT][bytes] */
  size_t bytes; /* of a matrix */
  GemCpuKeptMatrix matrices[COUNT];
} Scene;

static void
scene_init(Scene *self)
{
  self->dir = gem_test_folder_new();
  self->file = g_build_filename(self->dir, "cpu", DIGEST, NULL);
  self->keep = gem_cpu_keep_new(self->dir);
  g_assert_nonnull(self->keep);
  self->bytes = gem_packed_bytes(GEM_TYPE_Q4_0, ROWS, COLS);
  self->data = g_malloc(COUNT * self->bytes);
  for (size_t i = 0; i < COUNT * self->bytes; i++) {
    self->data[i] = (guint8)g_test_rand_int();
  }
  for (guint i = 0; i < COUNT; i++) {
    self->matrices[i] = (GemCpuKeptMatrix){
        .offset = 1000 + 32 * i,
        .packed = {.type = GEM_TYPE_Q4_0, .rows = ROWS, .cols = COLS, .data = self->data + i * self->bytes}};
  }
}

static void
scene_clear(Scene *self)
{
  gem_cpu_keep_free(self->keep);
  gem_test_folder_remove(self->dir);
  g_free(self->dir);
  g_free(self->file);
  g_free(self->data);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

static void
write_scene(Scene *self)
{
  g_assert_true(gem_cpu_keep_write(self->keep, DIGEST, self->matrices, COUNT, &go_on));
}

/* As a process that begins would: it has met no file yet. */
static void
begin_again(Scene *self)
{
  gem_cpu_keep_free(self->keep);
  self->keep = gem_cpu_keep_new(self->dir);
  g_assert_nonnull(self->keep);
}

/* Nothing of what these tests do to files is said to pass. */
static gboolean
is_kept(Scene *self, const char *digest)
{
  bool missing = false;
  GemCpuKept *kept = gem_cpu_keep_map(self->keep, digest, &missing);
  g_assert_true(missing == (kept == NULL));
  if (kept != NULL) {
    gem_cpu_kept_unref(kept);
  }
  return kept != NULL;
}

static void
test_back(void)
{
  g_auto(Scene) scene = {0};
  scene_init(&scene);
  g_assert_false(gem_cpu_keep_expect(scene.keep, DIGEST));
  g_assert_false(is_kept(&scene, DIGEST));
  write_scene(&scene);
  g_assert_true(gem_cpu_keep_expect(scene.keep, DIGEST));
  g_assert_false(gem_cpu_keep_expect(scene.keep, OTHER));
  for (guint round = 0; round < 3; round++) {
    bool missing;
    GemCpuKept *kept = gem_cpu_keep_map(scene.keep, DIGEST, &missing);
    g_assert_nonnull(kept);
    g_assert_true(gem_test_is_mapped(scene.file));
    for (guint i = 0; i < COUNT; i++) {
      const GemCpuKeptMatrix *matrix = &scene.matrices[i];
      const guint8 *data = gem_cpu_kept_find(kept, matrix->offset, GEM_TYPE_Q4_0, ROWS, COLS);
      g_assert_nonnull(data);
      g_assert_cmpuint((guintptr)data % GEM_PACKED_ALIGNMENT, ==, 0);
      g_assert_cmpmem(data, scene.bytes, matrix->packed.data, scene.bytes);
    }
    g_assert_null(gem_cpu_kept_find(kept, 1001, GEM_TYPE_Q4_0, ROWS, COLS));
    g_assert_null(gem_cpu_kept_find(kept, 1000, GEM_TYPE_Q8_0, ROWS, COLS));
    g_assert_null(gem_cpu_kept_find(kept, 1000, GEM_TYPE_Q4_0, ROWS + 1, COLS));
    g_assert_null(gem_cpu_kept_find(kept, 1000, GEM_TYPE_Q4_0, ROWS, COLS + 32));
    gem_cpu_kept_unref(kept);
    g_assert_false(gem_test_is_mapped(scene.file));
    begin_again(&scene);
  }
}

/* It lives as long as it is used, whatever becomes of the folder and of the file's name. */
static void
test_references(void)
{
  g_auto(Scene) scene = {0};
  scene_init(&scene);
  write_scene(&scene);
  bool missing;
  GemCpuKept *kept = gem_cpu_kept_ref(gem_cpu_keep_map(scene.keep, DIGEST, &missing));
  const guint8 *data = gem_cpu_kept_find(kept, 1000, GEM_TYPE_Q4_0, ROWS, COLS);
  gem_cpu_kept_unref(kept);
  begin_again(&scene);
  memset(scene.data, 0, scene.bytes);
  write_scene(&scene);
  g_assert_cmpuint(data[0] | data[1] | data[2] | data[3] | data[4] | data[5], !=, 0);
  gem_cpu_kept_unref(kept);
}

/* Any byte that is another one, and any end that is too early. */
static void
test_damaged(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *text = NULL;
  gsize length;
  scene_init(&scene);
  write_scene(&scene);
  g_assert_true(g_file_get_contents(scene.file, &text, &length, NULL));
  g_assert_cmpuint(length, ==, gem_cpu_kept_file_bytes(scene.matrices, COUNT));
  for (gsize i = 0; i < length; i += i < 400 ? 1 : 61) {
    begin_again(&scene);
    text[i] ^= 1;
    g_assert_true(g_file_set_contents_full(scene.file, text, (gssize)length, 0, 0600, NULL));
    g_assert_false(is_kept(&scene, DIGEST));
    text[i] ^= 1;
  }
  for (gsize i = 0; i < length; i += i < 400 ? 1 : 61) {
    begin_again(&scene);
    g_assert_true(g_file_set_contents_full(scene.file, text, (gssize)i, 0, 0600, NULL));
    g_assert_false(is_kept(&scene, DIGEST));
  }
  write_scene(&scene);
  g_assert_true(is_kept(&scene, DIGEST));
}

/* The file of another model file, under this one's name. */
static void
test_mistaken(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *other = NULL;
  scene_init(&scene);
  other = g_build_filename(scene.dir, "cpu", OTHER, NULL);
  write_scene(&scene);
  g_assert_cmpint(g_rename(scene.file, other), ==, 0);
  begin_again(&scene);
  g_assert_false(is_kept(&scene, OTHER));
  g_assert_false(is_kept(&scene, DIGEST));
}

/* Names that are no digests are not looked for, wherever they lead. */
static void
test_names(void)
{
  static const char *const names[] = {"",
                                      ".",
                                      "..",
                                      "../" DIGEST,
                                      "0123",
                                      DIGEST "0",
                                      "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"};
  g_auto(Scene) scene = {0};
  scene_init(&scene);
  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    g_assert_false(gem_cpu_keep_write(scene.keep, names[i], scene.matrices, COUNT, &go_on));
    g_assert_false(is_kept(&scene, names[i]));
    g_assert_false(gem_cpu_keep_expect(scene.keep, names[i]));
  }
}

/* What others may write to, or might have put there. */
static void
test_trust(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *folder = NULL, *moved = NULL;
  scene_init(&scene);
  folder = g_build_filename(scene.dir, "cpu", NULL);
  moved = g_build_filename(scene.dir, "moved", NULL);
  write_scene(&scene);
  g_assert_cmpint(g_chmod(scene.file, 0620), ==, 0);
  g_assert_false(is_kept(&scene, DIGEST));
  g_assert_cmpint(g_chmod(scene.file, 0600), ==, 0);
  g_assert_true(is_kept(&scene, DIGEST));

  g_assert_cmpint(g_rename(scene.file, moved), ==, 0);
  g_assert_cmpint(symlink(moved, scene.file), ==, 0);
  g_assert_false(is_kept(&scene, DIGEST));
  g_assert_cmpint(g_unlink(scene.file), ==, 0);
  g_assert_cmpint(mkfifo(scene.file, 0600), ==, 0);
  g_assert_false(is_kept(&scene, DIGEST));
  write_scene(&scene); /* takes the place of either */
  g_assert_true(is_kept(&scene, DIGEST));

  g_assert_cmpint(g_chmod(folder, 0702), ==, 0);
  g_assert_null(gem_cpu_keep_new(scene.dir));
  g_assert_cmpint(g_chmod(folder, 0700), ==, 0);
  g_assert_cmpint(g_chmod(scene.dir, 0770), ==, 0);
  g_assert_null(gem_cpu_keep_new(scene.dir));
  g_assert_cmpint(g_chmod(scene.dir, 0700), ==, 0);
  g_assert_null(gem_cpu_keep_new(moved));
}

static guint
count_files(const Scene *self)
{
  g_autofree char *folder = g_build_filename(self->dir, "cpu", NULL);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  guint n = 0;
  while (g_dir_read_name(dir) != NULL) {
    n++;
  }
  return n;
}

/* The oldest files go when there are as many as there may be. */
static void
test_room(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *folder = NULL;
  scene_init(&scene);
  folder = g_build_filename(scene.dir, "cpu", NULL);
  g_autofree char *foreign = g_build_filename(folder, "letters.txt", NULL);
  g_assert_true(g_file_set_contents(foreign, "", 0, NULL)); /* whose it is nobody knows: it stays */
  for (guint i = 0; i < GEM_CPU_KEEP_FILES + 5; i++) {
    g_autofree char *digest = g_strdup_printf("%064x", i);
    g_autofree char *file = g_build_filename(folder, digest, NULL);
    struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
    g_assert_true(gem_cpu_keep_write(scene.keep, digest, scene.matrices, COUNT, &go_on));
    g_assert_cmpint(utimensat(AT_FDCWD, file, times, 0), ==, 0);
  }
  g_assert_cmpuint(count_files(&scene), ==, GEM_CPU_KEEP_FILES + 1);
  g_assert_false(is_kept(&scene, "0000000000000000000000000000000000000000000000000000000000000004"));
  g_assert_true(is_kept(&scene, "0000000000000000000000000000000000000000000000000000000000000005"));
}

/* What cannot be written, is given up, or is being written by another: what was kept stays, and nothing else
 * is left. */
static void
test_not_written(void)
{
  g_auto(Scene) scene = {0};
  GemCpuKeepControl stopped = {.stop = true};
  const struct rlimit little = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
  struct rlimit before;
  scene_init(&scene);
  write_scene(&scene);
  g_assert_false(gem_cpu_keep_write(scene.keep, DIGEST, scene.matrices, COUNT, &stopped));
  g_assert_true(atomic_load(&stopped.released));

  signal(SIGXFSZ, SIG_IGN);
  g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &little), ==, 0);
  g_assert_false(gem_cpu_keep_write(scene.keep, DIGEST, scene.matrices, COUNT, &go_on));
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);

  g_autofree char *folder = g_build_filename(scene.dir, "cpu", NULL);
  int other = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint(flock(other, LOCK_EX), ==, 0);
  g_assert_false(gem_cpu_keep_write(scene.keep, DIGEST, scene.matrices, COUNT, &go_on));
  close(other);

  size_t rows = scene.matrices[0].packed.rows;
  scene.matrices[0].packed.rows = (size_t)GEM_CPU_KEEP_FILE_BYTES;
  g_assert_false(gem_cpu_keep_write(scene.keep, DIGEST, scene.matrices, COUNT, &go_on));
  scene.matrices[0].packed.rows = rows;
  g_assert_true(is_kept(&scene, DIGEST));
  g_assert_cmpuint(count_files(&scene), ==, 1);
  write_scene(&scene);
}

/* A file that cannot be opened now is not one that is missing. */
static void
test_passing(void)
{
  g_auto(Scene) scene = {0};
  struct rlimit before, none;
  bool missing = true;
  scene_init(&scene);
  write_scene(&scene);
  g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
  none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
  g_assert_null(gem_cpu_keep_map(scene.keep, DIGEST, &missing));
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
  g_assert_false(missing);
  g_assert_true(is_kept(&scene, DIGEST));
}

/* ---- groups ---- */

static bool
locate_all(const GemTensorView *tensor, const char **ret_digest, uint64_t *ret_offset)
{
  *ret_digest = DIGEST;
  *ret_offset = 1000;
  return true;
}

/* A group of one matrix comes and stays. Whether it is kept, a moment later. */
static gboolean
keep_group(Scene *self, GemCpuKeeping *keeping, guint most_looks)
{
  const GemTensorView view = {.type = GEM_TYPE_Q4_0, .rows = ROWS, .cols = COLS};
  GemCpuKept *kept = NULL;
  gem_cpu_keeping_begin(keeping);
  g_assert_null(gem_cpu_keeping_find(keeping, &view, GEM_TYPE_Q4_0, &kept));
  gem_cpu_keeping_add(keeping, &view, &self->matrices[0].packed);
  gem_cpu_keeping_end(keeping);
  for (guint looks = 0; looks < most_looks && !g_file_test(self->file, G_FILE_TEST_EXISTS); looks++) {
    g_usleep(10000);
  }
  return g_file_test(self->file, G_FILE_TEST_EXISTS);
}

/* What goes again and again is not written on and on. */
static void
test_tries(void)
{
  g_auto(Scene) scene = {0};
  GemCpuKeeping keeping;
  guint written = 0;
  scene_init(&scene);
  gem_cpu_keeping_open(&keeping, &(GemBackendOptions){.struct_size = sizeof(GemBackendOptions),
                                                      .cache_dir = scene.dir,
                                                      .locate = locate_all});
  /* One that comes while the file before is being finished is not a try. */
  for (guint round = 0; round < 4 * GEM_CPU_KEEPING_TRIES; round++) {
    if (keep_group(&scene, &keeping, written < GEM_CPU_KEEPING_TRIES ? 200 : 20)) {
      written++;
      g_assert_cmpint(g_unlink(scene.file), ==, 0);
    }
  }
  g_assert_cmpuint(written, ==, GEM_CPU_KEEPING_TRIES);
  gem_cpu_keeping_close(&keeping);
}

/* Entries that lie, with a checksum that is right. */
static void
test_entries(void)
{
  static const GemCpuKeptEntry lies[] = {
      {.offset = 1000, .place = 4096, .rows = ROWS, .cols = COLS, .type = GEM_TYPE_Q4_0},
      {.offset = 1000, .place = 257, .rows = ROWS, .cols = COLS, .type = GEM_TYPE_Q4_0},
      {.offset = 1000, .place = 256, .rows = G_MAXUINT64, .cols = COLS, .type = GEM_TYPE_Q4_0},
      {.offset = 1000, .place = 256, .rows = ROWS, .cols = G_MAXUINT64 - 31, .type = GEM_TYPE_Q4_0},
      {.offset = 1000, .place = 256, .rows = ROWS, .cols = 33, .type = GEM_TYPE_Q4_0},
      {.offset = 1000, .place = 256, .rows = ROWS, .cols = COLS, .type = 77},
      {.offset = 1000, .place = G_MAXUINT64 - 63, .rows = ROWS, .cols = COLS, .type = GEM_TYPE_Q4_0},
  };
  g_auto(Scene) scene = {0};
  scene_init(&scene);
  for (gsize i = 0; i < G_N_ELEMENTS(lies); i++) {
    g_autofree char *text = NULL;
    gsize length;
    write_scene(&scene);
    g_assert_true(g_file_get_contents(scene.file, &text, &length, NULL));
    memcpy(text + sizeof(GemCpuKeptHead), &lies[i], sizeof lies[i]);
    g_assert_true(g_file_set_contents_full(scene.file, text, (gssize)length, 0, 0600, NULL));
    int file = open(scene.file, O_RDONLY | O_CLOEXEC);
    g_assert_null(gem_cpu_kept_file_map(file, length, DIGEST, FALSE));
    close(file);
  }
}

/* SHA-256 of a fixed matrix as it is packed: 40 x 512, each byte of its blocks a function of its place. */
static char *
hash_packed(GemType type)
{
  size_t rows = 40, cols = 512, bytes = gem_packed_bytes(type, rows, cols);
  size_t stored_bytes = rows * gem_type_row_bytes(type, cols);
  g_autofree guint8 *stored = g_malloc(stored_bytes), *panels = g_malloc(bytes);
  for (size_t i = 0; i < stored_bytes; i++) {
    stored[i] = (guint8)(i * 37 + i / 251);
  }
  gem_kernels_reference()->pack(type, rows, cols, stored, panels);
  return g_compute_checksum_for_data(G_CHECKSUM_SHA256, panels, bytes);
}

/* Whoever changes how matrices are packed gives the form another number, and these lines other hashes. */
static void
test_form(void)
{
  static const struct {
    GemType type;
    const char *hash; /* its beginning */
  } forms[] = {
      {GEM_TYPE_F32, "021567dfaa56c970"},  {GEM_TYPE_F16, "23940a72945e87e8"},
      {GEM_TYPE_Q8_0, "68621a4309f4f955"}, {GEM_TYPE_Q6_K, "0c73157424f85bde"},
      {GEM_TYPE_Q4_0, "4920bf30e21c43e9"},
  };
  g_assert_cmpuint(GEM_PACKED_FORM, ==, 1);
  for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
    g_autofree char *hash = hash_packed(forms[i].type);
    hash[16] = '\0';
    g_assert_cmpstr(hash, ==, forms[i].hash);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cpu-keep/back", test_back);
  g_test_add_func("/cpu-keep/references", test_references);
  g_test_add_func("/cpu-keep/damaged", test_damaged);
  g_test_add_func("/cpu-keep/mistaken", test_mistaken);
  g_test_add_func("/cpu-keep/names", test_names);
  g_test_add_func("/cpu-keep/trust", test_trust);
  g_test_add_func("/cpu-keep/room", test_room);
  g_test_add_func("/cpu-keep/not-written", test_not_written);
  g_test_add_func("/cpu-keep/passing", test_passing);
  g_test_add_func("/cpu-keep/entries", test_entries);
  g_test_add_func("/cpu-keep/tries", test_tries);
  g_test_add_func("/cpu-keep/form", test_form);
  return g_test_run();
}
