#include "training/commands/gem-train-experiment-routers.h"

#include <errno.h>
#include <glib/gstdio.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/commands/gem-train.h"

/* The --shape of a router beside this model. */
static char *
shape_of(const GemExperiment *experiment, GemVariantRouter router)
{
  const GemRouterShape *shape = &experiment->router->network->shape;
  gboolean small = router == GEM_ROUTER_SMALL;
  guint embedding = small ? shape->embedding * 5 / 8 : shape->embedding,
        layers = small ? (shape->layers * 2 + 2) / 3 : shape->layers;
  return g_strdup_printf("--shape=vocab=%u,domains=%u,router-embedding=%u,router-width=%u,router-layers=%u,"
                         "router-heads=%u,router-ffn=%u",
                         shape->vocab, shape->n_domains, embedding, shape->width, layers, shape->heads,
                         shape->ffn);
}

static gboolean
train(
    const GemExperiment *experiment, const GemVariant *variant, guint steps, const char *path, GError **error)
{
  g_autofree char *unfinished = g_strconcat(path, ".part", NULL),
                  *tokenizer = g_build_filename(experiment->options->model, "general.gguf", NULL),
                  *shape = shape_of(experiment, variant->router),
                  *all_steps = g_strdup_printf("--steps=%u", steps),
                  *lanes = g_strdup_printf("--lanes=%u", experiment->options->lanes);
  /* the engine is the process's: what comes after has to run with the one that was asked for */
  const char *engine = gem_matmul_is_rounded() ? "--matmul=bf16" : "--matmul=fp32";
  g_autoptr(GPtrArray) words = g_ptr_array_new();
  const char *fixed[] = {"router",       "--data",   experiment->options->data, "--tokenizer", tokenizer,
                         "--checkpoint", unfinished, "--general-share=0.07",    shape,         all_steps,
                         lanes,          engine};
  for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++) {
    g_ptr_array_add(words, (gpointer)fixed[i]);
  }
  if (g_file_test(unfinished, G_FILE_TEST_EXISTS)) {
    g_ptr_array_add(words, (gpointer) "--resume");
  }
  int argc = (int)words->len;
  g_ptr_array_add(words, NULL);
  g_printerr("the router of %s\n", variant->name);
  if (gem_train_router_command(argc, (char **)words->pdata) != 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "the router of %s was not trained", variant->name);
    return FALSE;
  }
  if (g_rename(unfinished, path) != 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", path, g_strerror(errno));
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_train_experiment_routers(const GemExperiment *experiment, guint steps, GError **error)
{
  for (guint i = 0; experiment->options->variations[i] != NULL; i++) {
    const GemVariant *variant = gem_variant_find(experiment->options->variations[i]);
    g_autofree char *path = gem_variant_router_path(experiment, variant);
    if (variant->router != GEM_ROUTER_OF_MODEL && !g_file_test(path, G_FILE_TEST_EXISTS) &&
        !train(experiment, variant, steps, path, error)) {
      return FALSE;
    }
  }
  return TRUE;
}
