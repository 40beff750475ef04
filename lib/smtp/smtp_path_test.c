#include "smtp_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { FORWARD = 0, REVERSE = SMTP_PATH_REVERSE, UTF8 = SMTP_PATH_UTF8, SLOPPY = SMTP_PATH_SLOPPY };

static void good(void **state)
{
	(void)state;
	static const struct {
		const char *input;
		unsigned flags;
		const char *local, *domain, *mailbox, *rest;
	} cases[] = {
		/* RFC 5321 appendix D */
		{ "<Smith@bar.com>", REVERSE, "Smith", "bar.com", "Smith@bar.com", "" },
		{ "<Brown@foo.com> SIZE=5", FORWARD, "Brown", "foo.com", "Brown@foo.com", " SIZE=5" },
		{ "<>", REVERSE, "", "", "", "" },
		{ "<> BODY=7BIT", REVERSE, "", "", "", " BODY=7BIT" },
		{ "<postmaster>", FORWARD, "postmaster", "", "postmaster", "" },
		{ "<PostMaster>", FORWARD, "postmaster", "", "postmaster", "" },
		{ "<postmaster@Example.ORG>", FORWARD, "postmaster", "example.org", "postmaster@example.org", "" },
		{ "<postmasters@example.org>", FORWARD, "postmasters", "example.org", "postmasters@example.org", "" },
		{ "<a+b@EXAMPLE.org>", FORWARD, "a+b", "example.org", "a+b@example.org", "" },
		{ "<!#$%&'*+-/=?^_`{|}~.x@a.b>", FORWARD, "!#$%&'*+-/=?^_`{|}~.x", "a.b", "!#$%&'*+-/=?^_`{|}~.x@a.b", "" },
		/* quoted strings: unquoted where that says the same */
		{ "<\"Joe Doe\"@a.b>", FORWARD, "Joe Doe", "a.b", "\"Joe Doe\"@a.b", "" },
		{ "<\"Joe\"@a.b>", FORWARD, "Joe", "a.b", "Joe@a.b", "" },
		{ "<\"J\\oe\"@a.b>", FORWARD, "Joe", "a.b", "Joe@a.b", "" },
		{ "<\"a\\\"b\\\\c\"@a.b>", FORWARD, "a\"b\\c", "a.b", "\"a\\\"b\\\\c\"@a.b", "" },
		{ "<\"\"@a.b>", FORWARD, "", "a.b", "\"\"@a.b", "" },
		{ "<\"a>b\"@a.b>", FORWARD, "a>b", "a.b", "\"a>b\"@a.b", "" },
		{ "<\"a@b\"@a.b>", FORWARD, "a@b", "a.b", "\"a@b\"@a.b", "" },
		{ "<\".a\"@a.b>", FORWARD, ".a", "a.b", "\".a\"@a.b", "" },
		/* source routes */
		{ "<@hosta.int,@jkl.org:userc@d.bar.org>", FORWARD, "userc", "d.bar.org", "userc@d.bar.org", "" },
		{ "<@[192.0.2.1]:x@y>", REVERSE, "x", "y", "x@y", "" },
		/* literals */
		{ "<a@[192.0.2.1]>", FORWARD, "a", "[192.0.2.1]", "a@[192.0.2.1]", "" },
		{ "<a@[IPv6:2001:DB8::0:1]>", FORWARD, "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]", "" },
		{ "<a@[ipv6:::ffff:192.0.2.1]>", FORWARD, "a", "[IPv6:::ffff:192.0.2.1]", "a@[IPv6:::ffff:192.0.2.1]", "" },
		/* RFC 6531 */
		{ "<j\xc3\xb6rg@example.org>", UTF8, "j\xc3\xb6rg", "example.org", "j\xc3\xb6rg@example.org", "" },
		{ "<a@B\xc3\x9c" "CHER.example>", UTF8, "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example", "" },
		{ "<\"\xc3\xa9 \\\\\xc3\xa9\"@a.b>", UTF8, "\xc3\xa9 \\\xc3\xa9", "a.b", "\"\xc3\xa9 \\\\\xc3\xa9\"@a.b", "" },
		/* sloppy */
		{ " <a@b.c>", SLOPPY, "a", "b.c", "a@b.c", "" },
		{ "a@b.c SIZE=1", SLOPPY, "a", "b.c", "a@b.c", " SIZE=1" },
		{ "<a@b.c.>", SLOPPY, "a", "b.c", "a@b.c", "" },
		{ "<a@my_host.c>", SLOPPY, "a", "my_host.c", "a@my_host.c", "" },
		{ " postmaster", SLOPPY, "postmaster", "", "postmaster", "" },
	};
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_path path;
		struct str rest = str_of(cases[i].input);
		assert_null(smtp_path_parse(a, &rest, cases[i].flags, &path));
		assert_true(str_equal(path.local, str_of(cases[i].local)));
		assert_true(str_equal(path.domain, str_of(cases[i].domain)));
		assert_true(str_equal(path.mailbox, str_of(cases[i].mailbox)));
		assert_true(str_equal(rest, str_of(cases[i].rest)));
		assert_int_equal(path.is_utf8, cases[i].flags == UTF8);
		assert_int_equal(path.is_literal, cases[i].domain[0] == '[');
	}
}

