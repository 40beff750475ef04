#include "smtp_parameter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { EVERYTHING = (SMTP_HELP << 1) - 1 };

static struct smtp_mail parse_mail(struct arena *a, const char *parameters)
{
	struct smtp_mail mail;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(5000);
	buf_printf(&text, "<a@b.c> %s", parameters);
	assert_null(smtp_mail_parse(a, buf_str(&text), EVERYTHING, 0, &mail));
	assert_true(str_equal(mail.from.mailbox, STR("a@b.c")));
	return mail;
}

static void mail_good(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 20);
	struct smtp_mail m = parse_mail(a, "");
	assert_true(m.size == 0 && m.body == SMTP_BODY_7BIT && !m.utf8 && !m.has_auth && !m.has_by && m.envid.length == 0);
	m = parse_mail(a, "SIZE=1000000 body=8bitmime SMTPUTF8  REQUIRETLS MT-PRIORITY=-9");
	assert_true(m.size == 1000000 && m.body == SMTP_BODY_8BITMIME && m.utf8 && m.require_tls && m.priority == -9);
	m = parse_mail(a, "RET=HDRS ENVID=QQ314159+2B BODY=BINARYMIME MT-PRIORITY=3");
	assert_true(m.ret == SMTP_RETURN_HEADERS && m.body == SMTP_BODY_BINARYMIME && m.priority == 3);
	assert_true(str_equal(m.envid, STR("QQ314159+")));
	assert_int_equal(parse_mail(a, "RET=FULL").ret, SMTP_RETURN_FULL);
	/* RFC 4954 §5 */
	m = parse_mail(a, "AUTH=e+3Dmc2@Example.com");
	assert_true(m.has_auth && str_equal(m.auth, STR("e=mc2@example.com")));
	m = parse_mail(a, "AUTH=<>");
	assert_true(m.has_auth && m.auth.length == 0);
	/* RFC 2852 §4 */
	m = parse_mail(a, "BY=120;RT");
	assert_true(m.has_by && m.by_seconds == 120 && m.by_return && m.by_trace);
	m = parse_mail(a, "BY=-999999999;N");
	assert_true(m.by_seconds == -999999999 && !m.by_return && !m.by_trace);
	assert_int_equal(parse_mail(a, "BY=+5;r").by_seconds, 5);
	assert_int_equal(parse_mail(a, "HOLDFOR=999999999").hold_seconds, 999999999);
	assert_int_equal(parse_mail(a, "SIZE=18446744073709551615").size, UINT64_MAX);
	assert_int_equal(parse_mail(a, "SIZE=18446744073709551616").size, UINT64_MAX);
	assert_int_equal(parse_mail(a, "SIZE=99999999999999999999").size, UINT64_MAX);
	assert_int_equal(parse_mail(a, "SIZE=9223372036854775808").size, (uint64_t)1 << 63);
}

static void hold_until(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		int64_t seconds; /* 0: refused */
	} cases[] = {
		{ "2023-11-14T22:13:20Z", 1700000000 },
		{ "2023-11-14t22:13:20z", 1700000000 },
		{ "2023-11-14T22:13:20.123456Z", 1700000000 },
		{ "2023-11-14T23:13:20+01:00", 1700000000 },
		{ "2023-11-14T16:43:20-05:30", 1700000000 },
		{ "2024-02-29T00:00:00Z", 1709164800 },
		{ "2016-12-31T23:59:60Z", 1483228800 },
		{ "9999-12-31T23:59:59Z", 253402300799 },
		{ "2023-02-29T00:00:00Z", 0 },
		{ "2023-13-01T00:00:00Z", 0 },
		{ "2023-00-01T00:00:00Z", 0 },
		{ "2023-04-31T00:00:00Z", 0 },
		{ "2023-11-14T24:00:00Z", 0 },
		{ "2023-11-14T22:60:00Z", 0 },
		{ "2023-11-14T22:13:61Z", 0 },
		{ "2023-11-14T22:13:20", 0 },
		{ "2023-11-14T22:13:20.Z", 0 },
		{ "2023-11-14 22:13:20Z", 0 },
		{ "2023-11-14T22:13Z", 0 },
		{ "2023-11-14T22:13:20+0100", 0 },
		{ "2023-11-14T22:13:20+24:00", 0 },
		{ "2023-11-14T22:13:20ZZ", 0 },
		{ "20231-11-14T22:13:20Z", 0 },
		{ "1960-01-01T00:00:00Z", 0 },
		{ "2023-11-14T22:13:20.1", 0 },
		{ "-023-11-14T22:13:20Z", 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(100);
		struct smtp_mail mail;
		buf_printf(&text, "<> HOLDUNTIL=%s", cases[i].value);
		const struct smtp_reply *reply = smtp_mail_parse(a, buf_str(&text), EVERYTHING, 0, &mail);
		assert_int_equal(reply == NULL, cases[i].seconds != 0);
		if (!reply)
			assert_int_equal(mail.hold_until, cases[i].seconds);
	}
}

