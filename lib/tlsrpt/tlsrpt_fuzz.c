/* Records, and reports of whatever strings: what is written is JSON. */
#include "tlsrpt.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 1 << 12)
		return 0;
	struct str text = str_from((const char *)data, size), rua;
	CLEANUP(buf_release) struct buf address = BUF_WITH_LIMIT(size), json = BUF_WITH_LIMIT(100000 + 40 * size), policy = BUF_WITH_LIMIT(100 + 2 * size);
	enum tlsrpt_scheme scheme;
	if (tlsrpt_find_rua(&text, 1, &rua))
		while (tlsrpt_next_uri(&rua, &scheme, &address))
			must(address.length > 0 && str_is_printable(buf_str(&address)));
	struct str half = str_first(text, size / 2), rest = str_from_index(text, size / 2);
	tlsrpt_policy_begin(&policy, half);
	tlsrpt_policy_add(&policy, 's', rest);
	const struct tlsrpt_row rows[] = {
		{ .type = TLSRPT_STS, .policy = buf_str(&policy), .result = data[0] % TLSRPT_RESULT_COUNT, .mx = half, .reason = rest, .count = 1 },
		{ .type = TLSRPT_TLSA, .policy = text, .result = data[1] % TLSRPT_RESULT_COUNT, .address = text, .count = data[0] },
	};
	tlsrpt_write(&json, &(struct tlsrpt_report){ .organisation = half, .domain = rest, .rows = rows, .row_count = 2 });
	must(!json.overflowed);
	json_t *read = json_loadb(json.data, json.length, JSON_ALLOW_NUL, NULL);
	must(read != NULL);
	json_decref(read);
	return 0;
}
