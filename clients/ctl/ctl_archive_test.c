/* Names, line ends and mbox files. The rest is in tests/admin_e2e.py, through the front door. */
#include "ctl_archive_mbox.h"
#include "ctl_archive_name.h"
#include "ctl_archive_text.h"

#include "check.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_text(const struct buf *got, const char *wanted)
{
	if (!str_equal(buf_str(got), str_of(wanted)))
		fail_msg("expected \"%s\", got \"%.*s\"", wanted, (int)got->length, got->data);
}

static void mailbox_names(void **state)
{
	static const struct {
		const char *mailbox, *file;
	} cases[] = {
		{ "INBOX", "INBOX" },
		{ "a/b c", "a.b c" },
		{ "a.b", "a&AC4-b" },
		{ "a&b", "a&-b" },
		{ "&", "&-" },
		{ "Entwürfe", "Entw&APw-rfe" },
		{ "日本語", "&ZeVnLIqe-" },
		{ "~peter/mail/台北/日本語", "~peter.mail.&U,BTFw-.&ZeVnLIqe-" }, /* RFC 3501 §5.1.3 */
		{ "😀x", "&2D3eAA-x" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf file = BUF_WITH_LIMIT(1000), mailbox = BUF_WITH_LIMIT(1000);
		assert_true(ctl_name_of_mailbox(&file, str_of(cases[i].mailbox)));
		assert_text(&file, cases[i].file);
		assert_true(ctl_mailbox_of_name(&mailbox, buf_str(&file)));
		assert_text(&mailbox, cases[i].mailbox);
	}
}

static void names_of_others(void **state)
{
	static const struct {
		const char *file, *mailbox; /* NULL: refused */
	} cases[] = {
		{ "a&b", "a&b" },          { "a&", "a&" },     { "&AGE", "&AGE" }, { "&2D0-", "&2D0-" }, /* half a pair */
		{ "Entwürfe", "Entwürfe" }, { "a\x01", NULL }, { "\xff", NULL },   { "", NULL },
		{ "&AAE-", NULL }, /* a control character */
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf mailbox = BUF_WITH_LIMIT(1000);
		assert_int_equal(ctl_mailbox_of_name(&mailbox, str_of(cases[i].file)), cases[i].mailbox != NULL);
		if (cases[i].mailbox)
			assert_text(&mailbox, cases[i].mailbox);
	}
}

static void a_long_name_is_refused(void **state)
{
	CLEANUP(buf_release) struct buf file = BUF_WITH_LIMIT(10000), name = BUF_WITH_LIMIT(1000);
	(void)state;
	for (int i = 0; i < 240; i++)
		buf_add_char(&name, 'x');
	assert_true(ctl_name_of_mailbox(&file, buf_str(&name)));
	buf_add_char(&name, 'x');
	buf_clear(&file);
	assert_false(ctl_name_of_mailbox(&file, buf_str(&name)));
	buf_clear(&file);
	assert_false(ctl_name_of_mailbox(&file, STR("\xff")));
}

static void address_names(void **state)
{
	static const struct {
		const char *address, *file;
	} cases[] = { { "a@b.test", "a@b.test" },
				  { "a/b%c@d.test", "a%2Fb%25c@d.test" },
				  { "../x@d.test", "%2E.%2Fx@d.test" } };
	CLEANUP(buf_release) struct buf bad = BUF_WITH_LIMIT(1000);
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf file = BUF_WITH_LIMIT(1000), address = BUF_WITH_LIMIT(1000);
		ctl_name_of_address(&file, str_of(cases[i].address));
		assert_text(&file, cases[i].file);
		assert_true(ctl_address_of_name(&address, buf_str(&file)));
		assert_text(&address, cases[i].address);
	}
	assert_false(ctl_address_of_name(&bad, STR("a%2")));
	buf_clear(&bad);
	assert_false(ctl_address_of_name(&bad, STR("a%zz")));
}

static void line_ends(void **state)
{
	static const struct {
		struct str file, mail, back; /* back: what an export makes of the mail */
	} cases[] = {
		{ STR("a\nb\n"), STR("a\r\nb\r\n"), STR("a\nb\n") },
		{ STR("a\nb"), STR("a\r\nb\r\n"), STR("a\nb\n") },
		{ STR("a\r\nb\r\n"), STR("a\r\nb\r\n"), STR("a\nb\n") },
		{ STR("a\rb\n"), STR("a\rb\r\n"), STR("a\rb\r\n") },
		{ STR("a\r\r\nb\n"), STR("a\r\r\nb\r\n"), STR("a\r\r\nb\r\n") },
		{ STR("a\r"), STR("a\r\r\n"), STR("a\r\r\n") },
		{ STR("\n"), STR("\r\n"), STR("\n") },
		{ STR("\0\n"), STR("\0\r\n"), STR("\0\n") },
		{ STR(""), STR(""), STR("") },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release)
		struct buf mail = BUF_WITH_LIMIT(100),
				   back = BUF_WITH_LIMIT(100), again = BUF_WITH_LIMIT(100);
		ctl_text_to_mail(&mail, cases[i].file);
		assert_true(str_equal(buf_str(&mail), cases[i].mail));
		ctl_text_of_mail(&back, buf_str(&mail));
		assert_true(str_equal(buf_str(&back), cases[i].back));
		ctl_text_to_mail(&again, buf_str(&back));
		assert_true(str_equal(buf_str(&again), cases[i].mail));
	}
}

