/*
 * llama.cpp measured as gem-bench speed measures gemd, and its greedy tokens:
 *
 *   peer-llama speed MODEL [-t THREADS] [-p PROMPT] [-n TOKENS] [-d DEPTH] [-r ROUNDS] [-8]
 *   peer-llama greedy MODEL [-t THREADS] [-n TOKENS] [-8] <TEXTS
 *
 * The options and the members of the JSON object that speed prints are those of gem-bench speed; -8 keeps
 * keys and values in 8 bits. greedy takes a text a line and prints what peer-logits.h says.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/peers/peer-llama-engine.h"
#include "tests/peers/peer-logits.h"

#define WARM_TOKENS  8u
#define MOST         500000L
#define MOST_ROUNDS  10000L
#define MOST_THREADS 1024L
#define MOST_TEXT    1024u /* tokens of a text of greedy */
#define SEED         1u

typedef struct {
  const char *model;
  unsigned threads, prompt, tokens, depth, rounds;
  bool cache_is_8_bits;
} Options;

typedef struct {
  double *load;    /* [rounds], milliseconds */
  double *prefill; /* [rounds], tokens a second */
  double *decode;  /* [rounds], tokens a second */
  double start;    /* milliseconds until the libraries were there */
  unsigned long peak;
} Figures;

/* ---- speed ---- */

static double
now(void)
{
  struct timespec time;

  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The most bytes that this process ever had; 0 when the system does not tell. */
static unsigned long
read_peak(void)
{
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  unsigned long kilobytes = 0;

  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "VmHWM:", 6) == 0) {
      kilobytes = strtoul(line + 6, NULL, 10);
    }
  }
  if (file != NULL) {
    fclose(file);
  }
  return kilobytes * 1024;
}

static unsigned
larger(unsigned a, unsigned b)
{
  return a > b ? a : b;
}

static GemPeerLlama *
open_model(const Options *options)
{
  GemPeerLlamaWish wish = {
      .model = options->model,
      .threads = options->threads,
      .context = options->depth + larger(options->prompt, options->tokens),
      .cache_is_8_bits = options->cache_is_8_bits,
  };

  return gem_peer_llama_open(&wish);
}

/* Runs n random tokens; `at_once`, or one a step. Writing draws nothing: the next token is random, too. */
static bool
run_random(GemPeerLlama *peer, unsigned n, bool at_once, int32_t *tokens)
{
  unsigned i;

  for (i = 0; i < n; i++) {
    tokens[i] = rand() % (int)gem_peer_llama_n_vocab(peer);
    if (!at_once && !gem_peer_llama_run(peer, &tokens[i], 1)) {
      return false;
    }
  }
  return !at_once || n == 0 || gem_peer_llama_run(peer, tokens, n);
}

/* One prompt and one answer, both after the depth; -1 where it failed. */
static bool
run_round(GemPeerLlama *peer, const Options *options, int32_t *tokens, double *prefill, double *decode)
{
  double started = now();

  if (!run_random(peer, options->prompt, true, tokens)) {
    return false;
  }
  *prefill = options->prompt / (now() - started);
  if (!gem_peer_llama_truncate(peer, options->depth)) {
    return false;
  }
  started = now();
  if (!run_random(peer, options->tokens, false, tokens)) {
    return false;
  }
  *decode = options->tokens / (now() - started);
  return gem_peer_llama_truncate(peer, options->depth);
}

/* Fills the depth, and touches what the rounds will use. */
static bool
warm_up(GemPeerLlama *peer, const Options *options, int32_t *tokens)
{
  unsigned written = options->tokens < WARM_TOKENS ? options->tokens : WARM_TOKENS;

  return run_random(peer, options->depth, true, tokens) && run_random(peer, options->prompt, true, tokens) &&
         gem_peer_llama_truncate(peer, options->depth) && run_random(peer, written, false, tokens) &&
         gem_peer_llama_truncate(peer, options->depth);
}

static bool
measure_rounds(GemPeerLlama *peer, const Options *options, Figures *figures)
{
  unsigned most = larger(options->depth, larger(options->prompt, options->tokens));
  int32_t *tokens = malloc(most * sizeof *tokens);
  bool done = tokens != NULL && warm_up(peer, options, tokens);
  unsigned i;

  for (i = 0; done && i < options->rounds; i++) {
    done = run_round(peer, options, tokens, &figures->prefill[i], &figures->decode[i]);
  }
  free(tokens);
  figures->peak = read_peak();
  return done;
}

/* The model is loaded for the rounds, whose memory counts, and then again to see how long that takes. */
static bool
measure(const Options *options, Figures *figures)
{
  unsigned i;

  for (i = 0; i < options->rounds; i++) {
    double started = now();
    GemPeerLlama *peer = open_model(options);
    bool done;

    figures->load[i] = (now() - started) * 1e3;
    done = peer != NULL && (i > 0 || measure_rounds(peer, options, figures));
    gem_peer_llama_close(peer);
    if (!done) {
      return false;
    }
  }
  return true;
}

static void
print_values(const char *name, const double *values, unsigned n)
{
  unsigned i;

  printf(",\n  \"%s\": {\"values\": [", name);
  for (i = 0; i < n; i++) {
    printf("%s%.6f", i == 0 ? "" : ", ", values[i]);
  }
  printf("]}");
}

