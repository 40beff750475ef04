/* An mbox file of anything: what is read from it, written and read again, is the same. Names of files likewise. */
#include "ctl_archive_mbox.h"
#include "ctl_archive_name.h"

#include "check.h"
#include "mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const char *text, size_t size, const struct ctl_mail *wanted)
{
	CLEANUP(ctl_mbox_release) struct ctl_mbox mbox;
	struct ctl_mail got;
	FILE *in = fmemopen((char *)text, size, "r");
	must(in);
	ctl_mbox_begin(&mbox, in);
	must(ctl_mbox_read(&mbox, &got, NULL) == CTL_MBOX_MAIL);
	must(str_equal(got.text, wanted->text) && got.received == wanted->received);
	must(ctl_mbox_read(&mbox, &got, NULL) == CTL_MBOX_END);
	fclose(in);
}

static void write_and_check(const struct ctl_mail *mail)
{
	CLEANUP(mem_free) char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	must(out && ctl_mbox_write(out, mail, NULL));
	fclose(out);
	check_again(text, size, mail);
}

static void read_mbox(const uint8_t *data, size_t size)
{
	CLEANUP(ctl_mbox_release) struct ctl_mbox mbox = {};
	struct ctl_mail mail;
	FILE *in = size ? fmemopen((char *)data, size, "r") : NULL;
	if (!in)
		return;
	ctl_mbox_begin(&mbox, in);
	while (ctl_mbox_read(&mbox, &mail, NULL) == CTL_MBOX_MAIL)
		write_and_check(&mail);
	fclose(in);
}

static void read_name(struct str file)
{
	CLEANUP(buf_release)
	struct buf mailbox = BUF_WITH_LIMIT(1 << 20),
			   name = BUF_WITH_LIMIT(1 << 22), again = BUF_WITH_LIMIT(1 << 20);
	if (!ctl_mailbox_of_name(&mailbox, file) || !ctl_name_of_mailbox(&name, buf_str(&mailbox)))
		return;
	must(str_find_char(buf_str(&name), '/') == name.length);
	must(ctl_mailbox_of_name(&again, buf_str(&name)) && str_equal(buf_str(&again), buf_str(&mailbox)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_mbox(data, size);
	read_name(str_from((const char *)data, size));
	return 0;
}
