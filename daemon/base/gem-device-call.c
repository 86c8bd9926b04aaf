#include "daemon/base/gem-device-call.h"

static gint under_way; /* atomic */

void
gem_device_call_begin(void)
{
  g_atomic_int_inc(&under_way);
}

void
gem_device_call_end(void)
{
  g_atomic_int_add(&under_way, -1);
}

gboolean
gem_device_call_is_any(void)
{
  return g_atomic_int_get(&under_way) > 0;
}
