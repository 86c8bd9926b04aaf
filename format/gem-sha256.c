#include "format/gem-sha256.h"

#if GEM_HAVE_GCRYPT

#include <gcrypt.h>

#define DIGEST_BYTES 32u

struct _GemSha256 {
  gcry_md_hd_t handle;
};

/* libgcrypt wants to be told once that no more settings come; libsystemd may have been there first. */
static void
initialize_library(void)
{
  static gsize initialized = 0;

  if (g_once_init_enter(&initialized)) {
    if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
      gcry_check_version(NULL);
      gcry_control(GCRYCTL_DISABLE_SECMEM, 0); /* nothing secret is hashed */
      gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    g_once_init_leave(&initialized, 1);
  }
}

GemSha256 *
gem_sha256_new(void)
{
  GemSha256 *self = g_new0(GemSha256, 1);
  gcry_error_t failed;

  initialize_library();
  failed = gcry_md_open(&self->handle, GCRY_MD_SHA256, 0);
  if (failed != 0) {
    g_error("SHA-256: %s", gcry_strerror(failed)); /* no memory, or a library without it */
  }
  return self;
}

void
gem_sha256_free(GemSha256 *self)
{
  gcry_md_close(self->handle);
  g_free(self);
}

void
gem_sha256_update(GemSha256 *self, const void *data, gsize size)
{
  gcry_md_write(self->handle, data, size);
}

char *
gem_sha256_finish(GemSha256 *self)
{
  const guint8 *digest = gcry_md_read(self->handle, GCRY_MD_SHA256);
  GString *text = g_string_sized_new(2 * DIGEST_BYTES);

  for (guint i = 0; i < DIGEST_BYTES; i++) {
    g_string_append_printf(text, "%02x", digest[i]);
  }
  return g_string_free(text, FALSE);
}

#else

struct _GemSha256 {
  GChecksum *checksum;
};

GemSha256 *
gem_sha256_new(void)
{
  GemSha256 *self = g_new0(GemSha256, 1);

  self->checksum = g_checksum_new(G_CHECKSUM_SHA256);
  return self;
}

void
gem_sha256_free(GemSha256 *self)
{
  g_checksum_free(self->checksum);
  g_free(self);
}

void
gem_sha256_update(GemSha256 *self, const void *data, gsize size)
{
  const guint8 *bytes = data;

  while (size > 0) {
    gsize part = MIN(size, (gsize)G_MAXSSIZE);

    g_checksum_update(self->checksum, bytes, (gssize)part);
    bytes += part;
    size -= part;
  }
}

char *
gem_sha256_finish(GemSha256 *self)
{
  return g_strdup(g_checksum_get_string(self->checksum));
}

#endif
