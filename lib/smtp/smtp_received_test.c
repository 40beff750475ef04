#include "smtp_received.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void fields(void **state)
{
	(void)state;
	static const struct {
		struct smtp_received r;
		const char *text;
	} cases[] = {
		{ { .helo = STR("client.example"),
		    .client_name = STR("c.example"),
		    .client_address = STR("192.0.2.1"),
		    .host = STR("mx.example.test"),
		    .extended = true,
		    .tls = true,
		    .tls_version = STR("TLSv1.3"),
		    .tls_cipher = STR("TLS_AES_256_GCM_SHA384"),
		    .id = STR("4f2a"),
		    .recipient = STR("bob@example.test"),
		    .time = 1700000000,
		    .zone_minutes = -330 },
		  "Received: from client.example (c.example [192.0.2.1]) by mx.example.test\r\n"
		  "\t(Posthorn) with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id 4f2a\r\n"
		  "\tfor <bob@example.test>; Tue, 14 Nov 2023 16:43:20 -0530\r\n" },
		{ { .helo = STR("x"), .client_address = STR("2001:db8::1"), .host = STR("h"), .id = STR("i"), .time = 0 },
		  "Received: from x ([IPv6:2001:db8::1]) by h (Posthorn) with SMTP id i;\r\n\tThu, 1 Jan 1970 00:00:00 "
		  "+0000\r\n" },
		{ { .host = STR("h"), .lmtp = true, .extended = true, .id = STR("i"), .time = 951782400, .zone_minutes = 60 },
		  "Received: from unknown by h (Posthorn) with LMTP id i;\r\n\tTue, 29 Feb 2000 01:00:00 +0100\r\n" },
		{ { .helo = STR("a)\r\nX: y"),
		    .client_name = STR("n\n("),
		    .client_address = STR("1;2"),
		    .host = STR("h"),
		    .extended = true,
		    .id = STR("i\r\n"),
		    .recipient = STR("a\r\nBcc: x\xc3\xa9@b"),
		    .time = 0 },
		  "Received: from a???X:?y (n?? [1?2]) by h (Posthorn) with ESMTP id i??\r\n"
		  "\tfor <a??Bcc: x??@b>; Thu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ { .helo = STR("x"),
		    .host = STR("h"),
		    .extended = true,
		    .utf8 = true,
		    .id = STR("i"),
		    .recipient = STR("\xc3\xa9@b"),
		    .time = 0 },
		  "Received: from x by h (Posthorn) with UTF8SMTP id i for <\xc3\xa9@b>;\r\n\tThu, 1 Jan 1970 00:00:00 "
		  "+0000\r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4000);
		smtp_received_write(&out, &cases[i].r);
		assert_string_equal(buf_text(&out), cases[i].text);
	}
}

/* RFC 3848 §3, RFC 6531 §4.3 */
static void with(void **state)
{
	(void)state;
	static const char *const names[] = {
		"SMTP", "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA", "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA",
		"LMTP", "LMTPS", "LMTPA", "LMTPSA", "UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA",
	};
	assert_string_equal(smtp_received_with(&(struct smtp_received){}), names[0]);
	for (unsigned i = 0; i < 16; i++) {
		struct smtp_received r = {
			.extended = true, .tls = i & 1, .authenticated = i & 2, .utf8 = i & 4, .lmtp = i & 8
		};
		assert_string_equal(smtp_received_with(&r), names[1 + i]);
	}
}

static void return_path(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "", "Return-Path: <>\r\n" }, { "a@b.c", "Return-Path: <a@b.c>\r\n" },
		{ "\"a b\"@c", "Return-Path: <\"a b\"@c>\r\n" }, { "a\r\nX: y@c", "Return-Path: <a??X: y@c>\r\n" },
		{ "\xc3\xa9@c", "Return-Path: <\xc3\xa9@c>\r\n" }, { "\xc3@c", "Return-Path: <?@c>\r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4000);
		smtp_return_path_write(&out, str_of(cases[i][0]));
		assert_string_equal(buf_text(&out), cases[i][1]);
	}
}

/* Everything as long as it may be: no line beyond 998 octets, every fold followed by white space. */
static void longest(void **state)
{
	(void)state;
	char text[3000];
	memset(text, 'x', sizeof text);
	struct str all = str_from(text, sizeof text);
	struct smtp_received r = { .helo = all,
		                       .client_name = all,
		                       .client_address = all,
		                       .host = all,
		                       .extended = true,
		                       .tls = true,
		                       .tls_version = all,
		                       .tls_cipher = all,
		                       .id = all,
		                       .recipient = all,
		                       .time = 0 };
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(8000);
	smtp_received_write(&out, &r);
	assert_false(out.overflowed);
	struct str rest = buf_str(&out), line;
	for (size_t i = 0; str_take_until(&rest, '\n', &line); i++) {
		assert_true(line.length <= 999);
		assert_int_equal(line.data[line.length - 1], '\r');
		assert_int_equal(line.data[0], i ? '\t' : 'R');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields), cmocka_unit_test(with), cmocka_unit_test(return_path), cmocka_unit_test(longest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
