#include "tests/peers/peers-greedy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  gint token;
  double top, second, deviation;
} Step;

static gboolean
fail(GError **error, guint text, const char *format, ...) G_GNUC_PRINTF(3, 4);

static gboolean
fail(GError **error, guint text, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start(arguments, format);
  message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "text %u: %s", text, message);
  return FALSE;
}

static gboolean
read_step(const char *line, Step *ret_step)
{
  Step step;

  if (sscanf(line, "token %d %lf %lf %lf", &step.token, &step.top, &step.second, &step.deviation) != 4) {
    return FALSE;
  }
  *ret_step = step;
  return TRUE;
}

/* Two steps after the same tokens. `ret_parted`: that it was the last one to be compared. */
static gboolean
compare_step(const Step *gem,
             const Step *llama,
             guint position,
             GemPeersAgreement *sums,
             gboolean *ret_parted,
             GError **error)
{
  double deviation = llama->deviation, apart = fabs(gem->top - llama->top) / deviation;
  double gap = MAX(gem->top - gem->second, llama->top - llama->second) / deviation;

  *ret_parted = gem->token != llama->token;
  /* NAN fails, too. */
  if (!(apart <= GEM_PEERS_NEAR_TIE)) {
    return fail(error, sums->texts, "token %u: greatest logits %g (gemd) and %g, which is %.3f deviations",
                position, gem->top, llama->top, apart);
  }
  sums->most_apart = MAX(sums->most_apart, apart);
  if (!*ret_parted) {
    sums->tokens++;
    return TRUE;
  }
  if (!(gap <= GEM_PEERS_NEAR_TIE)) {
    return fail(error, sums->texts, "token %u: %d (gemd) and %d, ahead of the next by %.3f deviations",
                position, gem->token, llama->token, gap);
  }
  sums->near_ties++;
  sums->largest_tie = MAX(sums->largest_tie, gap);
  return TRUE;
}

/* The lines of one text, from its prompt on; moves `line` behind them. */
static gboolean
compare_text(const GStrv gem, const GStrv llama, guint *line, GemPeersAgreement *sums, GError **error)
{
  gboolean parted = FALSE;
  guint first = *line;

  sums->texts++;
  if (strcmp(gem[first], llama[first]) != 0) {
    return fail(error, sums->texts, "its tokens differ: %s (gemd) and %s", gem[first], llama[first]);
  }
  for ((*line)++; gem[*line] != NULL && !g_str_has_prefix(gem[*line], "prompt"); (*line)++) {
    Step ours, theirs;

    if (!read_step(gem[*line], &ours) || !read_step(llama[*line], &theirs)) {
      return fail(error, sums->texts, "no tokens, but '%s' (gemd) and '%s'", gem[*line], llama[*line]);
    }
    sums->written++;
    if (!parted && !compare_step(&ours, &theirs, *line - first, sums, &parted, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static GStrv
split_lines(const char *text)
{
  g_autofree char *copy = g_strchomp(g_strdup(text));

  return g_strsplit(copy, "\n", -1);
}

gboolean
gem_peers_compare_greedy(const char *gem, const char *llama, GemPeersAgreement *ret_agreement, GError **error)
{
  g_auto(GStrv) ours = split_lines(gem), theirs = split_lines(llama);
  GemPeersAgreement sums = {0};
  guint line = 0;

  if (g_strv_length(ours) != g_strv_length(theirs) || ours[0] == NULL) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%u lines (gemd) and %u", g_strv_length(ours),
                g_strv_length(theirs));
    return FALSE;
  }
  while (ours[line] != NULL) {
    if (!compare_text(ours, theirs, &line, &sums, error)) {
      return FALSE;
    }
  }
  if (2 * sums.tokens < sums.written) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "near ties left %u of %u tokens to compare, which says too little", sums.tokens,
                sums.written);
    return FALSE;
  }
  *ret_agreement = sums;
  return TRUE;
}
