/* What is rewritten comes back, other keys do not bring it back, and nothing that was not made here is good. */
#include "srs.h"

#include "limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str local_of(struct str address)
{
	return str_first(address, str_find_last_char(address, '@'));
}

static bool is_fixed(struct str address)
{
	return str_starts_nocase(address, STR("SRS")); /* separators become "=", and the second forwarder leaves */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct srs_keys ours = { { { { 1, 2 } } }, 1 }, theirs = { { { { 3, 4 } } }, 1 };
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4096), again = BUF_WITH_LIMIT(4096);
	struct str text = str_from((const char *)data, size);
	srs_reverse(&again, &ours, 20000, text);
	buf_clear(&again);
	if (!srs_forward(&out, &ours, 20000, text, STR("b.example")))
		return 0;
	must(out.length <= LIMIT_ADDRESS_MAX);
	must(srs_reverse(&again, &theirs, 20000, local_of(buf_str(&out))) != SRS_GOOD && again.length == 0);
	enum srs_result result = srs_reverse(&again, &ours, 20000, local_of(buf_str(&out)));
	must(is_fixed(text) || (result == SRS_GOOD && str_equal(buf_str(&again), text)));
	return 0;
}
