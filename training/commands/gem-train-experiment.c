/* `gem-train experiment`: what an adaptation forgets, and which of its parts prevents that. */
#include <string.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/commands/gem-train-experiment-routers.h"
#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/experiment/gem-variant-experiment.h"

typedef struct {
  char *model, *data, *work, *domains, *variations, *kind, *matmul;
  gint seeds, items, transfer_items, documents, steps, router_steps, batch_tokens, replay_tokens, sequence,
      lanes;
  double rate, dense_rate, plain_rate;
  gboolean report;
} Options;

static void
options_clear(Options *self)
{
  g_free(self->model);
  g_free(self->data);
  g_free(self->work);
  g_free(self->domains);
  g_free(self->variations);
  g_free(self->kind);
  g_free(self->matmul);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* One of the two: adaptations one after another, or the model as a whole. */
typedef struct {
  const GemExperimentPlan *sequence;
  const GemVariantPlan *model;
} Plan;

static const char *
plan_variations(const Plan *plan)
{
  return plan->model != NULL ? plan->model->variants : plan->sequence->variations;
}

static gboolean
find_plan(const char *name, Plan *ret_plan, GError **error)
{
  g_autoptr(GString) known = g_string_new(NULL);
  for (gsize i = 0; i < gem_experiment_n_plans; i++) {
    if (strcmp(gem_experiment_plans[i].name, name) == 0) {
      *ret_plan = (Plan){.sequence = &gem_experiment_plans[i]};
      return TRUE;
    }
    g_string_append_printf(known, "%s%s", i > 0 ? ", " : "", gem_experiment_plans[i].name);
  }
  for (gsize i = 0; i < gem_variant_n_plans; i++) {
    if (strcmp(gem_variant_plans[i].name, name) == 0) {
      *ret_plan = (Plan){.model = &gem_variant_plans[i]};
      return TRUE;
    }
    g_string_append_printf(known, ", %s", gem_variant_plans[i].name);
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "'%s': there are %s", name, known->str);
  return FALSE;
}

static gboolean
check_variations(const Plan *plan, const char *const *names, GError **error)
{
  if (names[0] == NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--variations: none is named");
    return FALSE;
  }
  for (guint i = 0; names[i] != NULL; i++) {
    if (plan->model != NULL ? gem_variant_find(names[i]) == NULL
                            : gem_experiment_variation_find(names[i]) == NULL) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--variations: '%s' is none", names[i]);
      return FALSE;
    }
  }
  return TRUE;
}

static void
print_estimate(const GemExperiment *experiment, double seconds)
{
  g_printerr("%u tasks; about %d:%02d hours\n", experiment->tasks->len, (int)(seconds / 3600.0),
             (int)(seconds / 60.0) % 60);
}

static gboolean
run_sequence(GemExperiment *experiment, gboolean report_only, GError **error)
{
  if (report_only) {
    return gem_experiment_report(experiment, error);
  }
  double seconds = gem_experiment_estimate(experiment, error);
  if (seconds < 0.0) {
    return FALSE;
  }
  print_estimate(experiment, seconds);
  return gem_experiment_run(experiment, error) && gem_experiment_report(experiment, error);
}

static gboolean
run_model(GemExperiment *experiment, const GemVariantPlan *plan, const Options *options, GError **error)
{
  if (options->report) {
    return gem_variant_experiment_report(experiment, plan, error);
  }
  double seconds = gem_variant_experiment_estimate(experiment, plan, error);
  if (seconds < 0.0) {
    return FALSE;
  }
  print_estimate(experiment, seconds);
  return gem_train_experiment_routers(experiment, (guint)options->router_steps, error) &&
         gem_variant_experiment_run(experiment, plan, error) &&
         gem_variant_experiment_report(experiment, plan, error);
}

static gboolean
plan_transfers(const Plan *plan)
{
  return plan->model != NULL || plan->sequence->transfer;
}

