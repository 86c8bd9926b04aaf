#include "daemon/engine/gem-job.h"

gboolean
gem_job_is_cancelled(const GemJob *self)
{
  return (self->control != NULL && g_atomic_int_get(&self->control->cancelled)) ||
         (self->cancellable != NULL && g_cancellable_is_cancelled(self->cancellable));
}

gboolean
gem_job_is_paused(const GemJob *self)
{
  return self->control != NULL && g_atomic_int_get(&self->control->paused);
}
