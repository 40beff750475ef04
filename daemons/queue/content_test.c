#include "content.h"

#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_content(void **state)
{
	static const struct {
		const char *text;
		const char *authors; /* joined by spaces */
		const char *domain;
		bool tls_optional, is_signed, has_8bit;
	} cases[] = {
		{ "From: a@example.org\r\n\r\nhello\r\n", "a@example.org", "example.org", false, false, false },
		{ "From: \"A, B\" <a@EXAMPLE.org>, c@d.test\r\n\r\n", "a@EXAMPLE.org c@d.test", "example.org", false, false, false },
		{ "From: a@one.test\r\nFrom: b@two.test\r\n\r\n", "a@one.test b@two.test", "one.test", false, false, false },
		{ "From: a@b\xc3\xbc""cher.test\r\n\r\n", "a@b\xc3\xbc""cher.test", "xn--bcher-kva.test", false, false, true },
		{ "From: nobody\r\n\r\nFrom: x@body.test\r\n", "", "", false, false, false },
		{ "Subject: x\r\n\r\n", "", "", false, false, false },
		{ "", "", "", false, false, false },
		{ "TLS-Required: No\r\n\r\n", "", "", true, false, false },
		{ "tls-required:  no \r\n\r\n", "", "", true, false, false },
		{ "TLS-Required: Yes\r\n\r\nTLS-Required: No\r\n", "", "", false, false, false },
		{ "DKIM-Signature: v=1\r\n\r\n", "", "", false, true, false },
		{ "ARC-Message-Signature: i=1\r\n\r\n", "", "", false, true, false },
		{ "Content-Type: multipart/signed; boundary=x\r\n\r\n", "", "", false, true, false },
		{ "Content-Type: text/plain\r\n\r\nDKIM-Signature: x\r\n", "", "", false, false, false },
		{ "Subject: x\r\n\r\n\xc3\xbc\r\n", "", "", false, false, true },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
		CLEANUP(buf_release) struct buf authors = BUF_WITH_LIMIT(1000);
		struct content_facts facts;
		content_look(a, str_of(cases[i].text), &facts);
		for (const struct content_author *author = facts.authors; author; author = author->next)
			buf_printf(&authors, "%s%.*s", authors.length ? " " : "", STR_ARG(author->address));
		assert_string_equal(buf_text(&authors), cases[i].authors);
		assert_true(str_equal(facts.author_domain, str_of(cases[i].domain)));
		assert_int_equal(facts.tls_optional, cases[i].tls_optional);
		assert_int_equal(facts.is_signed, cases[i].is_signed);
		assert_int_equal(facts.has_8bit, cases[i].has_8bit);
	}
}

static void test_8bit_anywhere(void **state)
{
	static char text[10000];
	(void)state;
	memset(text, 'a', sizeof text);
	assert_false(content_is_8bit(str_from(text, sizeof text)));
	for (size_t i = 0; i < sizeof text; i += 7) {
		text[i] = '\x80';
		assert_true(content_is_8bit(str_from(text, sizeof text)));
		assert_false(content_is_8bit(str_from(text, i)));
		text[i] = 'a';
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_content), cmocka_unit_test(test_8bit_anywhere) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
