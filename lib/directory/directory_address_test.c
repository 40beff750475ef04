#include "directory_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#define A50 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"

static const struct {
	const char *text;
	const char *local; /* NULL: refused */
	const char *domain;
	const char *written;
} addresses[] = {
	{ "alice@example.org", "alice", "example.org", "alice@example.org" },
	{ "Alice.Smith@EXAMPLE.org", "alice.smith", "example.org", "alice.smith@example.org" },
	{ "alice", "alice", "", "alice" },
	{ "a+b=c/d@example.org.", "a+b=c/d", "example.org", "a+b=c/d@example.org" },
	{ "\"alice\"@example.org", "alice", "example.org", "alice@example.org" },
	{ "\"a\\lice\"@example.org", "alice", "example.org", "alice@example.org" },
	{ "\"John Smith\"@example.org", "john smith", "example.org", "\"john smith\"@example.org" },
	{ "\"a@b\"@example.org", "a@b", "example.org", "\"a@b\"@example.org" },
	{ "\"a\\\"b\\\\c\"@example.org", "a\"b\\c", "example.org", "\"a\\\"b\\\\c\"@example.org" },
	{ "\"a..b\"@example.org", "a..b", "example.org", "\"a..b\"@example.org" },
	/* U-labels become A-labels; decomposed and composed letters are the same (RFC 6531 §3.2, §3.3). */
	{ "x@M\u00dcNCHEN.example", "x", "xn--mnchen-3ya.example", "x@xn--mnchen-3ya.example" },
	{ "x@XN--MNCHEN-3YA.example", "x", "xn--mnchen-3ya.example", "x@xn--mnchen-3ya.example" },
	{ "\u00c9ric@example.org", "\u00e9ric", "example.org", "\u00e9ric@example.org" },
	{ "E\u0301ric@example.org", "\u00e9ric", "example.org", "\u00e9ric@example.org" },
	{ "\u013dubo\u0161@example.org", "\u013eubo\u0161", "example.org", "\u013eubo\u0161@example.org" },
	{ "x@[127.0.0.1]", "x", "[127.0.0.1]", "x@[127.0.0.1]" },
	{ "x@[IPv6:2001:DB8::1]", "x", "[ipv6:2001:db8::1]", "x@[ipv6:2001:db8::1]" },
	{ A50 "12345678901234@example.org", A50 "12345678901234", "example.org", A50 "12345678901234@example.org" },
	{ A50 A50 A50 A50 A50 "123456@example.org", A50 A50 A50 A50 A50 "123456", "example.org", A50 A50 A50 A50 A50 "123456@example.org" },
	{ A50 A50 A50 A50 A50 "1234567@example.org", NULL, "", "" },
	{ "", NULL, "", "" },
	{ "@example.org", NULL, "", "" },
	{ "alice@", NULL, "", "" },
	{ ".alice@example.org", NULL, "", "" },
	{ "alice.@example.org", NULL, "", "" },
	{ "a..b@example.org", NULL, "", "" },
	{ "a b@example.org", NULL, "", "" },
	{ "a@b@example.org", NULL, "", "" },
	{ "<alice@example.org>", NULL, "", "" },
	{ "\"\"@example.org", NULL, "", "" },
	{ "\"alice@example.org", NULL, "", "" },
	{ "\"alice\"x@example.org", NULL, "", "" },
	{ "\"alice\\", NULL, "", "" },
	{ "alice@exa mple.org", NULL, "", "" },
	{ "alice@-example.org", NULL, "", "" },
	{ "alice@example-.org", NULL, "", "" },
	{ "alice@example..org", NULL, "", "" },
	{ "alice@.example.org", NULL, "", "" },
	{ "alice@exam_ple.org", NULL, "", "" },
	{ "alice@[]", NULL, "", "" },
	{ "alice@[1 2]", NULL, "", "" },
	{ "alice\n@example.org", NULL, "", "" },
	{ "al\xff" "ce@example.org", NULL, "", "" },
	{ "alice@" A50 "12345678901234.org", NULL, "", "" },
};

static void addresses_have_one_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		struct directory_address a;
		char text[DIRECTORY_ADDRESS_TEXT_MAX + 1];
		bool parsed = directory_address_parse(str_of(addresses[i].text), &a, NULL);
		if (parsed != (addresses[i].local != NULL))
			fail_msg("\"%s\" was %s", addresses[i].text, parsed ? "taken" : "refused");
		if (!parsed)
			continue;
		assert_string_equal(a.local, addresses[i].local);
		assert_string_equal(a.domain, addresses[i].domain);
		directory_address_write(str_of(a.local), str_of(a.domain), text);
		assert_string_equal(text, addresses[i].written);
	}
}

static void the_written_case_is_kept_beside(void **state)
{
	(void)state;
	struct directory_address a;
	assert_true(directory_address_parse(STR("Alice+Lists@Example.org"), &a, NULL));
	assert_string_equal(a.shown, "Alice+Lists");
	assert_string_equal(a.local, "alice+lists");
	assert_string_equal(a.domain, "example.org");
}

static void a_nul_is_refused(void **state)
{
	(void)state;
	struct directory_address a;
	assert_false(directory_address_parse(str_from("alice\0@example.org", 18), &a, NULL));
	assert_false(directory_address_parse(str_from("alice@example.org\0", 18), &a, NULL));
}

static void a_failure_names_the_address_harmlessly(void **state)
{
	(void)state;
	struct directory_address a;
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(directory_address_parse(STR("a b\r\n\x1b[31m"), &a, &fail));
	assert_int_equal(fail->kind, FAIL_INVALID);
	assert_non_null(strstr(fail->text, "\"a b???[31m\""));
	assert_false(directory_address_parse(STR("\xff\xfe@"), &a, &fail));
	assert_non_null(strstr(fail->text, "\\xff\\xfe"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_one_form),
		cmocka_unit_test(the_written_case_is_kept_beside),
		cmocka_unit_test(a_nul_is_refused),
		cmocka_unit_test(a_failure_names_the_address_harmlessly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