static void mail_bad(void **state)
{
	(void)state;
	static const struct {
		const char *argument;
		int code;
	} cases[] = {
		{ "<a@b> SIZE=1 SIZE=1", 501 },
		{ "<a@b> SIZE=1 size=2", 501 },
		{ "<a@b> SIZE", 501 },
		{ "<a@b> SIZE=", 501 },
		{ "<a@b> SIZE=-1", 501 },
		{ "<a@b> SIZE=1k", 501 },
		{ "<a@b> SIZE=100000000000000000000", 501 },
		{ "<a@b> SIZE=0x1", 501 },
		{ "<a@b> FOO", 555 },
		{ "<a@b> FOO=BAR", 555 },
		{ "<a@b> NOTIFY=NEVER", 555 },
		{ "<a@b> =", 501 },
		{ "<a@b> =x", 501 },
		{ "<a@b> -X=1", 501 },
		{ "<a@b> A_B=1", 501 },
		{ "<a@b> <c@d>", 501 },
		{ "<a@b>,<c@d>", 501 },
		{ "<a@b> BODY=9BIT", 501 },
		{ "<a@b> BODY", 501 },
		{ "<a@b> SMTPUTF8=1", 501 },
		{ "<a@b> SMTPUTF8=", 501 },
		{ "<a@b> REQUIRETLS=YES", 501 },
		{ "<a@b> AUTH=", 501 },
		{ "<a@b> AUTH=<a@b>", 501 },
		{ "<a@b> AUTH=a+3", 501 },
		{ "<a@b> AUTH=a+3d@b", 501 },
		{ "<a@b> AUTH=a=b@c", 501 },
		{ "<a@b> AUTH=a@b+0D+0A", 501 },
		{ "<a@b> AUTH=nobody", 501 },
		{ "<a@b> RET=BOTH", 501 },
		{ "<a@b> ENVID=a+0A", 501 },
		{ "<a@b> ENVID=+", 501 },
		{ "<a@b> ENVID=+4", 501 },
		{ "<a@b> ENVID=a=b", 501 },
		{ "<a@b> ENVID=\xc3\xa9", 501 },
		{ "<a@b> HOLDFOR=0", 501 },
		{ "<a@b> HOLDFOR=01", 501 },
		{ "<a@b> HOLDFOR=1000000000", 501 },
		{ "<a@b> HOLDFOR=-1", 501 },
		{ "<a@b> HOLDFOR=5 HOLDUNTIL=2023-11-14T22:13:20Z", 501 },
		{ "<a@b> HOLDUNTIL=2023-11-14T22:13:20Z HOLDFOR=5", 501 },
		{ "<a@b> BY=5", 501 },
		{ "<a@b> BY=;R", 501 },
		{ "<a@b> BY=0;R", 501 },
		{ "<a@b> BY=-5;R", 501 },
		{ "<a@b> BY=5;X", 501 },
		{ "<a@b> BY=5;RX", 501 },
		{ "<a@b> BY=5;RTT", 501 },
		{ "<a@b> BY=1000000000;R", 501 },
		{ "<a@b> BY=0000000001;R", 501 },
		{ "<a@b> BY=--5;N", 501 },
		{ "<a@b> MT-PRIORITY=10", 501 },
		{ "<a@b> MT-PRIORITY=-0", 501 },
		{ "<a@b> MT-PRIORITY=+1", 501 },
		{ "<a@b> MT-PRIORITY=-", 501 },
		{ "<\xc3\xa9@b>", 553 },
		{ "<a@\xc3\xa9.b> SIZE=1", 553 },
		{ "<a@b", 501 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
		struct smtp_mail mail;
		const struct smtp_reply *reply = smtp_mail_parse(a, str_of(cases[i].argument), EVERYTHING, 0, &mail);
		assert_non_null(reply);
		assert_int_equal(reply->code, cases[i].code);
	}
}

/* Each parameter lives and dies with its extension. */
static void needs_extension(void **state)
{
	(void)state;
	static const struct {
		const char *parameter;
		unsigned extension;
		int without;
	} cases[] = {
		{ "SIZE=1", SMTP_SIZE, 555 },
		{ "BODY=8BITMIME", SMTP_8BITMIME, 555 },
		{ "BODY=BINARYMIME", SMTP_8BITMIME | SMTP_BINARYMIME, 555 },
		{ "SMTPUTF8", SMTP_SMTPUTF8, 555 },
		{ "REQUIRETLS", SMTP_REQUIRETLS, 555 },
		{ "AUTH=<>", SMTP_AUTH, 555 },
		{ "RET=FULL", SMTP_DSN, 555 },
		{ "ENVID=x", SMTP_DSN, 555 },
		{ "HOLDFOR=1", SMTP_FUTURERELEASE, 555 },
		{ "HOLDUNTIL=2030-01-01T00:00:00Z", SMTP_FUTURERELEASE, 555 },
		{ "BY=1;R", SMTP_DELIVERBY, 555 },
		{ "MT-PRIORITY=1", SMTP_MT_PRIORITY, 555 },
	};
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(100);
		struct smtp_mail mail;
		buf_printf(&text, "<> %s", cases[i].parameter);
		assert_null(smtp_mail_parse(a, buf_str(&text), cases[i].extension, 0, &mail));
		assert_int_equal(smtp_mail_parse(a, buf_str(&text), EVERYTHING & ~cases[i].extension, 0, &mail)->code,
		                 cases[i].without);
	}
	struct smtp_mail mail;
	assert_int_equal(smtp_mail_parse(a, STR("<> BODY=BINARYMIME"), SMTP_8BITMIME, 0, &mail)->code, 501);
}

