#include "tests/gem-test-gemd.h"

GemTestGemd *
gem_test_gemd_new(void)
{
  GemTestGemd *self = g_new0(GemTestGemd, 1);
  g_autoptr(GStrvBuilder) arguments = g_strv_builder_new();
  g_autofree char *plugins = g_build_filename(g_getenv("GEM_BUILD_DIR"), "plugins", NULL);

  self->bus = gem_test_bus_new();
  self->folder = gem_test_folder_new();
  gem_test_model_shape(&self->shape);
  self->shape.heads = 2;
  self->shape.kv_heads = 2;
  self->shape.head_dim = 32;
  self->shape.rope_dim = 32;
  gem_test_model_write(self->folder, &self->shape, GEM_TYPE_F16, 11);
  self->client = gem_test_bus_connect(self->bus);
  self->bus->real = TRUE;
  g_strv_builder_add_many(arguments, "--plugin-dir", plugins, NULL);
  self->bus->daemon_arguments = g_strv_builder_end(arguments);
  self->bus->config_text = g_strdup("[gemd]\nContextTokens=256\nPrefillBlock=8\n");
  return self;
}

void
gem_test_gemd_free(GemTestGemd *self)
{
  g_object_unref(self->client);
  gem_test_bus_free(self->bus);
  gem_model_shape_clear(&self->shape);
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  g_free(self);
}

void
gem_test_gemd_start(GemTestGemd *self, const char *expected)
{
  g_autofree char *state = NULL;

  gem_test_bus_spawn(self->bus, self->folder);
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, expected);
}
