/* Choices after one prompt, and what is made of right and wrong ones. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-folder.h"
#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/experiment/gem-choice-score.h"
#include "training/experiment/gem-forgetting.h"
#include "training/network/gem-backbone-continue.h"
#include "training/network/gem-centroids.h"
#include "training/network/gem-presets.h"

/* ---- continuations ---- */

/* The sum of log p of the tokens after `prompt`, by an ordinary pass over both. */
static double
weigh_alone(const GemBackbone *backbone,
            const float *values,
            const float *centroids,
            int set,
            const guint32 *prompt,
            guint n_prompt,
            const guint32 *tokens,
            guint n,
            gint8 route)
{
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(backbone);
  g_autoptr(GemBatch) batch = gem_batch_new(64);
  g_autofree guint32 *all = g_new(guint32, n_prompt + n);
  float losses[64];
  GemLoss loss;
  double sum = 0.0;
  memcpy(all, prompt, n_prompt * sizeof(guint32));
  memcpy(all + n_prompt, tokens, n * sizeof(guint32));
  gem_batch_append(batch, all, n_prompt + n, route, 1.0f);
  gem_backbone_run(backbone, values, centroids, set, batch, 1.0f, pass, NULL, losses, &loss);
  for (guint i = n_prompt - 1; i + 1 < n_prompt + n; i++) {
    sum -= (double)losses[i];
  }
  return sum;
}

enum { TEXTS = 3, CHOICES = 4 };

/* Texts of 20, 1 and 9 tokens, each with the same choices: two begin alike, the third begins as the second
 * and ends before it, the fourth has nothing in common with them; routes differ from text to text. */
static void
check_continuations(const char *shape, int set, const gint8 *routes, gboolean exclusive)
{
  const guint32 start[] = {0, 6, 12, 15, 16}, prompt_start[] = {0, 20, 21, 30};
  guint32 prompt[30], tokens[16];
  double logs[TEXTS * CHOICES];
  g_autoptr(GemBackbone) backbone = gem_test_backbone_new(shape, 40);
  backbone->exclusive = exclusive;
  g_autoptr(GemCentroids) centroids = gem_centroids_new(backbone, 5);
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(backbone);
  g_autoptr(GemBatch) batch = gem_batch_new(64);
  g_autoptr(GemContinuations) all = gem_continuations_new();
  float *values = gem_parameters_alloc(backbone->parameters);
  GemRandom random = gem_random_seeded(3, 3);
  gem_parameters_init(backbone->parameters, 11, values);
  for (gsize i = 0; i < backbone->parameters->size; i++) {
    values[i] += 0.1f * (float)gem_random_normal(&random);
  }
  for (gsize i = 0; i < 46; i++) {
    *(i < 30 ? &prompt[i] : &tokens[i - 30]) = (guint32)gem_random_below(&random, 262);
  }
  memcpy(tokens + 6, tokens, 4 * sizeof(guint32));
  memcpy(tokens + 12, tokens + 6, 3 * sizeof(guint32));
  for (guint t = 0; t < TEXTS; t++) {
    gem_batch_append(batch, prompt + prompt_start[t], prompt_start[t + 1] - prompt_start[t], routes[t], 1.0f);
    gem_continuations_add_text(all);
    for (guint c = 0; c < CHOICES; c++) {
      gem_continuations_add(all, tokens + start[c], start[c + 1] - start[c]);
    }
  }
  g_assert_cmpuint(gem_continuations_number_rows(all), ==, TEXTS * 6); /* of 16 tokens each */
  gem_backbone_weigh(backbone, values, centroids->values, set, batch, pass, all, routes, logs);
  for (guint i = 0; i < TEXTS * CHOICES; i++) {
    guint t = i / CHOICES, c = i % CHOICES;
    double expected = weigh_alone(backbone, values, centroids->values, set, prompt + prompt_start[t],
                                  prompt_start[t + 1] - prompt_start[t], tokens + start[c],
                                  start[c + 1] - start[c], routes[t]);
    g_assert_cmpfloat_with_epsilon(logs[i], expected, 1e-3);
  }
  g_aligned_free(values);
}