static gboolean
experiment(const Options *options, const char *name, GError **error)
{
  Plan plan = {0};
  GemAdaptKinds kinds;
  if (!find_plan(name, &plan, error) ||
      !gem_adapt_kinds_parse(options->kind != NULL ? options->kind : "task", &kinds, error) ||
      !gem_matmul_select(options->matmul != NULL ? options->matmul : "auto", error)) {
    return FALSE;
  }
  g_auto(GStrv) variations =
      g_strsplit(options->variations != NULL ? options->variations : plan_variations(&plan), ",", -1);
  g_auto(GStrv) domains = options->domains != NULL ? g_strsplit(options->domains, ",", -1) : NULL;
  if (!check_variations(&plan, (const char *const *)variations, error)) {
    return FALSE;
  }
  const GemExperimentOptions all = {.model = options->model,
                                    .data = options->data,
                                    .work = options->work,
                                    .variations = (const char *const *)variations,
                                    .domains = (const char *const *)domains,
                                    .seeds = (guint)options->seeds,
                                    .kinds = kinds,
                                    .items = (gsize)options->items,
                                    .transfer_items =
                                        plan_transfers(&plan) ? (gsize)options->transfer_items : 0,
                                    .router_steps = plan.model != NULL ? (guint)options->router_steps : 0,
                                    .documents = (gsize)options->documents,
                                    .steps = (guint)options->steps,
                                    .batch_tokens = (guint)options->batch_tokens,
                                    .replay_tokens = (guint)options->replay_tokens,
                                    .sequence = (guint)options->sequence,
                                    .lanes = (guint)options->lanes,
                                    .rate = options->rate,
                                    .dense_rate = options->dense_rate,
                                    .plain_rate = options->plain_rate};
  g_printerr("%s: %s\n", name, plan.model != NULL ? plan.model->what : plan.sequence->what);
  g_autoptr(GemExperiment) self = gem_experiment_new(&all, error);
  return self != NULL && (plan.model != NULL ? run_model(self, plan.model, options, error)
                                             : run_sequence(self, options->report, error));
}

static gboolean
check(Options *self, GError **error)
{
  gem_train_options_default_data(&self->data);
  return gem_train_options_need("model", self->model, error) &&
         gem_train_options_need("data", self->data, error) &&
         gem_train_options_need("work", self->work, error) &&
         gem_train_options_check("seeds", self->seeds, 1, 100, error) &&
         gem_train_options_check("items", self->items, 0, 1e6, error) &&
         gem_train_options_check("transfer-items", self->transfer_items, 0, 1e6, error) &&
         gem_train_options_check("router-steps", self->router_steps, 1, 1e6, error) &&
         gem_train_options_check("documents", self->documents, 0, 1e9, error) &&
         gem_train_options_check("steps", self->steps, 1, 1e6, error) &&
         gem_train_options_check("sequence", self->sequence, 16, 512, error) &&
         gem_train_options_check("batch-tokens", self->batch_tokens, self->sequence, 1 << 20, error) &&
         gem_train_options_check("replay-tokens", self->replay_tokens, self->sequence, 1 << 20, error) &&
         gem_train_options_check("lanes", self->lanes, 1, 64, error) &&
         gem_train_options_check("rate", self->rate, 0.0, 1.0, error) &&
         gem_train_options_check("dense-rate", self->dense_rate, 0.0, 1.0, error) &&
         gem_train_options_check("plain-rate", self->plain_rate, 0.0, 1.0, error);
}

/* The plans and what they compare, for --help. */
static char *
describe_plans(void)
{
  g_autoptr(GString) text = g_string_new("Adaptations one after another, and what they forget:\n");
  for (gsize i = 0; i < gem_experiment_n_plans; i++) {
    const GemExperimentPlan *plan = &gem_experiment_plans[i];
    g_string_append_printf(text, "  %-13s %s\n", plan->name, plan->what);
    g_auto(GStrv) names = g_strsplit(plan->variations, ",", -1);
    for (guint v = 0; names[v] != NULL; v++) {
      g_string_append_printf(text, "    %-22s %s\n", names[v], gem_experiment_variation_find(names[v])->what);
    }
  }
  g_string_append(text, "The model as a whole, and what it is worth in and out of its domains:\n");
  for (gsize i = 0; i < gem_variant_n_plans; i++) {
    const GemVariantPlan *plan = &gem_variant_plans[i];
    g_string_append_printf(text, "  %-13s %s\n", plan->name, plan->what);
    g_auto(GStrv) names = g_strsplit(plan->variants, ",", -1);
    for (guint v = 0; names[v] != NULL; v++) {
      g_string_append_printf(text, "    %-22s %s\n", names[v], gem_variant_find(names[v])->what);
    }
  }
  return g_strdup(text->str);
}