static void utf8(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	assert_null(smtp_mail_parse(a, STR("<\xc3\xa9@b> SMTPUTF8"), EVERYTHING, 0, &mail));
	assert_true(mail.utf8 && mail.from.is_utf8);
	assert_null(smtp_mail_parse(a, STR("<a@b> SMTPUTF8"), EVERYTHING, 0, &mail));
	assert_true(mail.utf8 && !mail.from.is_utf8);
	assert_int_equal(
		smtp_mail_parse(a, STR("<\xc3\xa9@b> SMTPUTF8"), EVERYTHING & ~(unsigned)SMTP_SMTPUTF8, 0, &mail)->code, 553);
	assert_null(smtp_rcpt_parse(a, STR("<\xc3\xa9@b>"), EVERYTHING, 0, true, &rcpt));
	assert_int_equal(smtp_rcpt_parse(a, STR("<\xc3\xa9@b>"), EVERYTHING, 0, false, &rcpt)->code, 553);
}

static void rcpt_good(void **state)
{
	(void)state;
	static const struct {
		const char *argument;
		unsigned notify;
		const char *type, *address;
	} cases[] = {
		{ "<a@b>", 0, "", "" },
		{ "<a@b> NOTIFY=NEVER", SMTP_NOTIFY_NEVER, "", "" },
		{ "<a@b> NOTIFY=success,FAILURE,Delay", SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY, "", "" },
		{ "<a@b> NOTIFY=FAILURE ORCPT=rfc822;Bob+2Bx@Example.com", SMTP_NOTIFY_FAILURE, "rfc822", "Bob+x@Example.com" },
		{ "<a@b> ORCPT=RFC822;a+20b@c", 0, "rfc822", "a b@c" },
		{ "<a@b> ORCPT=utf-8;j\\x{F6}rg@b\\x{1F600}", 0, "utf-8", "j\xc3\xb6rg@b\xf0\x9f\x98\x80" },
		{ "<a@b> ORCPT=utf-8;j\xc3\xb6rg@b", 0, "utf-8", "j\xc3\xb6rg@b" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
		struct smtp_rcpt rcpt;
		assert_null(smtp_rcpt_parse(a, str_of(cases[i].argument), EVERYTHING, 0, true, &rcpt));
		assert_int_equal(rcpt.notify, cases[i].notify);
		assert_true(str_equal(rcpt.orcpt_type, str_of(cases[i].type)));
		assert_true(str_equal(rcpt.orcpt_address, str_of(cases[i].address)));
	}
}

static void rcpt_bad(void **state)
{
	(void)state;
	static const struct {
		const char *argument;
		int code;
	} cases[] = {
		{ "<>", 501 },
		{ "<a@b> SIZE=1", 555 },
		{ "<a@b> NOTIFY=", 501 },
		{ "<a@b> NOTIFY", 501 },
		{ "<a@b> NOTIFY=NEVER,DELAY", 501 },
		{ "<a@b> NOTIFY=DELAY,", 501 },
		{ "<a@b> NOTIFY=,DELAY", 501 },
		{ "<a@b> NOTIFY=ALWAYS", 501 },
		{ "<a@b> NOTIFY=DELAY NOTIFY=DELAY", 501 },
		{ "<a@b> ORCPT=rfc822", 501 },
		{ "<a@b> ORCPT=;a", 501 },
		{ "<a@b> ORCPT=rfc822;", 501 },
		{ "<a@b> ORCPT=rfc822;a+0D+0A", 501 },
		{ "<a@b> ORCPT=rfc822;a=b", 501 },
		{ "<a@b> ORCPT=rf(c;a", 501 },
		{ "<a@b> ORCPT=rfc822;\xc3\xb6", 501 },
		{ "<a@b> ORCPT=utf-8;\xc3", 501 },
		{ "<a@b> ORCPT=utf-8;\xc3\xb6", 501 },
		{ "<a@b> ORCPT=utf-8;\\x{110000}", 501 },
		{ "<a@b> ORCPT=utf-8;\\x{A}", 501 },
		{ "<a@b> ORCPT=utf-8;\\x{0A}", 501 },
		{ "<a@b> ORCPT=utf-8;\\x{D800}", 501 },
		{ "<a@b> ORCPT=utf-8;\\x{}", 501 },
		{ "<a@b> ORCPT=utf-8;\\x{F6", 501 },
		{ "<a@b> ORCPT=utf-8;\\a", 501 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
		struct smtp_rcpt rcpt;
		const struct smtp_reply *reply = smtp_rcpt_parse(a, str_of(cases[i].argument), EVERYTHING, 0, false, &rcpt);
		assert_non_null(reply);
		assert_int_equal(reply->code, cases[i].code);
	}
}

static bool accepts(bool on_mail, const char *parameter, size_t length)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(5000);
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	buf_printf(&text, "<a@b> %s", parameter);
	for (size_t i = 0; i < length; i++)
		buf_add_char(&text, 'x');
	return on_mail ? !smtp_mail_parse(a, buf_str(&text), EVERYTHING, 0, &mail)
	               : !smtp_rcpt_parse(a, buf_str(&text), EVERYTHING, 0, true, &rcpt);
}

static void lengths(void **state)
{
	(void)state;
	assert_true(accepts(true, "ENVID=", LIMIT_SMTP_ENVID_MAX));
	assert_false(accepts(true, "ENVID=", LIMIT_SMTP_ENVID_MAX + 1));
	assert_true(accepts(false, "ORCPT=x;", LIMIT_SMTP_ORCPT_MAX - 2));
	assert_false(accepts(false, "ORCPT=x;", LIMIT_SMTP_ORCPT_MAX - 1));
	assert_false(accepts(false, "ORCPT=utf-8;", LIMIT_SMTP_ORCPT_MAX));
	assert_false(accepts(true, "AUTH=a@", LIMIT_SMTP_AUTH_PARAMETER_MAX));
}

static void xtext(void **state)
{
	(void)state;
	char all[256];
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (char)i;
	CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(1000), decoded = BUF_WITH_LIMIT(1000);
	smtp_xtext_encode(&encoded, str_from(all, sizeof all));
	assert_true(smtp_xtext_decode(&decoded, buf_str(&encoded)));
	assert_true(str_equal(buf_str(&decoded), str_from(all, sizeof all)));
	buf_clear(&encoded);
	smtp_xtext_encode(&encoded, STR("a+b=c d~"));
	assert_string_equal(buf_text(&encoded), "a+2Bb+3Dc+20d~");
	static const char *const bad[] = { "a b", "a=b", "+", "+2", "+2b", "+G0", "a\x7f", "\x80", "a\t" };
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(smtp_xtext_decode(&decoded, str_of(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_good),       cmocka_unit_test(hold_until), cmocka_unit_test(mail_bad),
		cmocka_unit_test(needs_extension), cmocka_unit_test(utf8),       cmocka_unit_test(rcpt_good),
		cmocka_unit_test(rcpt_bad),        cmocka_unit_test(lengths),    cmocka_unit_test(xtext),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
