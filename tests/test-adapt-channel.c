/* The channel of learning: what one side says the other hears, with its files; what breaks the rules is
 * refused and leaves no file open. */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adaptation/gem-adapt-channel.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

typedef struct {
  GemAdaptChannel *daemon, *trainer;
  int raw; /* a descriptor of the daemon's end, to send what no good side would; borrowed */
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
  int daemon, trainer;
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_adapt_channel_make_pair(&daemon, &trainer, &error));
  fixture->daemon = gem_adapt_channel_new(daemon, GEM_ADAPT_TO_DAEMON, &error);
  g_assert_no_error(error);
  fixture->trainer = gem_adapt_channel_new(trainer, GEM_ADAPT_TO_TRAINER, &error);
  g_assert_no_error(error);
  fixture->raw = gem_adapt_channel_get_fd(fixture->daemon);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
  gem_adapt_channel_free(fixture->daemon);
  gem_adapt_channel_free(fixture->trainer);
}

static int
new_file(const char *contents)
{
  int fd = memfd_create("file", MFD_CLOEXEC);
  g_assert_cmpint(write(fd, contents, strlen(contents)), ==, (gssize)strlen(contents));
  return fd;
}

static guint
count_open_files(void)
{
  g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
  guint n = 0;
  while (g_dir_read_name(dir) != NULL) {
    n++;
  }
  return n;
}

static GemAdaptPacket *
new_start(gboolean with_pathway)
{
  GemAdaptPacket *packet = gem_adapt_packet_new(GEM_ADAPT_START);
  packet->start.name = g_strdup("adaptive");
  packet->start.replaces = g_strdup("adaptive");
  packet->start.general_sha256 = g_strdup(HASH);
  packet->start.router_sha256 = g_strdup(HASH);
  packet->start.memory_bytes = G_GUINT64_CONSTANT(256) << 20;
  packet->start.seconds = 240;
  packet->start.threads = 2;
  packet->start.seed = G_MAXUINT64;
  packet->start.mode = GEM_ADAPT_TAPT;
  packet->start.worst_other_percent = 1.0;
  packet->start.least_gain_percent = 2.0;
  for (guint i = 0; with_pathway && i < GEM_ADAPT_MAX_PATHWAYS; i++) {
    g_autofree char *domain = g_strdup_printf("d%u", i);
    gem_adapt_start_add_pathway(&packet->start, domain, new_file(domain));
  }
  for (guint i = 0; i < GEM_ADAPT_N_FILES; i++) {
    g_autofree char *contents = g_strdup_printf("file %u", i);
    packet->start.files[i] = i != GEM_ADAPT_PATHWAY || with_pathway ? new_file(contents) : -1;
  }
  return packet;
}

static GemAdaptPacket *
send_and_receive(GemAdaptChannel *from, GemAdaptChannel *to, const GemAdaptPacket *packet)
{
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_adapt_channel_send(from, packet, &error));
  g_assert_no_error(error);
  g_assert_true(gem_adapt_channel_wait(to, G_IO_IN, 0));
  GemAdaptPacket *received = gem_adapt_channel_receive(to, &error);
  g_assert_no_error(error);
  g_assert_cmpint((int)received->kind, ==, (int)packet->kind);
  return received;
}

static void
test_start(Fixture *fixture, gconstpointer data)
{
  guint before = count_open_files();
  for (gsize with_pathway = 0; with_pathway < 2; with_pathway++) {
    g_autoptr(GemAdaptPacket) sent = new_start(with_pathway == 1);
    g_autoptr(GemAdaptPacket) got = send_and_receive(fixture->daemon, fixture->trainer, sent);
    g_assert_cmpstr(got->start.name, ==, "adaptive");
    g_assert_cmpstr(got->start.replaces, ==, "adaptive");
    g_assert_cmpstr(got->start.general_sha256, ==, HASH);
    g_assert_cmpstr(got->start.router_sha256, ==, HASH);
    g_assert_cmpuint(got->start.memory_bytes, ==, sent->start.memory_bytes);
    g_assert_cmpuint(got->start.seconds, ==, 240);
    g_assert_cmpuint(got->start.threads, ==, 2);
    g_assert_cmpuint(got->start.seed, ==, G_MAXUINT64);
    g_assert_cmpint((int)got->start.mode, ==, (int)GEM_ADAPT_TAPT);
    g_assert_cmpfloat(got->start.worst_other_percent, ==, 1.0);
    g_assert_cmpfloat(got->start.least_gain_percent, ==, 2.0);
    for (guint i = 0; i < GEM_ADAPT_N_FILES; i++) {
      g_autofree char *contents = g_strdup_printf("file %u", i);
      char read_back[16] = "";
      if (i == GEM_ADAPT_PATHWAY && with_pathway == 0) {
        g_assert_cmpint(got->start.files[i], ==, -1);
        continue;
      }
      g_assert_cmpint(fcntl(got->start.files[i], F_GETFD) & FD_CLOEXEC, !=, 0);
      g_assert_cmpint(pread(got->start.files[i], read_back, sizeof read_back - 1, 0), >, 0);
      g_assert_cmpstr(read_back, ==, contents);
    }
  }
  g_assert_cmpuint(count_open_files(), ==, before);
}

