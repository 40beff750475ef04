/*
 * MTA-STS (RFC 8461): the TXT record that names the version of a domain's policy, and the policy itself. Pure: text
 * in, facts out.
 *
 * What was read are views of the text given. Unknown fields are ignored, of a field that may come once only the first
 * counts (§3.2).
 */
#ifndef POSTHORN_MTASTS_H
#define POSTHORN_MTASTS_H

#include "str.h"

enum { MTASTS_MX_MAX = 64, MTASTS_ID_MAX = 32, MTASTS_AGE_MAX = 31557600 };

/* §3.1: among the TXT records (each with its strings joined) exactly one is of MTA-STS, and well-formed: its id. */
bool mtasts_find_id(const struct str *records, size_t count, struct str *id);

enum mtasts_mode { MTASTS_NONE, MTASTS_TESTING, MTASTS_ENFORCE };

struct mtasts_policy {
	struct str text;                  /* all of it */
	enum mtasts_mode mode;
	uint32_t age_seconds;             /* max_age; more than MTASTS_AGE_MAX counts as that */
	struct str patterns[MTASTS_MX_MAX]; /* mx; those beyond are dropped */
	size_t pattern_count;             /* at least one unless the mode is none */
};

/* §3.2. False for what is no valid policy, as any text with control characters. */
bool mtasts_policy_parse(struct str text, struct mtasts_policy *policy);

/* §4.1: host in A-labels. */
bool mtasts_policy_allows(const struct mtasts_policy *policy, struct str host);

/* "none", "testing", "enforce". */
const char *mtasts_mode_name(enum mtasts_mode mode);

#endif
