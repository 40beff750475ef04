/* Modified UTF-7: what decodes encodes to the same text again; every UTF-8 text without NUL makes the round trip. */
#include "imap_write.h"

#include "text.h"

static void check_text(struct str text)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(4 * text.length + 4), again = BUF_WITH_LIMIT(8 * text.length + 8);
	if (!imap_mutf7_decode(&name, text))
		return;
	must(text_is_ascii(text) && text_is_utf8(buf_str(&name)));
	imap_mutf7_encode(&again, buf_str(&name));
	must(str_equal(buf_str(&again), text));
}

static void check_name(struct str name)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(8 * name.length + 8), again = BUF_WITH_LIMIT(4 * name.length + 4);
	imap_mutf7_encode(&text, name);
	must(!text.overflowed && str_is_printable(buf_str(&text)));
	if (!text_is_utf8(name) || str_find_char(name, '\0') < name.length)
		return;
	must(imap_mutf7_decode(&again, buf_str(&text)));
	must(str_equal(buf_str(&again), name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_from((const char *)data, size);
	check_text(input);
	check_name(input);
	return 0;
}