static void
test_continuations(void)
{
  const char *sparse = "vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4",
             *successors = "vocab=262,width=64,heads=2,ffn=64,domain-ffn=32,domains=3,window=4,successors=1";
  const gint8 one[] = {1, 1, 1}, none[] = {GEM_ROUTE_GENERAL, GEM_ROUTE_GENERAL, GEM_ROUTE_GENERAL},
              mixed[] = {2, GEM_ROUTE_GENERAL, 0};
  check_continuations(sparse, 0, one, FALSE);
  check_continuations(sparse, 1, none, FALSE);
  check_continuations(sparse, -1, mixed, FALSE);
  check_continuations(sparse, 0, mixed, TRUE);
  check_continuations(successors, 0, mixed, FALSE);
  check_continuations(successors, 1, one, FALSE);
  check_continuations("vocab=262,width=128,heads=4,kv-heads=2,ffn=64,domains=0,clusters=0", -1, none, FALSE);
}

/* ---- tasks ---- */

static GPtrArray *
load(const char *dir, gsize most, GError **error)
{
  g_autoptr(GemTokenizer) tokenizer = gem_test_byte_tokenizer_new();
  const GemChoiceTasksOptions options = {.folder = dir,
                                         .domains = gem_preset_domains,
                                         .file = "dev.jsonl",
                                         .most_items = most,
                                         .longest = 60,
                                         .ask_template = GEM_PRESET_ASK_TEMPLATE};
  return gem_choice_tasks_load(&options, tokenizer, error);
}

static char *
folder_with(const char *lines)
{
  char *dir = gem_test_data_folder_new();
  gem_test_write_text(dir, "tasks/legal/clauses/dev.jsonl", lines);
  return dir;
}