static void
print_json(const Options *options, const Figures *figures)
{
  printf("{\n  \"command\": \"speed\",\n  \"version\": \"%s\",\n  \"kernels\": \"%s\"",
         gem_peer_llama_version(), gem_peer_llama_library());
  printf(",\n  \"threads\": %u,\n  \"prompt_tokens\": %u,\n  \"tokens\": %u,\n  \"depth\": %u",
         options->threads, options->prompt, options->tokens, options->depth);
  printf(",\n  \"cache\": \"%s\",\n  \"start_ms\": %.6f", options->cache_is_8_bits ? "Q8_0" : "F16",
         figures->start);
  print_values("load_ms", figures->load, options->rounds);
  print_values("prefill_tokens_per_second", figures->prefill, options->prompt > 0 ? options->rounds : 0);
  print_values("decode_tokens_per_second", figures->decode, options->tokens > 0 ? options->rounds : 0);
  printf(",\n  \"peak_resident_bytes\": %lu\n}\n", figures->peak);
}

static bool
speed(const Options *options)
{
  Figures figures = {
      .load = calloc(options->rounds, sizeof(double)),
      .prefill = calloc(options->rounds, sizeof(double)),
      .decode = calloc(options->rounds, sizeof(double)),
  };
  bool done = figures.load != NULL && figures.prefill != NULL && figures.decode != NULL;
  double started = now();

  done = done && gem_peer_llama_start();
  figures.start = (now() - started) * 1e3;
  srand(SEED);
  done = done && measure(options, &figures);
  if (done) {
    print_json(options, &figures);
  }
  free(figures.load);
  free(figures.prefill);
  free(figures.decode);
  return done;
}

/* ---- greedy ---- */

static bool
continue_text(GemPeerLlama *peer, const char *text, unsigned tokens)
{
  int32_t prompt[MOST_TEXT];
  int n = gem_peer_llama_tokenize(peer, text, prompt, MOST_TEXT);
  bool done;
  unsigned i;

  if (n <= 0) {
    fprintf(stderr, "peer-llama: a text of %zu bytes has no tokens, or more than %u\n", strlen(text),
            MOST_TEXT);
    return false;
  }
  gem_peer_logits_print_prompt(prompt, (unsigned)n);
  done = gem_peer_llama_truncate(peer, 0) && gem_peer_llama_run(peer, prompt, (unsigned)n);
  for (i = 0; done && i < tokens; i++) {
    GemPeerLogits logits =
        gem_peer_logits_read(gem_peer_llama_get_logits(peer), gem_peer_llama_n_vocab(peer));

    gem_peer_logits_print(&logits);
    done = logits.best >= 0 && (i + 1 == tokens || gem_peer_llama_run(peer, &logits.best, 1));
  }
  return done;
}

static bool
greedy(const Options *options)
{
  GemPeerLlamaWish wish = {
      .model = options->model,
      .threads = options->threads,
      .context = MOST_TEXT + options->tokens,
      .cache_is_8_bits = options->cache_is_8_bits,
  };
  GemPeerLlama *peer = gem_peer_llama_start() ? gem_peer_llama_open(&wish) : NULL;
  bool done = peer != NULL;
  char *line = NULL;
  size_t size = 0;

  while (done && getline(&line, &size, stdin) > 0) {
    line[strcspn(line, "\n")] = '\0';
    done = continue_text(peer, line, options->tokens);
  }
  free(line);
  gem_peer_llama_close(peer);
  return done;
}

/* ---- the command line ---- */

static bool
read_number(char option, const char *text, long least, long most, unsigned *ret_number)
{
  char *end = NULL;
  long number;

  errno = 0;
  number = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || number < least || number > most) {
    fprintf(stderr, "peer-llama: -%c %s: %ld to %ld is allowed\n", option, text, least, most);
    return false;
  }
  *ret_number = (unsigned)number;
  return true;
}

static bool
set_option(int option, Options *options)
{
  switch (option) {
  case 't':
    return read_number('t', optarg, 1, MOST_THREADS, &options->threads);
  case 'p':
    return read_number('p', optarg, 0, MOST, &options->prompt);
  case 'n':
    return read_number('n', optarg, 0, MOST, &options->tokens);
  case 'd':
    return read_number('d', optarg, 0, MOST, &options->depth);
  case 'r':
    return read_number('r', optarg, 1, MOST_ROUNDS, &options->rounds);
  case '8':
    options->cache_is_8_bits = true;
    return true;
  default:
    return false; /* getopt has said why */
  }
}

int
main(int argc, char **argv)
{
  Options options = {.threads = 1, .prompt = 512, .tokens = 128, .rounds = 5};
  int option;

  while ((option = getopt(argc, argv, "t:p:n:d:r:8")) != -1) {
    if (!set_option(option, &options)) {
      return 2;
    }
  }
  if (argc - optind != 2 || options.prompt + options.tokens == 0) {
    fprintf(stderr, "usage: peer-llama speed|greedy MODEL [-t N] [-p N] [-n N] [-d N] [-r N] [-8]\n");
    return 2;
  }
  options.model = argv[optind + 1];
  if (strcmp(argv[optind], "speed") == 0) {
    return speed(&options) ? 0 : 1;
  }
  if (strcmp(argv[optind], "greedy") == 0) {
    return greedy(&options) ? 0 : 1;
  }
  fprintf(stderr, "peer-llama: no command '%s'\n", argv[optind]);
  return 2;
}
