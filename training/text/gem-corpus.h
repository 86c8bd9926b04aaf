/*
 * The text of a data folder (gem-data-folder.h) as token ids, to train on and to measure with. A document of
 * the corpus is <s> text </s>; a task's line is the model's ask template around the input, then the target
 * and </s>.
 */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/arithmetic/gem-random.h"
#include "training/text/gem-batch.h"
#include "training/text/gem-forks.h"

/* The folder name of text that belongs to no domain. */
#define GEM_CORPUS_GENERAL "general"

typedef enum {
  GEM_SPLIT_TRAIN,    /* corpus: all but the held-out documents; tasks: train.jsonl */
  GEM_SPLIT_HELD_OUT, /* corpus: those documents; tasks: test.jsonl */
} GemSplit;

typedef struct {
  gsize first;               /* index into the source's tokens */
  guint length;              /* tokens, with <s> and </s> */
  guint answer;              /* index of the target's first token in the document; 0 for a corpus document */
  guint first_fork, n_forks; /* of the source's; none unless they were asked for */
  guint first_rival, n_rivals; /* the same, of the line's own other choices */
} GemDocument;

/* A choice that is not the right one, with </s>. */
typedef struct {
  guint32 first, n; /* in the source's rival_tokens */
} GemRival;

typedef struct {
  char *name;   /* "legal" for a corpus, "legal/cuad_clause_type" for a task */
  gint8 domain; /* index, or GEM_ROUTE_GENERAL */
  gboolean is_task;
  gboolean labelled; /* a task whose answers are few and recur: a choice among fixed labels */
  double times;   /* of a task: how often a line is read, as by_times of GemDrawShares has it; 1 at first */
  GArray *tokens; /* guint32 */
  GArray *documents; /* GemDocument */
  GemForks *forks;   /* where the answers part from the lines' other choices, as indices into `tokens` */
  GArray *rivals, *rival_tokens; /* GemRival, guint32 */
} GemSource;

typedef struct {
  GPtrArray *sources; /* of GemSource */
  guint n_domains;
} GemCorpus;

typedef struct {
  const char *folder;
  GemSplit split;
  gboolean corpus, tasks; /* which kinds to read */
  gboolean all_licences;  /* tasks that are not permissive too: for measuring, never for a model that ships */
  gboolean forks;    /* where a task's answers part from the other choices of the line, or of labels.json */
  gboolean rivals;   /* the other choices of lines that have their own */
  gboolean bare_too; /* each document once more without the labels ("User: ") that begin its lines */
  gsize most_documents; /* of each source, evenly picked; 0: all */
  const char *ask_template;
  /* whether to read the source of that name (as GemSource has it); NULL: all that the above allows */
  gboolean (*wants)(const char *source, gboolean is_task, gpointer data);
  void (*progress)(const char *source, gpointer data); /* may be NULL */
  gpointer data;
} GemCorpusOptions;

/* Reads and tokenizes, on all cores. Sources of other domains are left out. Errors name the folder, or the
 * file and the line or byte that cannot be read; a folder without any source of a kind asked for is one. */
GemCorpus *
gem_corpus_load(const GemCorpusOptions *options,
                const char *const *domains,
                GemTokenizer *tokenizer,
                GError **error);
void
gem_corpus_free(GemCorpus *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemCorpus, gem_corpus_free)

/* One plain text to measure with, as gem-bench perplexity sends it to the service: its documents (a blank
 * line between them) as <s> text, without </s>, in a source of `domain` that is named by the path. Documents
 * of more than `longest` tokens are left out and counted. Errors name the file. */
GemCorpus *
gem_corpus_load_text(const char *path,
                     gint8 domain,
                     guint longest,
                     GemTokenizer *tokenizer,
                     guint *ret_left_out,
                     GError **error);

gsize
gem_corpus_n_tokens(const GemCorpus *self);

/* Of all that was read and how it was tokenized, which a training may draw: hexadecimal digits, of which no
 * two are alike by chance. Transfer full. */
#define GEM_CORPUS_DIGEST_LENGTH 16u
char *
gem_corpus_digest(const GemCorpus *self);

/* Whether gem_corpus_draw can ever return `least_tokens` tokens with this share of general text. */
gboolean
gem_corpus_check_draw(const GemCorpus *self, double general_share, guint least_tokens, GError **error);

/* What a draw returns: a window of one document. `tokens` is borrowed. */
typedef struct {
  const guint32 *tokens; /* the window; tokens[0] of a later window of a long document follows an <s> that the
                            caller puts there */
  guint n;
  guint answer;      /* index of the answer's first token in the window; n when it holds none */
  gboolean at_start; /* the window begins where the document does */
  const GemSource *source;
  const GemDocument *document;
  gint8 domain;
  gboolean is_task;
} GemDraw;

/* What is drawn how often; shares are 0 to 1. */
typedef struct {
  double general;      /* of draws: text of no domain */
  double task;         /* of draws: lines of tasks; the rest are windows of the corpus */
  double labelled;     /* of lines of tasks: drawn from the labelled tasks alone; the rest from all */
  double domain_power; /* a domain's chance goes with its tokens to this power; 0: all have the same */
  gboolean
      by_times; /* lines of tasks: any line of any domain, as often as its task's `times` says, in place
                   of a domain, a task by the square root of its lines, and a line; `labelled` is unused */
} GemDrawShares;

/* A window of at most `longest` tokens: general text with its share, else a domain; then kind, source and
 * document by chance. Never returns for a share of general text that gem_corpus_check_draw refuses. */
GemDraw
gem_corpus_draw(const GemCorpus *self, GemRandom *random, guint longest, const GemDrawShares *shares);
