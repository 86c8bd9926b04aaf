/*
 * What the daemon and the trainer of a learned domain say to each other, as C structures and as serialised
 * GVariants `(sa{sv})`: the packet's kind and its fields.
 *
 * Each side treats the other's packets as hostile: a kind that is not for it, an unknown, missing or repeated
 * field, a wrong type, a value out of its range, a text that is too long or holds control characters are
 * errors, as are files that are not what the packet says they are.
 *
 *   to the trainer    start     once, the first: what to learn, from what, within what
 *                     cancel    write the checkpoint and end; closing the channel means the same
 *   to the daemon     progress  at least once a second
 *                     done, refused, bad-text, error    once, the last
 *
 * No packet holds a text of the user.
 */
#pragma once

#include <gio/gio.h>

#define GEM_ADAPT_MAX_PACKET  65536u /* bytes */
#define GEM_ADAPT_MAX_MESSAGE 1024u  /* bytes of a reason or an error's message */
#define GEM_ADAPT_MAX_OTHERS  64u    /* domains of a result */

#define GEM_ADAPT_MAX_PATHWAYS 16u

#define GEM_ADAPT_MAX_SECONDS  86400u
#define GEM_ADAPT_MAX_THREADS  64u
#define GEM_ADAPT_LEAST_MEMORY (G_GUINT64_CONSTANT(16) << 20) /* bytes */
#define GEM_ADAPT_MOST_MEMORY  (G_GUINT64_CONSTANT(1) << 40)

typedef enum {
  GEM_ADAPT_START,
  GEM_ADAPT_CANCEL,
  GEM_ADAPT_PROGRESS,
  GEM_ADAPT_DONE,
  GEM_ADAPT_REFUSED,  /* it was learned, but what it gives and what it costs are not as asked for */
  GEM_ADAPT_BAD_TEXT, /* the text is none that can be learned from */
  GEM_ADAPT_ERROR,    /* anything else */
} GemAdaptKind;

/* Which way a packet goes. */
typedef enum { GEM_ADAPT_TO_TRAINER, GEM_ADAPT_TO_DAEMON } GemAdaptWay;

/* The files that come with `start`, in the order in which their names stand in `fds`. */
typedef enum {
  GEM_ADAPT_TEXT,       /* UTF-8 documents, a blank line between them; read-only */
  GEM_ADAPT_GENERAL,    /* general.gguf; read-only */
  GEM_ADAPT_ROUTER,     /* router.gguf; read-only */
  GEM_ADAPT_PATHWAY,    /* what a residual starts from: pathway-adaptive.gguf; may be missing; read-only */
  GEM_ADAPT_REPLAY,     /* a serialised GVariant a(ss): domain or "general", and a text; read-only */
  GEM_ADAPT_CHECKPOINT, /* empty, or what an earlier run left: the trainer goes on from there; read-write */
  GEM_ADAPT_OUTPUT,     /* becomes the learned file; read-write */
  GEM_ADAPT_N_FILES
} GemAdaptFile;

/* A residual of the model, as it is: what the router's own routes run through. In `fds` it is called
 * "pathway-DOMAIN"; tokens of a domain that is not among them run through general alone, as they do in the
 * service. */
typedef struct {
  char *domain;
  int fd;
} GemAdaptPathway;

typedef enum {
  GEM_ADAPT_DAPT, /* plain text of the domain */
  GEM_ADAPT_TAPT, /* a task's own unlabelled inputs: short documents, asked as questions are */
} GemAdaptMode;

typedef enum {
  GEM_ADAPT_READING,
  GEM_ADAPT_MEASURING,
  GEM_ADAPT_LEARNING,
  GEM_ADAPT_CHECKING,
  GEM_ADAPT_WRITING,
} GemAdaptPhase;

typedef struct {
  char *name;     /* of the domain */
  char *replaces; /* a domain of the model; NULL: none (an empty string in the packet) */
  char *general_sha256, *router_sha256; /* of those files: 64 lower-case hexadecimal digits */
  guint64 memory_bytes;                 /* that the trainer may take in all */
  guint seconds;                        /* that it may take */
  guint threads;
  guint64 seed;
  GemAdaptMode mode;
  double worst_other_percent;   /* refused when the perplexity of another domain's text grows by more */
  double least_gain_percent;    /* refused when that of the held-out text does not fall by as much */
  int files[GEM_ADAPT_N_FILES]; /* descriptors; -1: missing */
  GArray *pathways;             /* GemAdaptPathway, at most GEM_ADAPT_MAX_PATHWAYS, distinct; read-only */
} GemAdaptStart;

typedef struct {
  double share; /* done of the whole, 0 to 1 */
  GemAdaptPhase phase;
  double loss; /* nats a token, while it learns; negative: none */
} GemAdaptProgress;

typedef struct {
  char *domain; /* or "general" */
  double percent;
} GemAdaptOther;

typedef struct {
  double held_out_before, held_out_after; /* perplexity of held-out text on the router's own routes */
  GArray *others;                         /* GemAdaptOther: by how much its replay text's perplexity grew */
  double worst_other_percent;             /* the largest of those */
  double routed_share;                    /* of the held-out tokens, to the new domain; 0 to 1 */
  guint64 tokens;                         /* of the text, held-out ones included */
  guint64 steps;
  double seconds;
  char *reason; /* of `refused`; NULL otherwise */
} GemAdaptResult;

typedef struct {
  GemAdaptKind kind;
  union {
    GemAdaptStart start;
    GemAdaptProgress progress;
    GemAdaptResult result; /* done and refused */
    char *message;         /* error and bad-text */
  };
} GemAdaptPacket;

/* An empty packet of that kind: no files, no texts. */
GemAdaptPacket *
gem_adapt_packet_new(GemAdaptKind kind);
/* Closes the files that are left in it. */
void
gem_adapt_packet_free(GemAdaptPacket *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptPacket, gem_adapt_packet_free)

/* Adds a residual to those that come with a start; takes `fd`. */
void
gem_adapt_start_add_pathway(GemAdaptStart *self, const char *domain, int fd);
/* Adds a row to a result's others. */
void
gem_adapt_result_add_other(GemAdaptResult *self, const char *domain, double percent);

/* The packet's bytes (transfer full) and, in the order of the packet, its descriptors (int; borrowed of it).
 */
GBytes *
gem_adapt_packet_write(const GemAdaptPacket *self, GArray *ret_files);

/* Checks all of it. `files` (int) are those that came with the bytes: the packet takes those that it names,
 * by setting them to -1 in the array; on failure some may be left there, and those that are not are closed.
 * G_IO_ERROR_INVALID_DATA, naming the field. */
GemAdaptPacket *
gem_adapt_packet_read(GBytes *bytes, GArray *files, GemAdaptWay way, GError **error);

/* "learning" and so on; never NULL. */
const char *
gem_adapt_phase_name(GemAdaptPhase phase);