static const struct ctl_mail mails[] = {
	{ STR("Subject: a\r\n\r\nbody\r\n"), STR("\\Seen work"), 1000000000 },
	{ STR("Return-Path: <a@b.test>\r\nStatus: own\r\nX-Status: A\r\nX-Keywords: own\r\n\r\nFrom here\r\n>From "
		  "there\r\n\r\n"),
	  STR(""), 0 },
	{ STR("\r\n\r\n\r\n"), STR("\\Answered \\Flagged \\Draft \\Deleted"), 1 },
	{ STR("Subject: bare\r\n\r\na\rb\r\n\r\n"), STR("a b c"), 2000000000 },
	{ STR(""), STR("\\Seen"), 5 },
	{ STR("no header\r\n\r\nFrom x@y Thu Jan  1 00:00:00 1970\r\n\r\n\r\n"), STR(""), 5 },
};

static void what_is_written_is_read(void **state)
{
	CLEANUP(mem_free) char *text = NULL;
	CLEANUP(ctl_mbox_release) struct ctl_mbox mbox;
	struct ctl_mail got;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	(void)state;
	for (size_t i = 0; i < COUNT_OF(mails); i++)
		assert_true(ctl_mbox_write(out, &mails[i], NULL));
	fclose(out);
	FILE *in = fmemopen(text, size, "r");
	ctl_mbox_begin(&mbox, in);
	for (size_t i = 0; i < COUNT_OF(mails); i++) {
		assert_int_equal(ctl_mbox_read(&mbox, &got, NULL), CTL_MBOX_MAIL);
		assert_true(str_equal(got.text, mails[i].text));
		assert_true(str_equal(got.flags, mails[i].flags));
		assert_int_equal(got.received, mails[i].received);
	}
	assert_int_equal(ctl_mbox_read(&mbox, &got, NULL), CTL_MBOX_END);
	fclose(in);
}

static void files_of_others(void **state)
{
	static const char text[] =
		"From x y Sat Jan  3 01:05:34 1996 +0100\r\nSubject: a\r\nX-Status: F\r\nStatus: RO\r\n folded\r\nTo: b\r\n\r\n"
		"text\r\n>From quoted\r\n\r\nFrom me to you\r\n\r\nFrom - Sat Jan  3 01:05:34 1996\nbroken\n";
	CLEANUP(ctl_mbox_release) struct ctl_mbox mbox;
	struct ctl_mail got;
	FILE *in = fmemopen((char *)text, sizeof text - 1, "r");
	(void)state;
	ctl_mbox_begin(&mbox, in);
	assert_int_equal(ctl_mbox_read(&mbox, &got, NULL), CTL_MBOX_MAIL);
	assert_true(str_equal(got.text, STR("Subject: a\r\nTo: b\r\n\r\ntext\r\nFrom quoted\r\n\r\nFrom me to you\r\n")));
	assert_true(str_equal(got.flags, STR("\\Flagged \\Seen")));
	assert_int_equal(got.received, 820631134 - 3600);
	assert_int_equal(ctl_mbox_read(&mbox, &got, NULL), CTL_MBOX_MAIL);
	assert_true(str_equal(got.text, STR("broken\r\n")));
	assert_int_equal(got.received, 820631134);
	assert_int_equal(ctl_mbox_read(&mbox, &got, NULL), CTL_MBOX_END);
	fclose(in);
}

static void what_is_no_mbox_is_refused(void **state)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(ctl_mbox_release) struct ctl_mbox mbox;
	struct ctl_mail got;
	FILE *in = fmemopen("Subject: a\n\n", 12, "r");
	(void)state;
	ctl_mbox_begin(&mbox, in);
	assert_int_equal(ctl_mbox_read(&mbox, &got, &fail), CTL_MBOX_FAILED);
	assert_int_equal(fail->kind, FAIL_INVALID);
	fclose(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailbox_names),
		cmocka_unit_test(names_of_others),
		cmocka_unit_test(a_long_name_is_refused),
		cmocka_unit_test(address_names),
		cmocka_unit_test(line_ends),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(files_of_others),
		cmocka_unit_test(what_is_no_mbox_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
