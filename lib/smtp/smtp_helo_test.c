#include "smtp_helo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void kinds(void **state)
{
	(void)state;
	static const struct {
		const char *argument;
		enum smtp_helo_kind kind;
		const char *name;
	} cases[] = {
		{ "client.example.org", SMTP_HELO_DOMAIN, "client.example.org" },
		{ " client.example.org ", SMTP_HELO_DOMAIN, "client.example.org" },
		{ "localhost", SMTP_HELO_DOMAIN, "localhost" },
		{ "[192.0.2.1]", SMTP_HELO_LITERAL, "[192.0.2.1]" },
		{ "[IPv6:2001:db8::1]", SMTP_HELO_LITERAL, "[IPv6:2001:db8::1]" },
		{ "192.0.2.1", SMTP_HELO_DOMAIN, "192.0.2.1" },
		{ "[192.0.2.256]", SMTP_HELO_OTHER, "[192.0.2.256]" },
		{ "my_host", SMTP_HELO_OTHER, "my_host" },
		{ "::1", SMTP_HELO_OTHER, "::1" },
		{ "two words", SMTP_HELO_OTHER, "two" },
		{ "(evil) x", SMTP_HELO_OTHER, "?evil?" },
		{ "a;b\r\nX", SMTP_HELO_OTHER, "a?b??X" },
		{ "b\xc3\xbc" "cher.example", SMTP_HELO_OTHER, "b??cher.example" },
		{ "-x.example", SMTP_HELO_OTHER, "-x.example" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_helo helo;
		assert_null(smtp_helo_parse(str_of(cases[i].argument), &helo));
		assert_int_equal(helo.kind, cases[i].kind);
		assert_string_equal(helo.name, cases[i].name);
	}
}

static void edges(void **state)
{
	(void)state;
	struct smtp_helo helo;
	char longest[3000];
	memset(longest, 'a', sizeof longest);
	assert_int_equal(smtp_helo_parse(STR("  "), &helo)->code, 501);
	assert_int_equal(helo.kind, SMTP_HELO_NONE);
	assert_null(smtp_helo_parse(str_from(longest, sizeof longest), &helo));
	assert_int_equal(helo.kind, SMTP_HELO_OTHER);
	assert_int_equal(strlen(helo.name), LIMIT_DOMAIN_MAX);
	assert_null(smtp_helo_parse(str_from("a\0b", 3), &helo));
	assert_string_equal(helo.name, "a?b");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(kinds), cmocka_unit_test(edges) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
