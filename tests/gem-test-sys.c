#include "tests/gem-test-sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/gem-test-folder.h"

/* ---- the namespace ---- */

static char *
cannot(const char *what)
{
  return g_strdup_printf("no mount namespace with /sys and /dev of the test's own: %s: %s", what,
                         g_strerror(errno));
}

static gboolean
write_file(const char *path, const char *text)
{
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  gboolean written = fd >= 0 && write(fd, text, strlen(text)) == (gssize)strlen(text);
  if (fd >= 0) {
    close(fd);
  }
  return written;
}

/* Who may mount makes a mount namespace; anybody else one of users above it, where that is allowed. */
static gboolean
leave_namespace(void)
{
  g_autofree char *users = g_strdup_printf("%u %u 1", (guint)geteuid(), (guint)geteuid());
  g_autofree char *groups = g_strdup_printf("%u %u 1", (guint)getegid(), (guint)getegid());
  if (unshare(CLONE_NEWNS) == 0) {
    return TRUE;
  }
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_file("/proc/self/setgroups", "deny") &&
         write_file("/proc/self/uid_map", users) && write_file("/proc/self/gid_map", groups);
}

static gboolean
bind_file(const char *from, const char *to)
{
  int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return FALSE;
  }
  close(fd);
  return mount(from, to, NULL, MS_BIND, NULL) == 0;
}

/* A /dev with the least that libraries want, made beside the real one. */
static gboolean
fill_dev(const char *dir)
{
  static const char *const nodes[] = {"null", "zero", "full", "random", "urandom"};
  g_autofree char *shm = g_build_filename(dir, "shm", NULL);
  if (mount("tmpfs", dir, "tmpfs", MS_NOSUID, "mode=755") != 0 || g_mkdir(shm, 0700) != 0) {
    return FALSE;
  }
  for (gsize i = 0; i < G_N_ELEMENTS(nodes); i++) {
    g_autofree char *from = g_build_filename("/dev", nodes[i], NULL);
    g_autofree char *to = g_build_filename(dir, nodes[i], NULL);
    if (!bind_file(from, to)) {
      return FALSE;
    }
  }
  return TRUE;
}

char *
gem_test_sys_enter(void)
{
  if (!leave_namespace()) {
    return cannot("unshare");
  }
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
    return cannot("mounts of its own");
  }
  g_autofree char *dir = gem_test_folder_new();
  gboolean filled = fill_dev(dir) && mount(dir, "/dev", NULL, MS_BIND | MS_REC, NULL) == 0;
  char *reason = filled ? NULL : cannot("/dev");
  if (reason == NULL && mount("tmpfs", "/sys/class", "tmpfs", MS_NOSUID, "mode=755") != 0) {
    reason = cannot("/sys/class");
  }
  umount2(dir, MNT_DETACH); /* what lies over /dev stays */
  g_rmdir(dir);
  return reason;
}

/* ---- what is in it ---- */

static char *
sys_path(const char *name, const char *rest)
{
  return g_build_filename("/sys/class/accel", name, "device", rest, NULL);
}

static void
write_value(const char *name, const char *rest, const char *value)
{
  g_autofree char *path = sys_path(name, rest), *line = g_strconcat(value, "\n", NULL);
  g_autofree char *folder = g_path_get_dirname(path);
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
  g_file_set_contents(path, line, -1, &error);
  g_assert_no_error(error);
}

void
gem_test_sys_add_accelerator(
    const char *name, const char *driver, const char *vendor, const char *device, gboolean node)
{
  g_autofree char *link = sys_path(name, "driver"),
                  *drivers = g_build_filename("/sys/class/drivers", driver, NULL);
  write_value(name, "vendor", vendor);
  write_value(name, "device", device);
  g_assert_cmpint(g_mkdir_with_parents(drivers, 0755), ==, 0);
  g_assert_cmpint(symlink(drivers, link), ==, 0);
  if (node) {
    g_autofree char *path = g_build_filename("/dev/accel", name, NULL);
    g_assert_cmpint(g_mkdir_with_parents("/dev/accel", 0755), ==, 0);
    g_assert_true(bind_file("/dev/null", path));
  }
}

void
gem_test_sys_set_version(const char *name, const char *version)
{
  write_value(name, "driver/module/version", version);
}

void
gem_test_sys_clear(void)
{
  g_autoptr(GDir) nodes = g_dir_open("/dev/accel", 0, NULL);
  for (const char *name; nodes != NULL && (name = g_dir_read_name(nodes)) != NULL;) {
    g_autofree char *path = g_build_filename("/dev/accel", name, NULL);
    g_assert_cmpint(umount2(path, 0), ==, 0);
  }
  static const char *const folders[] = {"/dev/accel", "/sys/class/accel", "/sys/class/drivers"};
  for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
    if (g_file_test(folders[i], G_FILE_TEST_IS_DIR)) {
      gem_test_folder_remove(folders[i]);
    }
  }
}
