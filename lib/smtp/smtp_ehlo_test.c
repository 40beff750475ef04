#include "smtp_ehlo.h"

#include "smtp_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void written(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	struct smtp_ehlo e = { .extensions = SMTP_PIPELINING | SMTP_SIZE | SMTP_8BITMIME | SMTP_ENHANCED | SMTP_LIMITS |
		                                 SMTP_AUTH | SMTP_HELP,
		                   .size = 52428800,
		                   .mail_max = 1000,
		                   .recipient_max = 100,
		                   .mechanisms = "PLAIN LOGIN" };
	smtp_ehlo_write(&out, &e, STR("mx.example.test"), STR("client?x"));
	assert_string_equal(
		buf_text(&out),
		"250-mx.example.test greets client?x\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n"
		"250-ENHANCEDSTATUSCODES\r\n250-LIMITS MAILMAX=1000 RCPTMAX=100\r\n250-AUTH PLAIN LOGIN\r\n250 HELP\r\n");
	buf_clear(&out);
	e.extensions = 0;
	smtp_ehlo_write(&out, &e, STR("h"), STR("c"));
	assert_string_equal(buf_text(&out), "250 h greets c\r\n");
}

/* Whatever is announced is understood. */
static void round_trips(void **state)
{
	(void)state;
	struct smtp_ehlo full = { .extensions = (SMTP_HELP << 1) - 1,
		                      .size = UINT64_MAX,
		                      .mail_max = 999999,
		                      .recipient_max = 1,
		                      .recipient_domain_max = 10,
		                      .hold_max = 999999999,
		                      .by_min = 1,
		                      .mechanisms = "SCRAM-SHA-256 PLAIN" };
	for (unsigned bits = 0; bits <= full.extensions; bits += 7) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
		CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
		struct smtp_ehlo e = full, back;
		size_t used;
		e.extensions = bits;
		smtp_ehlo_write(&out, &e, STR("h"), STR("c"));
		smtp_reply_reader_init(&r);
		assert_int_equal(smtp_reply_read(&r, buf_str(&out), &used), SMTP_REPLY_DONE);
		smtp_ehlo_read(buf_str(&r.text), &back);
		assert_int_equal(back.extensions, bits);
		assert_int_equal(back.size, bits & SMTP_SIZE ? full.size : 0);
		assert_int_equal(back.recipient_domain_max, bits & SMTP_LIMITS ? 10 : 0);
		assert_int_equal(back.hold_max, bits & SMTP_FUTURERELEASE ? full.hold_max : 0);
		assert_int_equal(back.by_min, bits & SMTP_DELIVERBY ? 1 : 0);
		assert_string_equal(back.mechanisms, bits & SMTP_AUTH ? full.mechanisms : "");
	}
}

static void read(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned extensions;
		uint64_t size, mail_max, recipient_max;
		const char *mechanisms;
	} cases[] = {
		{ "host", 0, 0, 0, 0, "" },
		{ "SIZE 5", 0, 0, 0, 0, "" },
		{ "h\nsize 100\nPipeLining\nX-UNKNOWN a b", SMTP_SIZE | SMTP_PIPELINING, 100, 0, 0, "" },
		{ "h\nSIZE", SMTP_SIZE, 0, 0, 0, "" },
		{ "h\nSIZE 0", SMTP_SIZE, 0, 0, 0, "" },
		{ "h\nSIZE 99999999999999999999999", SMTP_SIZE, 0, 0, 0, "" },
		{ "h\nSIZE -5\nSIZEX 5", SMTP_SIZE, 0, 0, 0, "" },
		{ "h\nAUTH plain  LOGIN\nAUTH=LOGIN CRAM-MD5", SMTP_AUTH, 0, 0, 0, "PLAIN LOGIN CRAM-MD5" },
		{ "h\nAUTH =x \x80 TOO-LONG-A-NAME-FOR-A-MECHANISM PLAIN", SMTP_AUTH, 0, 0, 0, "PLAIN" },
		{ "h\nDSN \n  8BITMIME\r", SMTP_DSN | SMTP_8BITMIME, 0, 0, 0, "" },
		/* RFC 9422 §5 and §3.7 */
		{ "h\nLIMITS RCPTMAX=20 MAILMAX=5", SMTP_LIMITS, 0, 5, 20, "" },
		{ "h\nLIMITS RCPTMAX=20 FUTURE OTHER=x", SMTP_LIMITS, 0, 0, 20, "" },
		{ "h\nLIMITS RCPTMAX=0 MAILMAX=5", SMTP_LIMITS, 0, 5, 0, "" },
		{ "h\nLIMITS RCPTMAX=1000000 MAILMAX=05", SMTP_LIMITS, 0, 0, 0, "" },
		{ "h\nLIMITS RCPTMAX=20 MAIL;MAX=5", 0, 0, 0, 0, "" },
		{ "h\nLIMITS RCPTMAX=20 MAILMAX=", 0, 0, 0, 0, "" },
		{ "h\nLIMITS RCPTMAX=20;MAILMAX=5", 0, 0, 0, 0, "" },
		{ "h\nLIMITS RCPTMAX=20 MAILMAX=5\nLIMITS A;B", 0, 0, 0, 0, "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_ehlo e;
		smtp_ehlo_read(str_of(cases[i].text), &e);
		assert_int_equal(e.extensions, cases[i].extensions);
		assert_int_equal(e.size, cases[i].size);
		assert_int_equal(e.mail_max, cases[i].mail_max);
		assert_int_equal(e.recipient_max, cases[i].recipient_max);
		assert_string_equal(e.mechanisms, cases[i].mechanisms);
	}
}

static void mechanisms(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(100000);
	struct smtp_ehlo e;
	buf_add_str(&text, STR("h\nAUTH PLAIN"));
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&text, " M%u", i);
	smtp_ehlo_read(buf_str(&text), &e);
	assert_true(strlen(e.mechanisms) < sizeof e.mechanisms);
	assert_true(smtp_ehlo_has_mechanism(&e, STR("plain")));
	assert_true(smtp_ehlo_has_mechanism(&e, STR("M1")));
	assert_false(smtp_ehlo_has_mechanism(&e, STR("M999")));
	assert_false(smtp_ehlo_has_mechanism(&e, STR("PLAI")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written), cmocka_unit_test(round_trips), cmocka_unit_test(read), cmocka_unit_test(mechanisms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
