/* What was read of an EHLO answer can be announced again and then reads the same. */
#include "smtp_ehlo.h"
#include "smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 1 << 14)
		return 0;
	struct smtp_ehlo e, again;
	smtp_ehlo_read(str_from((const char *)data, size), &e);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 16);
	CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
	size_t used;
	smtp_ehlo_write(&out, &e, STR("host"), STR("client"));
	smtp_reply_reader_init(&r);
	must(smtp_reply_read(&r, buf_str(&out), &used) == SMTP_REPLY_DONE && used == out.length);
	smtp_ehlo_read(buf_str(&r.text), &again);
	must(memcmp(&e, &again, sizeof e) == 0);
	return 0;
}
