#include "downgrade.h"

#include "ascii.h"
#include "mail_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void fields(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "Subject: plain\r\nX: =?utf-8?q?a?=\r\n\r\n", "Subject: plain\r\nX: =?utf-8?q?a?=\r\n\r\n" },
		{ "Subject: Grüße\r\n\r\n", "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\n" },
		{ "Subject: raw \xfc\r\n\r\n", "Subject: =?utf-8?B?cmF3IMO8?=\r\n\r\n" },
		{ "To: Jörg <a@b.test>, c@d.test\r\n\r\n", "To: =?utf-8?B?SsO2cmc=?=\r\n <a@b.test>,\r\n <c@d.test>\r\n\r\n" },
		{ "To: Ä: \"x, y\" <a@b.test>;, \"q q\"@b.test\r\n\r\n",
		  "To: =?utf-8?B?w4Q=?=:\r\n \"x, y\"\r\n <a@b.test>;,\r\n <\"q q\"@b.test>\r\n\r\n" },
		{ "From: Jo <ö@b.test>\r\n\r\n",
		  "From: =?utf-8?B?Sm8gPMO2QGIudGVzdD4=?=\r\n <invalid@internationalized-address.invalid>\r\n\r\n" },
		{ "Message-ID: <ü@x>\r\n\r\n", "Downgraded-Message-ID: =?utf-8?B?PMO8QHg+?=\r\n\r\n" },
		{ "Received: from ü\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
		{ "Content-Disposition: attachment; filename=\"ü.txt\"; size=1\r\n\r\n",
		  "Content-Disposition: attachment;\r\n filename*=utf-8''%C3%BC.txt; size=\"1\"\r\n\r\n" },
		{ "Content-Type: te\xfct/x\r\nContent-Type: a/b\r\n\r\n",
		  "Content-Type: application/octet-stream\r\nContent-Type: a/b\r\n\r\n" },
		{ "Content-Transfer-Encoding: base64 \xfc\r\n\r\n", "Content-Transfer-Encoding: base64\r\n\r\n" },
		{ "Ünknown: x\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
	};
	const struct mime_part part = { .type = STR("text"), .subtype = STR("plain") };
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
		downgrade_header(&out, str_of(cases[i][0]), &part);
		assert_string_equal(buf_text(&out), cases[i][1]);
	}
}

static void parts_within(void **state)
{
	(void)state;
	struct str text = STR("Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	                      "--b\r\nContent-Description: ü\r\n\r\nbödy\r\n--b\r\nContent-Type: message/global\r\n\r\n"
	                      "Subject: ü\r\n\r\nx\r\n--b--\r\n");
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	downgrade_message(&out, text, mime_parse(a, text, NULL));
	assert_string_equal(buf_text(&out),
	                    "Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	                    "Content-Description: =?utf-8?B?w7w=?=\r\n\r\nbödy\r\n--b\r\n"
	                    "Content-Type: message/rfc822\r\n\r\n"
	                    "Subject: =?utf-8?B?w7w=?=\r\n\r\nx\r\n--b--\r\n");
}

/* ASCII in every header; a message without other bytes comes out as it was, and a surrogate again. */
static void check_sample(const char *path, struct str text)
{
	(void)path;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf once = BUF_WITH_LIMIT(64 << 20);
	CLEANUP(buf_release) struct buf twice = BUF_WITH_LIMIT(64 << 20);
	struct message m;
	message_parse(a, text, &m);
	downgrade_message(&once, text, m.root);
	if (!(m.flags & MESSAGE_HAS_8BIT_HEADER) && str_find(text, STR("essage/global")) == text.length)
		must(str_equal(buf_str(&once), text));
	message_parse(a, buf_str(&once), &m);
	must(!(m.flags & MESSAGE_HAS_8BIT_HEADER));
	downgrade_message(&twice, buf_str(&once), m.root);
	must(str_equal(buf_str(&once), buf_str(&twice)));
}

static void samples_become_ascii(void **state)
{
	(void)state;
	if (!check_samples(check_sample)) {
		print_message("no sample mails\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(parts_within),
		cmocka_unit_test(samples_become_ascii),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
