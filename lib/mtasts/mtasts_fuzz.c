/* Records and policies: what is read lies within the text and obeys its limits; a pattern without wildcard allows
 * itself. */
#include "mtasts.h"

#include "check.h"

static void must_be_within(struct str part, struct str whole)
{
	must(part.data >= whole.data && part.data + part.length <= whole.data + whole.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size), id;
	struct mtasts_policy policy;
	if (size > 1 << 16)
		return 0;
	if (mtasts_find_id(&text, 1, &id)) {
		must(id.length > 0 && id.length <= MTASTS_ID_MAX);
		must_be_within(id, text);
	}
	if (!mtasts_policy_parse(text, &policy))
		return 0;
	must(policy.age_seconds <= MTASTS_AGE_MAX && (policy.pattern_count || policy.mode == MTASTS_NONE));
	for (size_t i = 0; i < policy.pattern_count; i++) {
		must_be_within(policy.patterns[i], text);
		must(policy.patterns[i].data[0] == '*' || mtasts_policy_allows(&policy, policy.patterns[i]));
	}
	return 0;
}