static gboolean
parse(Options *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"model", 0, 0, G_OPTION_ARG_FILENAME, &self->model, "The model folder to start from", "DIR"},
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &self->data,
       "Folder with corpus/, tasks/ and manifest.json ($GEM_DATA)", "DIR"},
      {"work", 0, 0, G_OPTION_ARG_FILENAME, &self->work, "Where results are kept, stage by stage", "DIR"},
      {"domains", 0, 0, G_OPTION_ARG_STRING, &self->domains, "Only these", "NAME,..."},
      {"variations", 0, 0, G_OPTION_ARG_STRING, &self->variations,
       "Others than the experiment's; the first is what the rest is compared with", "NAME,..."},
      {"kind", 0, 0, G_OPTION_ARG_STRING, &self->kind, "dapt, tapt, task (default), or several joined by +",
       "NAME"},
      {"seeds", 0, 0, G_OPTION_ARG_INT, &self->seeds, "How many: 1 to N", "N"},
      {"steps", 0, 0, G_OPTION_ARG_INT, &self->steps, "Optimizer steps a domain", "N"},
      {"batch-tokens", 0, 0, G_OPTION_ARG_INT, &self->batch_tokens, "Tokens of a batch, a lane", "N"},
      {"replay-tokens", 0, 0, G_OPTION_ARG_INT, &self->replay_tokens, "Replayed tokens, a lane and step",
       "N"},
      {"sequence", 0, 0, G_OPTION_ARG_INT, &self->sequence,
       "Longest sequence that is learned, of a task's line the last of it; scoring reads 512", "N"},
      {"rate", 0, 0, G_OPTION_ARG_DOUBLE, &self->rate, "Peak learning rate of a residual", "R"},
      {"dense-rate", 0, 0, G_OPTION_ARG_DOUBLE, &self->dense_rate, "Peak learning rate of a network", "R"},
      {"plain-rate", 0, 0, G_OPTION_ARG_DOUBLE, &self->plain_rate, "The same in plain fine-tuning", "R"},
      {"items", 0, 0, G_OPTION_ARG_INT, &self->items, "Items of each task's dev split; 0: all", "N"},
      {"transfer-items", 0, 0, G_OPTION_ARG_INT, &self->transfer_items,
       "Of each through every pathway, of a model as a whole, and at the end of ablations and attention; 0: "
       "none",
       "N"},
      {"router-steps", 0, 0, G_OPTION_ARG_INT, &self->router_steps, "Of routers that are trained anew", "N"},
      {"documents", 0, 0, G_OPTION_ARG_INT, &self->documents, "Read of each source; 0: all", "N"},
      {"lanes", 0, 0, G_OPTION_ARG_INT, &self->lanes, "Threads; part of the state", "N"},
      {"report", 0, 0, G_OPTION_ARG_NONE, &self->report, "Only the table, of what is there", NULL},
      {"matmul", 0, 0, G_OPTION_ARG_STRING, &self->matmul, "auto (default), fp32 or bf16", "NAME"},
      G_OPTION_ENTRY_NULL};
  g_autofree char *plans = describe_plans();
  g_autoptr(GOptionContext) context = g_option_context_new("NAME --model DIR --data DIR --work DIR");
  g_option_context_set_summary(context, plans);
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 1, "an experiment", error) && check(self, error);
}

int
gem_train_experiment_command(int argc, char **argv)
{
  GemAdaptOptions residual, dense;
  gem_adapt_options_init(&residual, GEM_LEARNS_RESIDUAL);
  gem_adapt_options_init(&dense, GEM_LEARNS_GENERAL);
  g_auto(Options) options = {.seeds = 3,
                             .items = 100,
                             .transfer_items = 25,
                             .router_steps = 600,
                             .documents = 3000,
                             .steps = 100,
                             .batch_tokens = (gint)residual.batch_tokens,
                             .replay_tokens = (gint)residual.replay_tokens,
                             .sequence = (gint)residual.sequence,
                             .lanes = (gint)MAX(g_get_num_processors(), 1),
                             .rate = residual.rate,
                             .dense_rate = dense.rate,
                             .plain_rate = dense.rate};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) && experiment(&options, argv[1], &error);
  return done ? 0 : gem_train_fail("experiment", error);
}
