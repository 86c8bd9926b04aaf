#include "adaptation/trainer/gem-adapt-slots.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/gem-sha256.h"

#define MAGIC       "gemslot1"
#define HEADER_ROOM 4096u /* bytes before a slot's content */
#define MOST_BYTES  (G_GUINT64_CONSTANT(1) << 34)

/* As it stands in the file, which never leaves the machine. */
typedef struct {
  char magic[8];
  guint64 number;
  guint64 length;
  guint64 stride; /* bytes from the first slot to the second, the same in both */
  char sha256[64];
} Header;

static char *
hash_of(gconstpointer data, gsize size)
{
  g_autoptr(GemSha256) hash = gem_sha256_new();
  gem_sha256_update(hash, data, size);
  return gem_sha256_finish(hash);
}

static gboolean
read_all(int fd, guint64 offset, gpointer to, gsize size)
{
  guint8 *bytes = to;
  for (gsize done = 0; done < size;) {
    gssize got = pread(fd, bytes + done, size - done, (off_t)(offset + done));
    if (got == 0 || (got < 0 && errno != EINTR)) {
      return FALSE;
    }
    done += got > 0 ? (gsize)got : 0;
  }
  return TRUE;
}

static gboolean
write_all(int fd, guint64 offset, gconstpointer from, gsize size, GError **error)
{
  const guint8 *bytes = from;
  for (gsize done = 0; done < size;) {
    gssize got = pwrite(fd, bytes + done, size - done, (off_t)(offset + done));
    if (got < 0 && errno != EINTR) {
      int number = errno;
      g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(number), "cannot write the checkpoint: %s",
                  g_strerror(number));
      return FALSE;
    }
    done += got > 0 ? (gsize)got : 0;
  }
  return TRUE;
}

static gboolean
read_header(int fd, guint64 offset, Header *ret_header)
{
  Header header;
  if (!read_all(fd, offset, &header, sizeof header) ||
      memcmp(header.magic, MAGIC, sizeof header.magic) != 0 || header.stride > MOST_BYTES ||
      header.stride < HEADER_ROOM || header.length > header.stride - HEADER_ROOM) {
    return FALSE;
  }
  *ret_header = header;
  return TRUE;
}

/* What is in a slot, when it is whole. */
static GBytes *
read_slot(int fd, guint64 offset, const Header *header)
{
  struct stat status;
  if (fstat(fd, &status) < 0 || offset + HEADER_ROOM + header->length > (guint64)status.st_size) {
    return NULL;
  }
  g_autofree guint8 *data = g_try_malloc(MAX(header->length, 1));
  if (data == NULL || !read_all(fd, offset + HEADER_ROOM, data, header->length)) {
    return NULL;
  }
  g_autofree char *found = hash_of(data, header->length);
  gboolean whole = memcmp(found, header->sha256, sizeof header->sha256) == 0;
  return whole ? g_bytes_new_take(g_steal_pointer(&data), header->length) : NULL;
}

GBytes *
gem_adapt_slots_read(int fd, guint64 *ret_number)
{
  Header headers[2];
  gboolean known[2] = {read_header(fd, 0, &headers[0]), FALSE};
  if (!known[0]) {
    return NULL; /* nobody knows where the second one is, but the first was never written */
  }
  known[1] = read_header(fd, headers[0].stride, &headers[1]);
  gboolean second_first = known[1] && headers[1].number > headers[0].number;
  for (guint i = 0; i < 2; i++) {
    guint slot = second_first ? 1 - i : i;
    GBytes *bytes = known[slot] ? read_slot(fd, slot * headers[0].stride, &headers[slot]) : NULL;
    if (bytes != NULL) {
      *ret_number = headers[slot].number;
      return bytes;
    }
  }
  return NULL;
}

gboolean
gem_adapt_slots_write(int fd, guint64 number, GBytes *bytes, GError **error)
{
  gsize size = 0;
  gconstpointer data = g_bytes_get_data(bytes, &size);
  Header first, header = {.number = number, .length = size};
  memcpy(header.magic, MAGIC, sizeof header.magic);
  g_autofree char *sha256 = hash_of(data, size);
  memcpy(header.sha256, sha256, sizeof header.sha256);
  /* room for numbers that become longer */
  header.stride = (HEADER_ROOM + size + size / 64 + 2 * HEADER_ROOM - 1) / HEADER_ROOM * HEADER_ROOM;
  gboolean begun = read_header(fd, 0, &first) && size <= first.stride - HEADER_ROOM;
  if (begun) {
    header.stride = first.stride;
  }
  guint64 offset = begun && number % 2 == 1 ? header.stride : 0;
  /* The header last: until then the slot's old one tells that its content is not whole. */
  if (!write_all(fd, offset + HEADER_ROOM, data, size, error)) {
    return FALSE;
  }
  if (fdatasync(fd) < 0 || !write_all(fd, offset, &header, sizeof header, error) || fdatasync(fd) < 0) {
    if (error != NULL && *error == NULL) {
      g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot write the checkpoint: %s", g_strerror(errno));
    }
    return FALSE;
  }
  return TRUE;
}