static void bad(void **state)
{
	(void)state;
	static const struct {
		const char *input;
		unsigned flags;
		int code;
	} cases[] = {
		{ "", FORWARD, 501 },
		{ "", REVERSE | SLOPPY, 501 },
		{ "<>", FORWARD, 501 },
		{ "<", REVERSE, 501 },
		{ "< >", REVERSE, 501 },
		{ "<a>", FORWARD, 501 },
		{ "<a@>", FORWARD, 501 },
		{ "<@b>", FORWARD, 501 },
		{ "<postmaster>", REVERSE, 501 },
		{ "a@b.c", FORWARD, 501 },
		{ " <a@b.c>", FORWARD, 501 },
		{ "<a@b.c", FORWARD, 501 },
		{ "<a@b.c>x", FORWARD, 501 },
		{ "<a@b.c>SIZE=1", REVERSE, 501 },
		{ "a@b.c>", SLOPPY, 501 },
		{ "<a@b.c> ", FORWARD, 0 },
		{ "<.a@b.c>", FORWARD, 501 },
		{ "<a.@b.c>", FORWARD, 501 },
		{ "<a..b@b.c>", FORWARD, 501 },
		{ "<a b@b.c>", FORWARD, 501 },
		{ "<a@b@c>", FORWARD, 501 },
		{ "<a@.b>", FORWARD, 501 },
		{ "<a@b..c>", FORWARD, 501 },
		{ "<a@b.c.>", FORWARD, 501 },
		{ "<a@-b.c>", FORWARD, 501 },
		{ "<a@b-.c>", FORWARD, 501 },
		{ "<a@b_c.d>", FORWARD, 501 },
		{ "<a@.>", SLOPPY, 501 },
		{ "<\"a@b.c>", FORWARD, 501 },
		{ "<\"a\"b@b.c>", FORWARD, 501 },
		{ "<\"a\\\"@b.c>", FORWARD, 501 },
		{ "<\"a\tb\"@b.c>", FORWARD, 501 },
		{ "<\"a\\\x01\"@b.c>", FORWARD, 501 },
		{ "<\"a\x7f\"@b.c>", FORWARD, 501 },
		{ "<\"\\\xc3\xa9\"@b.c>", UTF8, 501 },
		{ "<a@[1.2.3]>", FORWARD, 501 },
		{ "<a@[1.2.3.256]>", FORWARD, 501 },
		{ "<a@[1.2.3.4>", FORWARD, 501 },
		{ "<a@[]>", FORWARD, 501 },
		{ "<a@[IPv6:1]>", FORWARD, 501 },
		{ "<a@[IPv6:::1.2]>", FORWARD, 501 },
		{ "<a@[::1]>", FORWARD, 501 },
		{ "<a@[tag:x]>", FORWARD, 501 },
		{ "<a@[1.2.3.4]x>", FORWARD, 501 },
		{ "<@a.b>", FORWARD, 501 },
		{ "<@a.b:>", FORWARD, 501 },
		{ "<@a.b,c@d>", FORWARD, 501 },
		{ "<@a.b;c@d>", FORWARD, 501 },
		{ "<@a,:c@d>", FORWARD, 501 },
		{ "<j\xc3\xb6rg@example.org>", FORWARD, 553 },
		{ "<a@b\xc3\xbc"
		  "cher.example>",
		  REVERSE, 553 },
		{ "<j\xc3@example.org>", UTF8, 501 },
		{ "<j\xf6rg@example.org>", UTF8, 501 },
		{ "<\xc0\x80@a.b>", UTF8, 501 },
		{ "<a@\xe2\x80\x8b.b>", UTF8, 501 },
		{ "<a@b\xef\xbc\xa0"
		  "c>",
		  UTF8, 501 },
	};
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_path path;
		struct str rest = str_of(cases[i].input);
		const struct smtp_reply *reply = smtp_path_parse(a, &rest, cases[i].flags, &path);
		assert_int_equal(reply ? reply->code : 0, cases[i].code);
		if (cases[i].code == 501)
			assert_string_equal(reply->enhanced, cases[i].flags & REVERSE ? "5.1.7" : "5.1.3");
		if (cases[i].code == 553)
			assert_string_equal(reply->enhanced, "5.6.7");
	}
}

/* Local part of n, label of m, domain of k octets. */
static bool fits(size_t local, size_t label, size_t labels)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(2000);
	for (size_t i = 0; i < local; i++)
		buf_add_char(&text, 'l');
	for (size_t i = 0; i < labels; i++) {
		buf_add_char(&text, i ? '.' : '@');
		for (size_t j = 0; j < label; j++)
			buf_add_char(&text, 'd');
	}
	struct smtp_path path;
	return smtp_mailbox_parse(a, buf_str(&text), 0, &path);
}

static void lengths(void **state)
{
	(void)state;
	assert_true(fits(LIMIT_LOCAL_PART_MAX, 1, 1));
	assert_false(fits(LIMIT_LOCAL_PART_MAX + 1, 1, 1));
	assert_true(fits(1, 63, 1));
	assert_false(fits(1, 64, 1));
	assert_true(fits(1, 63, 4));
	assert_true(fits(1, 1, 128));
	assert_false(fits(1, 1, 129));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad), cmocka_unit_test(lengths) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
