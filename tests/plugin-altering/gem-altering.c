/* The pathway "legal", whose file is altered while it is read: when its matrices have been made, and before
 * anybody can have looked whether it stayed what it was. */
#include <fcntl.h>
#include <unistd.h>

#include "plugins/gem-plugin.h"

static GemPathway *
pathway_open(const GemTensorSource *source,
             const GemShape *shape,
             const GemBackend *backend,
             GemPluginError *error);

/* The real one is called otherwise; its table has the one below. */
#define pathway_open(...) open_real(__VA_ARGS__)
#include "plugins/pathways/gem-pathway.c"
#undef pathway_open

static GemPathway *
pathway_open(const GemTensorSource *source,
             const GemShape *shape,
             const GemBackend *backend,
             GemPluginError *error)
{
  GemPathway *pathway = open_real(source, shape, backend, error);
  int file = open(source->file, O_WRONLY | O_CLOEXEC);
  off_t end = file >= 0 ? lseek(file, -1, SEEK_END) : -1;
  if (pathway != NULL && (end < 0 || write(file, "?", 1) != 1)) {
    pathway_close(pathway);
    pathway = NULL;
    gem_plugin_set_error(error, "the test could not alter the file");
  }
  if (file >= 0) {
    close(file);
  }
  return pathway;
}
