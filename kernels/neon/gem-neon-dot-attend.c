/* Attention over tiles of 8 bits with the dot product. */
#include "kernels/neon/gem-neon-dot-sums.h"

enum { SUMS_TOGETHER = 16, KEY_QUERIES = 4, VALUE_QUERIES = 4 };

#include "kernels/neon/gem-neon-attend.h"

void
gem_neon_dot_attend(const GemKvForm *form,
                    const GemKvQueries *queries,
                    const GemKvGroup *group,
                    const GemKvShare *share)
{
  gem_attend_walk(form, queries, group, share, gem_attend_prepare_levels, run);
}