/* The residuals of all domains, each under its name. */
static void
test_pathways(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) sent = new_start(TRUE);
  g_autoptr(GemAdaptPacket) got = send_and_receive(fixture->daemon, fixture->trainer, sent);
  g_assert_cmpuint(got->start.pathways->len, ==, GEM_ADAPT_MAX_PATHWAYS);
  for (guint i = 0; i < GEM_ADAPT_MAX_PATHWAYS; i++) {
    const GemAdaptPathway *pathway = &g_array_index(got->start.pathways, GemAdaptPathway, i);
    g_autofree char *domain = g_strdup_printf("d%u", i);
    char read_back[16] = "";
    g_assert_cmpstr(pathway->domain, ==, domain);
    g_assert_cmpint(pread(pathway->fd, read_back, sizeof read_back - 1, 0), >, 0);
    g_assert_cmpstr(read_back, ==, domain);
  }
}

static void
test_progress(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(GEM_ADAPT_PROGRESS);
  packet->progress.share = 0.25;
  packet->progress.phase = GEM_ADAPT_LEARNING;
  g_autoptr(GemAdaptPacket) without = send_and_receive(fixture->trainer, fixture->daemon, packet);
  g_assert_cmpfloat(without->progress.share, ==, 0.25);
  g_assert_cmpstr(gem_adapt_phase_name(without->progress.phase), ==, "learning");
  g_assert_cmpfloat(without->progress.loss, <, 0.0);
  packet->progress.loss = 3.5;
  g_autoptr(GemAdaptPacket) with = send_and_receive(fixture->trainer, fixture->daemon, packet);
  g_assert_cmpfloat(with->progress.loss, ==, 3.5);
}

static void
test_results(Fixture *fixture, gconstpointer data)
{
  const GemAdaptKind kinds[] = {GEM_ADAPT_DONE, GEM_ADAPT_REFUSED};
  for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
    g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(kinds[i]);
    packet->result.held_out_before = 40.0;
    packet->result.held_out_after = 30.0;
    packet->result.worst_other_percent = 0.5;
    packet->result.routed_share = 0.75;
    packet->result.tokens = 300000;
    packet->result.steps = 400;
    packet->result.seconds = 200.5;
    packet->result.reason = i == 1 ? g_strdup("legal became 3 % worse") : NULL;
    gem_adapt_result_add_other(&packet->result, "legal", 0.5);
    gem_adapt_result_add_other(&packet->result, "general", -0.25);
    g_autoptr(GemAdaptPacket) got = send_and_receive(fixture->trainer, fixture->daemon, packet);
    g_assert_cmpfloat(got->result.held_out_before, ==, 40.0);
    g_assert_cmpfloat(got->result.held_out_after, ==, 30.0);
    g_assert_cmpfloat(got->result.worst_other_percent, ==, 0.5);
    g_assert_cmpfloat(got->result.routed_share, ==, 0.75);
    g_assert_cmpuint(got->result.tokens, ==, 300000);
    g_assert_cmpuint(got->result.steps, ==, 400);
    g_assert_cmpfloat(got->result.seconds, ==, 200.5);
    g_assert_cmpstr(got->result.reason, ==, packet->result.reason);
    g_assert_cmpuint(got->result.others->len, ==, 2);
    const GemAdaptOther *other = &g_array_index(got->result.others, GemAdaptOther, 1);
    g_assert_cmpstr(other->domain, ==, "general");
    g_assert_cmpfloat(other->percent, ==, -0.25);
  }
}

