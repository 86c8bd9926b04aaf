/* What a run depends on beside the state in its checkpoint, as one line of text that the checkpoint keeps:
 * "rate=0.001 sequence=256 ...". Names are those of gem-train's command line, where it has them. */
#pragma once

#include <glib.h>

void
gem_run_identity_add_number(GString *self, const char *name, double value);
/* NULL: "none". Blanks are escaped. */
void
gem_run_identity_add_string(GString *self, const char *name, const char *value);

/* Whether a run may go on with another value. */
typedef gboolean (*GemRunIdentityMayDiffer)(const char *name,
                                            const char *there,
                                            const char *here,
                                            gpointer data);

/* For gem_run_identity_compare: a lower rate goes on with what a higher one began, which is what helps where
 * the loss was not finite. */
gboolean
gem_run_identity_is_lower_rate(const char *name, const char *there, const char *here);

/* NULL: there is no difference but those that may be; else "NAME is VALUE there and VALUE here, ...".
 * Transfer full. */
char *
gem_run_identity_compare(const char *there,
                         const char *here,
                         GemRunIdentityMayDiffer may_differ,
                         gpointer data);
