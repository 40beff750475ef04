#include "parameter.h"

#include "limits.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void as_they_were_sent(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ " text/plain; charset=us-ascii", "text/plain|charset=us-ascii|" },
		{ "text/plain; charset=us-ascii (Plain text)", "text/plain|charset=us-ascii|" },
		{ "text/plain; charset=\"us-ascii\"", "text/plain|charset=us-ascii|" },
		{ "TEXT/PLAIN;CHARSET=UTF-8;\r\n\tformat = flowed ;", "TEXT/PLAIN|CHARSET=UTF-8|format=flowed|" },
		{ "text/plain charset=us-ascii name=x", "text/plain|charset=us-ascii|name=x|" },
		{ "attachment; filename=my long name.pdf; size=7", "attachment|filename=my long name.pdf|size=7|" },
		{ "attachment; filename=\"a;b\\\"c\\\\d\"", "attachment|filename=a;b\"c\\d|" },
		{ "attachment; filename=\"C:\\temp\\x\"", "attachment|filename=C:\\temp\\x|" },
		{ "attachment; filename=\"open", "attachment|filename=open|" },
		{ "multipart/mixed; boundary=\"a\r\n b\"", "multipart/mixed|boundary=a b|" },
		{ "x/y; a; b=; =c; d=e", "x/y|b=|d=e|" },
		{ "x/y; b=\"\"", "x/y|b=|" },
		{ ";;; a=b", "|a=b|" },
		{ "(comment) x/y (c\\)c) ; a = (c) b (c)", "x/y|a=b|" },
		{ "", "|" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(100000);
		CLEANUP(buf_release) struct buf seen = BUF_WITH_LIMIT(1000);
		struct parameter_list list;
		struct str value;
		parameter_parse(a, str_of(cases[i][0]), 100, &value, &list);
		buf_printf(&seen, "%.*s|", STR_ARG(value));
		for (const struct parameter *p = list.first; p; p = p->next)
			buf_printf(&seen, "%.*s=%.*s|", STR_ARG(p->name), STR_ARG(p->value));
		assert_string_equal(buf_text(&seen), cases[i][1]);
	}
}

static void what_is_meant(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		/* RFC 2231 §3, §4 */
		{ "x; n*0=\"ftp://\"; n*1=\"cs.utk.edu/pub\"", "ftp://cs.utk.edu/pub" },
		{ "x; n*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "This is ***fun***" },
		{ "x; n*0*=us-ascii'en'This%20is%20even%20more%20; n*1*=%2A%2A%2Afun%2A%2A%2A%20; n*2=\"isn't it!\"",
		  "This is even more ***fun*** isn't it!" },
		{ "x; n*1*=%BC; n*0*=utf-8''%C3", "ü" },
		{ "x; n=plain; n*=utf-8''%C3%BC", "ü" },
		{ "x; n*0=a; n*2=c", "a" },
		{ "x; n*=%C3%BC", "ü" },
		{ "x; n*=utf-8'broken%20", "utf-8'broken " },
		{ "x; n*=iso-8859-1''%FC%zz%", "ü%zz%" },
		{ "x; n*200=a; n=b", "b" },
		{ "x; n=\"=?utf-8?q?=C3=BC?=\"", "ü" },
		{ "x; n=\"\xfc\"", "ü" },
		{ "x; n=\"\"", "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(100000);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		struct parameter_list list;
		struct str value;
		parameter_parse(a, str_of(cases[i][0]), 100, &value, &list);
		assert_true(parameter_find(&out, &list, STR("N")));
		assert_string_equal(buf_text(&out), cases[i][1]);
		assert_false(parameter_find(&out, &list, STR("m")));
	}
}

static void added_ones_are_found(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"plain", "with \"quotes\" and \\", "Grüße.txt", "", "a\r\nb",
		"Ein sehr langer Dateiname mit Umlauten (äöüß) der nicht in eine Zeile passt, weil er so lang ist.pdf",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(100000);
		CLEANUP(buf_release) struct buf field = BUF_WITH_LIMIT(10000);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
		struct parameter_list list;
		struct str value;
		buf_add_str(&field, STR("attachment"));
		parameter_add(&field, STR("filename"), str_of(cases[i]));
		assert_true(text_is_ascii(buf_str(&field)));
		parameter_parse(a, buf_str(&field), 100, &value, &list);
		assert_true(parameter_find(&out, &list, STR("filename")));
		assert_string_equal(buf_text(&out), cases[i]);
	}
}

static void a_million_parameters_are_bounded(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(16 << 20);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(16 << 20);
	struct parameter_list list;
	struct str value;
	for (int i = 0; i < 1000000; i++)
		buf_add_str(&text, STR(";a=b "));
	parameter_parse(a, buf_str(&text), LIMIT_MIME_PARAMETERS_MAX, &value, &list);
	assert_int_equal(list.count, LIMIT_MIME_PARAMETERS_MAX);
	assert_true(arena_used(a) <= LIMIT_MIME_PARAMETERS_MAX * 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_they_were_sent),
		cmocka_unit_test(what_is_meant),
		cmocka_unit_test(added_ones_are_found),
		cmocka_unit_test(a_million_parameters_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
