/* Attention over tiles of 8 bits without a dot product. */
#include "kernels/neon/gem-neon-sums.h"

enum { SUMS_TOGETHER = 2, KEY_QUERIES = 2, VALUE_QUERIES = 1 };

#include "kernels/neon/gem-neon-attend.h"

void
gem_neon_attend(const GemKvForm *form,
                const GemKvQueries *queries,
                const GemKvGroup *group,
                const GemKvShare *share)
{
  gem_attend_walk(form, queries, group, share, gem_attend_prepare_levels, run);
}