static void
test_ends(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) failed = gem_adapt_packet_new(GEM_ADAPT_ERROR);
  failed->message = g_strdup("no room");
  g_autoptr(GemAdaptPacket) got = send_and_receive(fixture->trainer, fixture->daemon, failed);
  g_assert_cmpstr(got->message, ==, "no room");
  g_autoptr(GemAdaptPacket) unfit = gem_adapt_packet_new(GEM_ADAPT_BAD_TEXT);
  unfit->message = g_strdup("too short");
  g_autoptr(GemAdaptPacket) told = send_and_receive(fixture->trainer, fixture->daemon, unfit);
  g_assert_cmpstr(told->message, ==, "too short");
  g_autoptr(GemAdaptPacket) cancel = gem_adapt_packet_new(GEM_ADAPT_CANCEL);
  g_autoptr(GemAdaptPacket) cancelled = send_and_receive(fixture->daemon, fixture->trainer, cancel);

  g_autoptr(GError) error = NULL;
  g_assert_false(gem_adapt_channel_wait(fixture->trainer, G_IO_IN, 0));
  g_assert_null(gem_adapt_channel_receive(fixture->trainer, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error(&error);
  g_clear_pointer(&fixture->daemon, gem_adapt_channel_free);
  g_assert_null(gem_adapt_channel_receive(fixture->trainer, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
  g_clear_error(&error);
  g_assert_false(gem_adapt_channel_send(fixture->trainer, failed, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
}

/* A result that is no number is told as the worst there is. */
static void
test_no_numbers(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(GEM_ADAPT_REFUSED);
  packet->result.held_out_before = 40.0;
  packet->result.held_out_after = INFINITY;
  packet->result.worst_other_percent = NAN;
  packet->result.reason = g_strdup("it diverged");
  gem_adapt_result_add_other(&packet->result, "legal", INFINITY);
  gem_adapt_result_add_other(&packet->result, "general", -INFINITY);
  g_autoptr(GemAdaptPacket) got = send_and_receive(fixture->trainer, fixture->daemon, packet);
  g_assert_cmpfloat(got->result.held_out_after, ==, G_MAXDOUBLE);
  g_assert_cmpfloat(got->result.worst_other_percent, ==, 1e6);
  g_assert_cmpfloat(g_array_index(got->result.others, GemAdaptOther, 0).percent, ==, 1e6);
  g_assert_cmpfloat(g_array_index(got->result.others, GemAdaptOther, 1).percent, ==, -1e6);
}

/* More files than a packet can bring are an error of who sends them. */
static void
test_too_many_pathways(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) packet = new_start(TRUE);
  g_autoptr(GError) error = NULL;
  for (guint i = 0; i < 200; i++) {
    g_autofree char *domain = g_strdup_printf("more-%u", i);
    gem_adapt_start_add_pathway(&packet->start, domain, new_file(domain));
  }
  g_assert_false(gem_adapt_channel_send(fixture->daemon, packet, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_false(gem_adapt_channel_wait(fixture->trainer, G_IO_IN, 0));
}

/* A side that does not read stops the other, and does not hold it up. */
static void
test_full(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(GEM_ADAPT_PROGRESS);
  g_autoptr(GError) error = NULL;
  while (gem_adapt_channel_send(fixture->trainer, packet, &error)) {
  }
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_assert_false(gem_adapt_channel_wait(fixture->trainer, G_IO_OUT, 0));
}

static void
test_no_channel(void)
{
  int ends[2];
  g_autoptr(GError) error = NULL;
  guint before = count_open_files();
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
    g_assert_null(gem_adapt_channel_new(ends[i], GEM_ADAPT_TO_TRAINER, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
  }
  g_assert_cmpuint(count_open_files(), ==, before);
}

/* ---- what no good side would send ---- */

static void
send_raw(const Fixture *fixture, gconstpointer data, gsize size, const int *files, gsize n_files)
{
  union {
    struct cmsghdr header;
    guint8 bytes[CMSG_SPACE(32 * sizeof(int))];
  } control = {0};
  struct iovec part = {(gpointer)data, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (n_files > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(n_files * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(n_files * sizeof(int));
    memcpy(CMSG_DATA(header), files, n_files * sizeof(int));
  }
  g_assert_cmpint(sendmsg(fixture->raw, &message, 0), ==, (gssize)size);
}

static void
assert_refused(GemAdaptChannel *channel, const char *what)
{
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_adapt_channel_receive(channel, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  if (strstr(error->message, what) == NULL) {
    g_error("'%s' is not in '%s'", what, error->message);
  }
}

static GVariant *
parse(const char *text)
{
  g_autoptr(GError) error = NULL;
  GVariant *packet = g_variant_parse(G_VARIANT_TYPE("(sa{sv})"), text, NULL, NULL, &error);
  g_assert_no_error(error);
  return packet;
}

/* Sends the packet with `n_files` good files. */
static void
send_text(const Fixture *fixture, const char *text, gsize n_files)
{
  int files[32];
  g_autoptr(GVariant) packet = parse(text);
  for (gsize i = 0; i < n_files; i++) {
    files[i] = new_file("x");
  }
  send_raw(fixture, g_variant_get_data(packet), g_variant_get_size(packet), files, n_files);
  for (gsize i = 0; i < n_files; i++) {
    close(files[i]);
  }
}

#define FILES "'fds': <['text', 'general', 'router', 'replay', 'checkpoint', 'output']>"
#define REST                                                                                                 \
  "'general_sha256': <'" HASH "'>, 'router_sha256': <'" HASH "'>, 'memory_bytes': <uint64 268435456>, "      \
  "'seed': <uint64 1>, 'mode': <'dapt'>, 'worst_other_percent': <1.0>, 'least_gain_percent': <2.0>"
#define TIME  "'seconds': <uint32 240>, 'threads': <uint32 2>"
#define NAMES "'name': <'knitting'>, 'replaces': <''>"

static void
test_hostile_start(Fixture *fixture, gconstpointer data)
{
  const struct {
    const char *text;
    gsize n_files;
    const char *what;
  } cases[] = {
      {"('start', {" NAMES ", " REST ", " TIME ", 'fds': <['text', 'general', 'router', 'replay', "
       "'checkpoint', 'output', 'pathway-../x']>})",
       7, "no file"},
      {"('start', {" NAMES ", " REST ", " TIME ", 'fds': <['text', 'general', 'router', 'replay', "
       "'checkpoint', 'output', 'pathway-x', 'pathway-x']>})",
       8, "twice"},
      {"('start', {})", 0, "name"},
      {"('start', {" NAMES ", " REST ", " TIME "})", 6, "fds"},
      {"('start', {" NAMES ", " REST ", " TIME ", " FILES "})", 5, "fds"},
      {"('start', {" NAMES ", " REST ", " TIME ", " FILES "})", 7, "fds"},
      {"('start', {" NAMES ", " REST ", " TIME ", " FILES "})", 31, "too many files"},
      {"('start', {" NAMES ", " REST ", " TIME ", " FILES ", 'more': <1>})", 6, "no place"},
      {"('start', {" NAMES ", 'name': <'other'>, " REST ", " TIME ", " FILES "})", 6, "twice"},
      {"('start', {" NAMES ", " REST ", " TIME
       ", 'fds': <['text', 'text', 'text', 'text', 'text', 'text']>})",
       6, "twice"},
      {"('start', {" NAMES ", " REST ", " TIME ", 'fds': <['a', 'b', 'c', 'd', 'e', 'f']>})", 6, "no file"},
      {"('start', {" NAMES ", " REST ", " TIME ", 'fds': <['text', 'general', 'router', 'pathway', "
       "'checkpoint', 'output']>})",
       6, "without replay"},
      {"('start', {" NAMES ", " REST ", " TIME ", 'fds': <'text'>})", 6, "fds"},
      {"('start', {'name': <'../x'>, 'replaces': <''>, " REST ", " TIME ", " FILES "})", 6, "name"},
      {"('start', {'name': <''>, 'replaces': <''>, " REST ", " TIME ", " FILES "})", 6, "name"},
      {"('start', {'name': <7>, 'replaces': <''>, " REST ", " TIME ", " FILES "})", 6, "name"},
      {"('start', {'name': <'a'>, 'replaces': <'general'>, " REST ", " TIME ", " FILES "})", 6, "replaces"},
      {"('start', {" NAMES ", " REST ", 'seconds': <uint32 0>, 'threads': <uint32 2>, " FILES "})", 6,
       "seconds"},
      {"('start', {" NAMES ", " REST ", 'seconds': <240>, 'threads': <uint32 2>, " FILES "})", 6, "seconds"},
      {"('start', {" NAMES ", " REST ", 'seconds': <uint32 1>, 'threads': <uint32 65>, " FILES "})", 6,
       "threads"},
      {"('done', {})", 0, "kind"},
      {"('', {})", 0, "kind"},
      {"('cancel', {'now': <true>})", 0, "no place"},
      {"('cancel', {})", 1, "with files"},
  };
  guint before = count_open_files();
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    send_text(fixture, cases[i].text, cases[i].n_files);
    assert_refused(fixture->trainer, cases[i].what);
    g_assert_cmpuint(count_open_files(), ==, before);
  }
  /* The same without what is wrong is right. */
  g_autoptr(GError) error = NULL;
  send_text(fixture, "('start', {" NAMES ", " REST ", " TIME ", " FILES "})", 6);
  g_autoptr(GemAdaptPacket) start = gem_adapt_channel_receive(fixture->trainer, &error);
  g_assert_no_error(error);
  g_assert_null(start->start.replaces);
}

/* Each value of a start out of its range in its turn. */
static void
test_hostile_values(Fixture *fixture, gconstpointer data)
{
  const char *const good[][2] = {
      {"general_sha256", "'" HASH "'"},
      {"router_sha256", "'" HASH "'"},
      {"memory_bytes", "uint64 268435456"},
      {"seed", "uint64 1"},
      {"mode", "'dapt'"},
      {"worst_other_percent", "1.0"},
      {"least_gain_percent", "2.0"},
  };
  const char *const bad[][3] = {{"'" HASH "0'", "'0123456789ABCDEF'", "''"},
                                {"'" HASH "0'", "'xyz'", "uint32 7"},
                                {"uint64 0", "uint64 18446744073709551615", "1.0"},
                                {"1", "'1'", "true"},
                                {"'plain'", "''", "uint32 0"},
                                {"-1.0", "1e300", "uint32 1"},
                                {"101.0", "-1e300", "'2'"}};
  for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
    for (gsize j = 0; j < 3; j++) {
      g_autoptr(GString) text = g_string_new("('start', {" NAMES ", " TIME ", " FILES);
      for (gsize field = 0; field < G_N_ELEMENTS(good); field++) {
        g_string_append_printf(text, ", '%s': <%s>", good[field][0], field == i ? bad[i][j] : good[field][1]);
      }
      g_string_append(text, "})");
      send_text(fixture, text->str, 6);
      assert_refused(fixture->trainer, good[i][0]);
    }
  }
}

/* Files that are none, or open in another way. */
static void
test_hostile_files(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GVariant) packet = parse("('start', {" NAMES ", " REST ", " TIME ", " FILES "})");
  int ends[2];
  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  int file = new_file("x");
  g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", file);
  int read_only = open(path, O_RDONLY | O_CLOEXEC), write_only = open(path, O_WRONLY | O_CLOEXEC),
      no_access = open(path, O_PATH | O_CLOEXEC), folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const struct {
    gsize place;
    int fd;
    const char *what;
  } cases[] = {{0, ends[0], "text"},    {5, read_only, "output"}, {4, read_only, "checkpoint"},
               {0, write_only, "text"}, {1, folder, "general"},   {2, no_access, "router"}};
  guint before = count_open_files();
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    int files[6] = {read_only, read_only, read_only, read_only, file, file};
    files[cases[i].place] = cases[i].fd;
    send_raw(fixture, g_variant_get_data(packet), g_variant_get_size(packet), files, G_N_ELEMENTS(files));
    assert_refused(fixture->trainer, cases[i].what);
    g_assert_cmpuint(count_open_files(), ==, before);
  }
  const int all[] = {ends[0], ends[1], file, read_only, write_only, no_access, folder};
  for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
    close(all[i]);
  }
}

static void
test_hostile_bytes(Fixture *fixture, gconstpointer data)
{
  g_autofree guint8 *noise = g_malloc(GEM_ADAPT_MAX_PACKET + 1);
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  for (gsize i = 0; i <= GEM_ADAPT_MAX_PACKET; i++) {
    noise[i] = (guint8)g_rand_int_range(random, 0, 256);
  }
  send_raw(fixture, noise, GEM_ADAPT_MAX_PACKET + 1, NULL, 0);
  assert_refused(fixture->trainer, "too large");
  for (gsize size = 1; size < 200; size++) {
    send_raw(fixture, noise + size, size, NULL, 0);
    assert_refused(fixture->trainer, "");
  }
  int file = new_file("x");
  guint before = count_open_files();
  send_raw(fixture, noise, 0, &file, 1);
  assert_refused(fixture->trainer, "");
  g_assert_cmpuint(count_open_files(), ==, before);
  close(file);
}

#define FIGURES                                                                                              \
  "'held_out_before': <40.0>, 'held_out_after': <30.0>, 'routed_share': <0.5>, 'tokens': <uint64 1>, "       \
  "'steps': <uint64 1>, 'seconds': <1.0>, 'worst_other_percent': <0.5>"

/* A trainer that was taken over is as little trusted. */
static void
test_hostile_trainer(Fixture *fixture, gconstpointer data)
{
  const struct {
    const char *text;
    const char *what;
  } cases[] = {
      {"('start', {})", "kind"},
      {"('progress', {'share': <1.5>, 'phase': <'reading'>})", "share"},
      {"('progress', {'share': <0.5>, 'phase': <'sleeping'>})", "phase"},
      {"('progress', {'share': <0.5>, 'phase': <'learning'>, 'loss': <-1.0>})", "loss"},
      {"('progress', {'share': <0.5>, 'phase': <'learning'>, 'text': <'secret'>})", "no place"},
      {"('done', {" FIGURES "})", "others"},
      {"('done', {" FIGURES ", 'others': <{'legal\\nx': 0.5}>})", "others"},
      {"('done', {" FIGURES ", 'others': <{'legal': 1e300}>})", "others"},
      {"('done', {" FIGURES ", 'others': <@a{sd} {}>, 'reason': <'x'>})", "no place"},
      {"('refused', {" FIGURES ", 'others': <@a{sd} {}>})", "reason"},
      {"('refused', {" FIGURES ", 'others': <@a{sd} {}>, 'reason': <'a\\u001b[31m'>})", "reason"},
      {"('error', {'message': <''>})", "message"},
      {"('error', {'message': <7>})", "message"},
  };
  Fixture turned = {.raw = gem_adapt_channel_get_fd(fixture->trainer)};
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    send_text(&turned, cases[i].text, 0);
    assert_refused(fixture->daemon, cases[i].what);
  }
  g_autofree char *endless = g_strnfill(GEM_ADAPT_MAX_MESSAGE + 1, 'x');
  g_autofree char *text = g_strdup_printf("('error', {'message': <'%s'>})", endless);
  send_text(&turned, text, 0);
  assert_refused(fixture->daemon, "message");
  send_text(&turned, "('progress', {'share': <0.5>, 'phase': <'reading'>})", 1);
  assert_refused(fixture->daemon, "with files");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/adapt-channel/start", Fixture, NULL, set_up, test_start, tear_down);
  g_test_add("/adapt-channel/pathways", Fixture, NULL, set_up, test_pathways, tear_down);
  g_test_add("/adapt-channel/progress", Fixture, NULL, set_up, test_progress, tear_down);
  g_test_add("/adapt-channel/results", Fixture, NULL, set_up, test_results, tear_down);
  g_test_add("/adapt-channel/no-numbers", Fixture, NULL, set_up, test_no_numbers, tear_down);
  g_test_add("/adapt-channel/too-many-pathways", Fixture, NULL, set_up, test_too_many_pathways, tear_down);
  g_test_add("/adapt-channel/ends", Fixture, NULL, set_up, test_ends, tear_down);
  g_test_add("/adapt-channel/full", Fixture, NULL, set_up, test_full, tear_down);
  g_test_add_func("/adapt-channel/no-channel", test_no_channel);
  g_test_add("/adapt-channel/hostile/start", Fixture, NULL, set_up, test_hostile_start, tear_down);
  g_test_add("/adapt-channel/hostile/values", Fixture, NULL, set_up, test_hostile_values, tear_down);
  g_test_add("/adapt-channel/hostile/files", Fixture, NULL, set_up, test_hostile_files, tear_down);
  g_test_add("/adapt-channel/hostile/bytes", Fixture, NULL, set_up, test_hostile_bytes, tear_down);
  g_test_add("/adapt-channel/hostile/trainer", Fixture, NULL, set_up, test_hostile_trainer, tear_down);
  return g_test_run();
}