static void
test_tasks(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *dir = folder_with(
      "{\"input\": \"A?\", \"target\": \"yes\", \"choices\": [\"no\", \"yes\"]}\n"
      "{\"input\": \"B?\", \"target\": \"no\", \"choices\": [\"no\", \"yes\"]}\n"
      "{\"input\": \"This one is longer than what there is room for, so that its beginning goes\", "
      "\"target\": \"yes\", \"choices\": [\"no\", \"yes\"]}\n");
  gem_test_write_text(dir, "tasks/finance/closed/dev.jsonl",
                      "{\"input\": \"Up?\", \"target\": \"up\"}\n"
                      "{\"input\": \"Down?\", \"target\": \"down\"}\n");
  gem_test_write_text(dir, "tasks/finance/closed/labels.json", "[\"up\", \"down\", \"level\", \"gone\"]");
  g_autoptr(GPtrArray) tasks = load(dir, 0, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(tasks->len, ==, 2);
  const GemChoiceTask *clauses = tasks->pdata[0], *closed = tasks->pdata[1];
  g_assert_cmpstr(clauses->name, ==, "legal/clauses");
  g_assert_true(clauses->domain == 1);
  g_assert_cmpuint(clauses->items->len, ==, 3);
  g_assert_cmpfloat_with_epsilon(clauses->majority, 2.0 / 3.0, 1e-9);
  g_assert_cmpfloat_with_epsilon(closed->majority, 0.5, 1e-9);
  const GemChoiceItem *first = clauses->items->pdata[0], *cut = clauses->items->pdata[2];
  g_assert_cmpuint(first->right, ==, 1);
  g_assert_cmpuint(first->starts->len, ==, 3);
  g_assert_cmpuint(g_array_index(first->starts, guint32, 2), ==, first->choices->len);
  g_assert_cmpuint(g_array_index(first->choices, guint32, first->choices->len - 1), ==, 2); /* </s> */
  g_assert_cmpuint(cut->prompt->len + 4, ==, 60);
  g_assert_cmpuint(g_array_index(cut->prompt, guint32, 0), ==, 1); /* <s> stays */
  g_assert_cmpuint(((const GemChoiceItem *)closed->items->pdata[1])->starts->len, ==, 5);
  g_autoptr(GPtrArray) few = load(dir, 2, &error);
  g_assert_cmpuint(((const GemChoiceTask *)few->pdata[0])->items->len, ==, 2);
  gem_test_folder_remove(dir);
}

/* A split that is partly of another form is no task: what stood before would have no majority to be held
 * against. */
static void
test_mixed_forms(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *dir =
      folder_with("{\"input\": \"A?\", \"target\": \"yes\", \"choices\": [\"no\", \"yes\"]}\n"
                  "{\"input\": \"B?\", \"target\": \"whatever\"}\n");
  g_autoptr(GPtrArray) tasks = load(dir, 0, &error);
  g_assert_no_error(error);
  for (guint i = 0; i < tasks->len; i++) {
    g_assert_cmpstr(((const GemChoiceTask *)tasks->pdata[i])->name, !=, "legal/clauses");
  }
  gem_test_folder_remove(dir);
}

static void
test_task_errors(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *dir =
      folder_with("{\"input\": \"A?\", \"target\": \"maybe\", \"choices\": [\"no\", \"yes\"]}\n");
  g_assert_null(load(dir, 0, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
  g_assert_nonnull(strstr(error->message, "clauses/dev.jsonl: line 1"));
  gem_test_folder_remove(dir);
}

/* A network that has learned what follows: it chooses right, by its own domain's residual and by general. */
static void
test_scores(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GString) lines = g_string_new(NULL);
  for (guint i = 0; i < 20; i++) {
    g_string_append_printf(lines,
                           "{\"input\": \"q%u\", \"target\": \"%s\", \"choices\": [\"a\", \"b\", \"c\"]}\n",
                           i, i % 4 == 0 ? "b" : "a");
  }
  g_autofree char *dir = folder_with(lines->str);
  g_autoptr(GPtrArray) tasks = load(dir, 0, &error);
  g_assert_no_error(error);
  const GemChoiceTask *task = tasks->pdata[0];
  g_autoptr(GemBackbone) backbone =
      gem_test_backbone_new("vocab=512,width=32,heads=1,layers=1,ffn=32,domain-ffn=32,domains=2", 64);
  g_autoptr(GemCentroids) centroids = gem_centroids_new(backbone, 5);
  g_autoptr(GemLanes) lanes = gem_lanes_new(2);
  float *values = gem_parameters_alloc(backbone->parameters);
  gem_parameters_init(backbone->parameters, 3, values);
  GemRandom random = gem_random_seeded(4, 4);
  for (gsize i = 0; i < backbone->parameters->size; i++) {
    values[i] += 0.1f * (float)gem_random_normal(&random);
  }
  const GemChoiceModel model = {.backbone = backbone,
                                .values = values,
                                .centroids = centroids->values,
                                .forced = GEM_CHOICE_OWN_DOMAIN};
  guint8 together[20], alone[20];
  gem_choice_task_choose(task, &model, lanes, together);
  for (guint i = 0; i < 20; i++) { /* against one choice after another */
    const GemChoiceItem *item = task->items->pdata[i];
    double best = -INFINITY;
    guint8 chosen = 0;
    for (guint8 c = 0; c < 3; c++) {
      guint32 from = g_array_index(item->starts, guint32, c),
              to = g_array_index(item->starts, guint32, c + 1);
      double log_p =
          weigh_alone(backbone, values, centroids->values, 0, (const guint32 *)(gpointer)item->prompt->data,
                      item->prompt->len, &g_array_index(item->choices, guint32, from), to - from, 1) /
          (double)(to - from);
      chosen = log_p > best ? c : chosen;
      best = MAX(log_p, best);
    }
    alone[i] = chosen;
  }
  g_assert_cmpmem(together, sizeof together, alone, sizeof alone);
  g_aligned_free(values);
  gem_test_folder_remove(dir);
}

/* ---- forgetting ---- */

/* `n` of 100 right. */
static guint8 *
answers_new(guint n)
{
  guint8 *right = g_new0(guint8, 100);
  for (guint i = 0; i < n; i++) {
    right[(i * 37) % 100] = 1;
  }
  return right;
}

typedef struct {
  guint8 *right[4];
  GemForgettingTask task;
} TaskCase;

static void
task_case_init(TaskCase *self, double majority, guint adapted, const gint *scores)
{
  for (guint s = 0; s < 4; s++) {
    self->right[s] = scores[s] >= 0 ? answers_new((guint)scores[s]) : NULL;
  }
  self->task = (GemForgettingTask){majority, 100, adapted, (const guint8 **)self->right};
}

static void
task_case_clear(TaskCase *self)
{
  for (guint s = 0; s < 4; s++) {
    g_free(self->right[s]);
  }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TaskCase, task_case_clear)

static double
forgetting_of(const TaskCase *self, GemForgettingMeasure measure)
{
  return gem_forgetting_of_task(&self->task, 3, measure, NULL);
}

static void
test_forgetting_task(void)
{
  g_auto(TaskCase) lost = {0}, gained = {0}, weak = {0}, late = {0};
  task_case_init(&lost, 0.5, 1, (const gint[]){60, 90, 80, 70});
  task_case_init(&gained, 0.25, 2, (const gint[]){40, -1, 65, 75});
  task_case_init(&weak, 0.5, 1, (const gint[]){50, 59, 55, 40});
  task_case_init(&late, 0.5, 3, (const gint[]){90, -1, -1, 60});
  g_assert_true(gem_forgetting_counts(&lost.task, 3, GEM_FORGETTING_BEST));
  g_assert_cmpfloat_with_epsilon(forgetting_of(&lost, GEM_FORGETTING_BEST), (0.9 - 0.7) / (0.9 - 0.5), 1e-9);
  g_assert_true(gem_forgetting_counts(&gained.task, 3, GEM_FORGETTING_BEST));
  g_assert_cmpfloat_with_epsilon(forgetting_of(&gained, GEM_FORGETTING_BEST), (0.65 - 0.75) / (0.65 - 0.25),
                                 1e-9); /* not floored */
  /* 0.59 is within two standard errors of 0.5 */
  g_assert_false(gem_forgetting_counts(&weak.task, 3, GEM_FORGETTING_BEST));
  /* nothing came after it */
  g_assert_false(gem_forgetting_counts(&late.task, 3, GEM_FORGETTING_BEST));
}

/* Before its own domain was adapted a task was better than ever after. */
static void
test_forgetting_own(void)
{
  g_auto(TaskCase) early = {0}, weak_since = {0};
  task_case_init(&early, 0.5, 1, (const gint[]){90, 70, 80, 60});
  task_case_init(&weak_since, 0.5, 1, (const gint[]){90, 55, 55, 50});
  g_assert_cmpfloat_with_epsilon(forgetting_of(&early, GEM_FORGETTING_BEST), (0.9 - 0.6) / (0.9 - 0.5), 1e-9);
  g_assert_cmpfloat_with_epsilon(forgetting_of(&early, GEM_FORGETTING_OWN), (0.8 - 0.6) / (0.8 - 0.5), 1e-9);
  g_assert_true(gem_forgetting_counts(&weak_since.task, 3, GEM_FORGETTING_BEST));
  g_assert_false(gem_forgetting_counts(&weak_since.task, 3, GEM_FORGETTING_OWN));
}

/* Four of five right at every stage: the even items' best is the odd ones' worst and the other way round. */
static void
test_forgetting_crossed(void)
{
  const guint even[] = {45, 35, 40, 40};
  g_auto(TaskCase) task = {0};
  task_case_init(&task, 0.5, 1, (const gint[]){0, 0, 0, 0});
  for (guint s = 0; s < 4; s++) {
    for (guint i = 0; i < 100; i++) {
      task.right[s][i] = i / 2 < (i % 2 == 0 ? even[s] : 80 - even[s]);
    }
  }
  g_assert_cmpfloat_with_epsilon(forgetting_of(&task, GEM_FORGETTING_BEST), 0.0, 1e-9);
  g_assert_cmpfloat_with_epsilon(forgetting_of(&task, GEM_FORGETTING_CROSSED), (0.7 - 0.8) / (0.8 - 0.5),
                                 1e-9);
}

enum { FLUCTUATING = 300 };

/* Scores that only fluctuate: the definition finds forgetting where there is none, the crossed measure does
 * not. */
static void
test_forgetting_fluctuation(void)
{
  GemForgettingTask tasks[FLUCTUATING];
  guint8 *answers = g_new(guint8, FLUCTUATING * 4 * 100);
  const guint8 *right[FLUCTUATING][4];
  GemRandom random = gem_random_seeded(17, 0);
  GemForgettingComparison best, crossed;
  for (guint t = 0; t < FLUCTUATING; t++) {
    for (guint s = 0; s < 4; s++) {
      guint8 *own = answers + (t * 4 + s) * 100;
      for (guint i = 0; i < 100; i++) {
        own[i] = gem_random_uniform(&random) < 0.8;
      }
      right[t][s] = own;
    }
    tasks[t] = (GemForgettingTask){0.4, 100, 1, right[t]};
  }
  const GemForgettingRuns runs = {tasks, 1, FLUCTUATING, 3};
  gem_forgetting_compare(&runs, NULL, GEM_FORGETTING_BEST, GEM_FORGETTING_ITEMS, 0, 1, &best);
  gem_forgetting_compare(&runs, NULL, GEM_FORGETTING_CROSSED, GEM_FORGETTING_ITEMS, 0, 1, &crossed);
  g_assert_cmpuint(best.counted, ==, FLUCTUATING);
  g_assert_cmpfloat(best.forgetting.mean, >, 0.05); /* the best of three is some 0.85 standard errors up */
  g_assert_cmpfloat(fabs(crossed.forgetting.mean), <, 0.02);
  g_free(answers);
}

static void
test_forgetting_compare(void)
{
  g_auto(TaskCase) a = {0}, b = {0}, c = {0}, d = {0};
  task_case_init(&a, 0.5, 1, (const gint[]){60, 90, 90, 86});
  task_case_init(&b, 0.2, 1, (const gint[]){60, 60, 60, 60});
  task_case_init(&c, 0.5, 1, (const gint[]){60, 90, 80, 70});
  task_case_init(&d, 0.2, 1, (const gint[]){60, 60, 50, 40});
  const GemForgettingTask own[] = {a.task, b.task}, other[] = {c.task, d.task};
  const GemForgettingRuns runs = {own, 1, 2, 3}, others = {other, 1, 2, 3};
  GemForgettingComparison compared;
  gem_forgetting_compare(&runs, &others, GEM_FORGETTING_BEST, GEM_FORGETTING_ITEMS, 400, 9, &compared);
  g_assert_cmpuint(compared.counted, ==, 2);
  g_assert_cmpfloat_with_epsilon(compared.forgetting.mean, 0.5 * (0.04 / 0.4 + 0.0), 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.others.mean, 0.5, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.difference.mean, 0.45, 1e-9);
  g_assert_true(compared.has_reduction);
  g_assert_cmpfloat_with_epsilon(compared.reduction.mean, 1.0 - 0.05 / 0.5, 1e-9);
  g_assert_cmpfloat(compared.forgetting.low, <=, compared.forgetting.mean);
  g_assert_cmpfloat(compared.forgetting.high, >=, compared.forgetting.mean);
  g_assert_cmpfloat(compared.difference.low, >, 0.2);
  g_assert_cmpfloat(compared.difference.high, <, 0.7);
  g_assert_cmpfloat(compared.reduction.low, <, 0.9);
  g_assert_cmpfloat(compared.reduction.low, >, 0.6);
  g_assert_cmpfloat(compared.reduction.high, >, 0.9);
  g_assert_cmpfloat(compared.reduction.high, <=, 1.0);
  gem_forgetting_compare(&runs, &others, GEM_FORGETTING_POOLED, GEM_FORGETTING_ITEMS, 0, 9, &compared);
  g_assert_cmpfloat_with_epsilon(compared.forgetting.mean, 0.04 / (0.4 + 0.4), 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.reduction.mean, 1.0 - 0.04 / 0.4, 1e-9);
}

/* Nothing can be less than nothing, and what may be nothing is no denominator. */
static void
test_forgetting_without_reduction(void)
{
  g_auto(TaskCase) still = {0}, wavering = {0};
  task_case_init(&still, 0.2, 1, (const gint[]){60, 60, 60, 60});
  task_case_init(&wavering, 0.2, 1, (const gint[]){60, 60, 60, 58});
  const GemForgettingRuns runs = {&still.task, 1, 1, 3}, others = {&wavering.task, 1, 1, 3};
  GemForgettingComparison compared;
  gem_forgetting_compare(&runs, &runs, GEM_FORGETTING_BEST, GEM_FORGETTING_ITEMS, 50, 9, &compared);
  g_assert_false(compared.has_reduction);
  g_assert_cmpfloat(compared.difference.mean, ==, 0.0);
  g_assert_true(compared.difference.low == 0.0 && compared.difference.high == 0.0);
  gem_forgetting_compare(&runs, &others, GEM_FORGETTING_BEST, GEM_FORGETTING_ITEMS, 400, 9, &compared);
  g_assert_cmpfloat(compared.others.mean, >, 0.0);
  g_assert_cmpfloat(compared.others.low, <=, 0.0);
  g_assert_false(compared.has_reduction);
  g_assert_cmpfloat_with_epsilon(compared.difference.mean, 0.02 / 0.4, 1e-9);
}

/* Tasks drawn anew: two of them, of which one is forgotten, come twice, once each or not at all. */
static void
test_forgetting_tasks(void)
{
  g_auto(TaskCase) a = {0}, b = {0}, c = {0}, d = {0};
  task_case_init(&a, 0.5, 1, (const gint[]){60, 90, 90, 86});
  task_case_init(&b, 0.2, 1, (const gint[]){60, 60, 60, 60});
  task_case_init(&c, 0.5, 1, (const gint[]){60, 90, 80, 70});
  task_case_init(&d, 0.2, 1, (const gint[]){60, 60, 50, 50});
  const GemForgettingTask own[] = {a.task, b.task}, other[] = {c.task, d.task};
  const GemForgettingRuns runs = {own, 1, 2, 3}, others = {other, 1, 2, 3};
  GemForgettingComparison compared;
  gem_forgetting_compare(&runs, &others, GEM_FORGETTING_BEST, GEM_FORGETTING_TASKS, 400, 9, &compared);
  g_assert_cmpfloat_with_epsilon(compared.forgetting.mean, 0.05, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.forgetting.low, 0.0, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.forgetting.high, 0.1, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.others.low, 0.25, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.others.high, 0.5, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.difference.low, 0.25, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.difference.high, 0.4, 1e-9);
  g_assert_true(compared.has_reduction);
  g_assert_cmpfloat_with_epsilon(compared.reduction.mean, 1.0 - 0.05 / 0.375, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.reduction.low, 0.8, 1e-9);
  g_assert_cmpfloat_with_epsilon(compared.reduction.high, 1.0, 1e-9);
  gem_forgetting_compare(&runs, &others, GEM_FORGETTING_POOLED, GEM_FORGETTING_TASKS, 400, 9, &compared);
  g_assert_cmpfloat_with_epsilon(compared.others.low, 0.25, 1e-9);
}

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* Reductions of the resamples that gem_forgetting_compare draws with `seed`, in which `other` forgets,
 * rising; of gdouble. */
static GArray *
resampled_reductions_new(const GemForgettingTask *own,
                         const GemForgettingTask *other,
                         guint resamples,
                         guint64 seed)
{
  GArray *reductions = g_array_new(FALSE, FALSE, sizeof(double));
  GemRandom random = gem_random_seeded(seed, 0);
  guint32 picks[100];
  for (guint r = 0; r < resamples; r++) {
    for (guint i = 0; i < 100; i++) {
      picks[i] = (guint32)gem_random_below(&random, 100);
    }
    double divisor = gem_forgetting_of_task(other, 3, GEM_FORGETTING_BEST, picks);
    double reduction = 1.0 - gem_forgetting_of_task(own, 3, GEM_FORGETTING_BEST, picks) / divisor;
    if (divisor > 0.0) {
      g_array_append_val(reductions, reduction);
    }
  }
  g_array_sort(reductions, compare_doubles);
  return reductions;
}

/* Resamples in which the others forget nothing, or less, say nothing of a share of it. */
static void
test_forgetting_left_out(void)
{
  g_auto(TaskCase) own = {0}, other = {0};
  task_case_init(&own, 0.2, 1, (const gint[]){60, 60, 60, 55});
  task_case_init(&other, 0.2, 1, (const gint[]){60, 60, 60, 46});
  for (guint i = 60; i < 64; i++) { /* 14 that were right are lost, 4 that were wrong are gained */
    other.right[3][(i * 37) % 100] = 1;
  }
  const GemForgettingRuns runs = {&own.task, 1, 1, 3}, others = {&other.task, 1, 1, 3};
  GemForgettingComparison compared;
  gem_forgetting_compare(&runs, &others, GEM_FORGETTING_BEST, GEM_FORGETTING_ITEMS, 1000, 9, &compared);
  g_assert_true(compared.has_reduction);
  g_autoptr(GArray) reductions = resampled_reductions_new(&own.task, &other.task, 1000, 9);
  const double *values = (const double *)(gpointer)reductions->data;
  guint low = (guint)(0.025 * reductions->len);
  g_assert_cmpuint(reductions->len, <, 1000);
  g_assert_cmpfloat(compared.reduction.low, ==, values[low]);
  g_assert_cmpfloat(compared.reduction.high, ==, values[reductions->len - 1 - low]);
}

/* Of a model that is nowhere above majority nothing can be said, and least of all that it forgets nothing. */
static void
test_forgetting_of_nothing(void)
{
  g_auto(TaskCase) chance = {0};
  task_case_init(&chance, 0.5, 1, (const gint[]){50, 51, 49, 50});
  const GemForgettingRuns runs = {&chance.task, 1, 1, 3};
  GemForgettingComparison compared;
  gem_forgetting_compare(&runs, &runs, GEM_FORGETTING_BEST, GEM_FORGETTING_ITEMS, 50, 9, &compared);
  g_assert_cmpuint(compared.counted, ==, 0);
  g_assert_true(isnan(compared.forgetting.mean) && isnan(compared.difference.mean));
  g_assert_false(compared.has_reduction);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_autoptr(GError) error = NULL;
  gem_matmul_select("fp32", &error);
  g_assert_no_error(error);
  g_test_add_func("/choice/continuations", test_continuations);
  g_test_add_func("/choice/tasks", test_tasks);
  g_test_add_func("/choice/tasks/mixed-forms", test_mixed_forms);
  g_test_add_func("/choice/tasks/errors", test_task_errors);
  g_test_add_func("/choice/scores", test_scores);
  g_test_add_func("/choice/forgetting/task", test_forgetting_task);
  g_test_add_func("/choice/forgetting/own", test_forgetting_own);
  g_test_add_func("/choice/forgetting/crossed", test_forgetting_crossed);
  g_test_add_func("/choice/forgetting/fluctuation", test_forgetting_fluctuation);
  g_test_add_func("/choice/forgetting/compare", test_forgetting_compare);
  g_test_add_func("/choice/forgetting/without-reduction", test_forgetting_without_reduction);
  g_test_add_func("/choice/forgetting/tasks", test_forgetting_tasks);
  g_test_add_func("/choice/forgetting/left-out", test_forgetting_left_out);
  g_test_add_func("/choice/forgetting/nothing", test_forgetting_of_nothing);
  return g_test_run();
}
