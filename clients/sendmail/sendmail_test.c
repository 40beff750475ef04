#include "sendmail_message.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SIZE_MAX_HERE = 4096 };

static void join(const struct sendmail_message *m, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < m->recipients.count; i++)
		buf_printf(out, "%s%.*s", i ? " " : "", STR_ARG(m->recipients.items[i]));
}

static void assert_text(struct buf *got, const char *expected)
{
	assert_string_equal(buf_text(got), expected);
}

#define FROM "From: <me@home.test>\r\n"

static void texts(void **state)
{
	(void)state;
	static const struct {
		const char *text, *sent;
	} cases[] = {
		{ "From: a@b.test\nSubject: x\n\nbody\n", "From: a@b.test\r\nSubject: x\r\n\r\nbody\r\n" },
		{ "From: a@b.test\r\n\r\nbody\r\n", "From: a@b.test\r\n\r\nbody\r\n" },
		{ "Subject: x\n folded\n\nbody", FROM "Subject: x\r\n folded\r\n\r\nbody" },
		{ "hello\n", FROM "\r\nhello\r\n" },
		{ "hello\nthere\n", FROM "\r\nhello\r\nthere\r\n" },
		{ "", FROM "\r\n" },
		{ "Subject: x\n", FROM "Subject: x\r\n\r\n" },
		{ "Subject: x", FROM "Subject: x\r\n\r\n" },
		{ "From root Mon Jan  1 00:00:00 2024\nSubject: x\n\nb\n", FROM "Subject: x\r\n\r\nb\r\n" },
		{ "Subject: x\nBcc: c@d.test\n\nb\n", FROM "Subject: x\r\nBcc: c@d.test\r\n\r\nb\r\n" },
		{ "\n.\n..\n", FROM "\r\n.\r\n..\r\n" },
		{ "Subject: x\n\na\rb\n", FROM "Subject: x\r\n\r\na\rb\r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(sendmail_message_release) struct sendmail_message m;
		sendmail_message_init(&m, "home.test", SIZE_MAX_HERE);
		assert_true(sendmail_take_text(&m, str_of(cases[i].text), STR("me@home.test"), STR(""), false, NULL));
		assert_text(&m.content, cases[i].sent);
	}
}

static void recipients_in_header(void **state)
{
	(void)state;
	static const struct {
		const char *text, *recipients; /* NULL: refused */
	} cases[] = {
		{ "To: a@b.test\n\n", "a@b.test" },
		{ "To: A <a@b.test>, \"B, b\" <b@b.test>\nCc: c\nBcc: d@b.test, a@b.test\n\nTo: x@y.test\n",
		  "a@b.test b@b.test c@home.test d@b.test" },
		{ "To: team: a@b.test, b@b.test;\n\n", "a@b.test b@b.test" },
		{ "To: a@b.test\nResent-To: r@b.test\n\n", "r@b.test" },
		{ "To: a@b.test\nResent-Bcc: r@b.test\n\n", "r@b.test" },
		{ "To: \"a b\"@b.test\n\n", "\"a b\"@b.test" },
		{ "To: a@B\xc3\xbc" "cher.test\n\n", "a@xn--bcher-kva.test" },
		{ "Subject: nobody\n\n", NULL },
		{ "To: undisclosed recipients:;\n\n", NULL },
		{ "To: a@b..test\n\n", NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf joined = BUF_WITH_LIMIT(1000);
		CLEANUP(sendmail_message_release) struct sendmail_message m;
		sendmail_message_init(&m, "home.test", SIZE_MAX_HERE);
		bool good = sendmail_take_text(&m, str_of(cases[i].text), STR("me@home.test"), STR(""), true, NULL);
		assert_int_equal(good, cases[i].recipients != NULL);
		join(&m, &joined);
		if (good)
			assert_text(&joined, cases[i].recipients);
		assert_int_equal(str_find(buf_str(&m.content), STR("Bcc")), m.content.length);
	}
}

static void names(void **state)
{
	(void)state;
	static const struct {
		const char *name, *field;
	} cases[] = {
		{ "", "From: <me@home.test>\r\n" },
		{ "Me Myself", "From: Me Myself <me@home.test>\r\n" },
		{ " root ", "From: root <me@home.test>\r\n" },
		{ "J\xc3\xa1n", "From: =?UTF-8?B?SsOhbg==?= <me@home.test>\r\n" },
		{ "a\r\nBcc: x@y.test", "From: =?UTF-8?B?YQ0KQmNjOiB4QHkudGVzdA==?= <me@home.test>\r\n" },
		{ "a \"b\" <c@d.test>", "From: =?UTF-8?B?YSAiYiIgPGNAZC50ZXN0Pg==?= <me@home.test>\r\n" },
		{ "broken \xff", "From: <me@home.test>\r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(sendmail_message_release) struct sendmail_message m;
		sendmail_message_init(&m, "home.test", SIZE_MAX_HERE);
		assert_true(sendmail_take_text(&m, STR("\n"), STR("me@home.test"), str_of(cases[i].name), false, NULL));
		assert_true(str_starts(buf_str(&m.content), str_of(cases[i].field)));
		assert_int_equal(m.content.length, strlen(cases[i].field) + 2);
	}
}

static void senders(void **state)
{
	(void)state;
	static const struct {
		const char *text, *sender; /* NULL: refused */
	} cases[] = {
		{ "alice", "alice@home.test" },  { "alice@b.test", "alice@b.test" },      { "<alice@b.test>", "alice@b.test" },
		{ "Alice <a@b.test>", "a@b.test" }, { "", "" },                           { "<>", "" },
		{ "a@b.test, c@d.test", NULL },  { "a@b.test>\r\nRCPT TO:<c@d.test", NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(sendmail_message_release) struct sendmail_message m;
		sendmail_message_init(&m, "home.test", SIZE_MAX_HERE);
		assert_int_equal(sendmail_set_sender(&m, str_of(cases[i].text), NULL), cases[i].sender != NULL);
		if (cases[i].sender)
			assert_true(str_equal(m.sender, str_of(cases[i].sender)));
	}
}

static void character_sets(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool has_8bit, needs_utf8;
	} cases[] = {
		{ "Subject: x\n\nb\n", false, false },
		{ "Subject: x\n\nb\xc3\xbc\n", true, false },
		{ "Subject: b\xc3\xbc\n\nb\n", true, true },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(sendmail_message_release) struct sendmail_message m;
		sendmail_message_init(&m, "home.test", SIZE_MAX_HERE);
		assert_true(sendmail_take_text(&m, str_of(cases[i].text), STR("me@home.test"), STR(""), false, NULL));
		assert_int_equal(m.has_8bit, cases[i].has_8bit);
		assert_int_equal(m.needs_utf8, cases[i].needs_utf8);
	}
}

static void limits(void **state)
{
	(void)state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(sendmail_message_release) struct sendmail_message m;
	sendmail_message_init(&m, "home.test", 100);
	buf_printf(&text, "From: a@b.test\n\n%100s", "");
	assert_false(sendmail_take_text(&m, buf_str(&text), STR("me@home.test"), STR(""), false, &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
	buf_clear(&text);
	for (unsigned i = 0; i < LIMIT_SMTP_RECIPIENTS_MAX; i++)
		buf_printf(&text, "user%u,", i);
	assert_true(sendmail_add_recipients(&m, buf_str(&text), &fail));
	assert_int_equal(m.recipients.count, LIMIT_SMTP_RECIPIENTS_MAX);
	assert_true(sendmail_add_recipients(&m, STR("user0"), &fail));
	assert_false(sendmail_add_recipients(&m, STR("one-more"), &fail));
	assert_int_equal(fail->kind, FAIL_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),   cmocka_unit_test(recipients_in_header), cmocka_unit_test(names),
		cmocka_unit_test(senders), cmocka_unit_test(character_sets),       cmocka_unit_test(limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
