#include "daemon/learned/gem-learned-model.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dbus/gem-error.h"
#include "format/gem-model-files.h"

G_STATIC_ASSERT(GEM_MAX_DOMAINS <= GEM_ADAPT_MAX_PATHWAYS);

/* What a new residual starts from: the domain that has no subject of its own. */
#define FIRST "adaptive"

static GError *
changed_error(const char *why)
{
  return g_error_new(GEM_ERROR, GEM_ERROR_MODEL, "the files of the model are not those that are served: %s",
                     why);
}

/* That a file cannot be read now does not say that it is another one. */
static GError *
unread_error(const char *why)
{
  return g_error_new(GEM_ERROR, GEM_ERROR_FAILED, "the files of the model cannot be read: %s", why);
}

static GError *
format_error(const GError *cause)
{
  return g_error_matches(cause, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO) ? unread_error(cause->message)
                                                                       : changed_error(cause->message);
}

GemLearnedModel *
gem_learned_model_new(const char *folder,
                      const char *general_sha256,
                      const char *router_sha256,
                      GError **error)
{
  GemLearnedModel *self;

  if (general_sha256 == NULL || router_sha256 == NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_NOT_SUPPORTED,
                        "the model has no router, which could route to a learned domain");
    return NULL;
  }
  self = g_atomic_rc_box_new0(GemLearnedModel);
  self->folder = g_strdup(folder);
  self->general_sha256 = g_strdup(general_sha256);
  self->router_sha256 = g_strdup(router_sha256);
  self->identity = g_strconcat(self->general_sha256, ":", self->router_sha256, NULL);
  return self;
}

GemLearnedModel *
gem_learned_model_ref(GemLearnedModel *self)
{
  return g_atomic_rc_box_acquire(self);
}

static void
model_clear(gpointer data)
{
  GemLearnedModel *self = data;

  g_free(self->folder);
  g_free(self->general_sha256);
  g_free(self->router_sha256);
  g_free(self->identity);
}

void
gem_learned_model_unref(GemLearnedModel *self)
{
  g_atomic_rc_box_release_full(self, model_clear);
}

/* Opened first, verified after: what is open then is what was verified, or was before it was replaced. */
static int
open_verified(GemManifest *manifest, const char *file, GError **error)
{
  g_autofree char *path = gem_manifest_get_path(manifest, file);
  g_autoptr(GError) local = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC);

  if (fd < 0) {
    g_propagate_error(error,
                      errno == ENOENT ? changed_error(g_strerror(errno)) : unread_error(g_strerror(errno)));
  } else if (!gem_manifest_verify(manifest, file, &local)) {
    g_propagate_error(error, format_error(local));
    close(fd);
    fd = -1;
  }
  return fd;
}

/* The domains that the router knows, as the general part says: at most GEM_MAX_DOMAINS, whatever files the
 * manifest names beside them. */
static gboolean
read_shape(int general, GemModelShape *ret_shape, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(general, GEM_MODEL_GENERAL_FILE, &local);
  g_autoptr(GemGguf) file =
      reader != NULL ? gem_gguf_new_from_reader(reader, GEM_MODEL_GENERAL_FILE, &local) : NULL;

  if (file == NULL || !gem_model_shape_read(file, ret_shape, &local)) {
    g_propagate_error(error, format_error(local));
    return FALSE;
  }
  return TRUE;
}

static void
open_pathways(GemManifest *manifest, const GemModelShape *shape, GemAdaptStart *start)
{
  for (guint i = 0; i < shape->n_domains; i++) {
    g_autofree char *file = gem_model_pathway_file(shape->domains[i]);
    int fd = gem_manifest_has_file(manifest, file) ? open_verified(manifest, file, NULL) : -1;

    if (fd < 0) {
      continue;
    }
    if (g_str_equal(shape->domains[i], FIRST)) {
      start->files[GEM_ADAPT_PATHWAY] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    gem_adapt_start_add_pathway(start, shape->domains[i], fd);
  }
}

gboolean
gem_learned_model_open(const GemLearnedModel *self, GemAdaptStart *start, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GemManifest) manifest = gem_manifest_load(self->folder, &local);
  g_auto(GemModelShape) shape = {0};

  if (manifest == NULL) {
    g_propagate_error(error, format_error(local));
    return FALSE;
  }
  if (g_strcmp0(gem_manifest_get_sha256(manifest, GEM_MODEL_GENERAL_FILE), self->general_sha256) != 0 ||
      g_strcmp0(gem_manifest_get_sha256(manifest, GEM_MODEL_ROUTER_FILE), self->router_sha256) != 0) {
    g_propagate_error(error, changed_error("the manifest is another one"));
    return FALSE;
  }
  start->files[GEM_ADAPT_GENERAL] = open_verified(manifest, GEM_MODEL_GENERAL_FILE, error);
  if (start->files[GEM_ADAPT_GENERAL] < 0) {
    return FALSE;
  }
  start->files[GEM_ADAPT_ROUTER] = open_verified(manifest, GEM_MODEL_ROUTER_FILE, error);
  if (start->files[GEM_ADAPT_ROUTER] < 0 || !read_shape(start->files[GEM_ADAPT_GENERAL], &shape, error)) {
    return FALSE;
  }
  open_pathways(manifest, &shape, start);
  return TRUE;
}
