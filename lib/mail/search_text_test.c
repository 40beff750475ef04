#include "search_text.h"

#include "charset.h"
#include "mail_check.h"
#include "preview.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const struct str full =
	STR("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n aus\tK\xc3\xb6ln\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	    "preamble\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne  =\r\nGr=FC=DFe\r\n--b\r\n"
	    "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	    "PGI+SGk8L2I+\r\n--b\r\nContent-Type: application/pdf; name*=utf-8''%C3%A4.pdf\r\n\r\nnot text\r\n--b\r\n"
	    "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n--b--\r\n");

static void holds(const struct buf *text, const char *key, bool expected)
{
	bool blank = false;
	CLEANUP(buf_release) struct buf folded = BUF_WITH_LIMIT(1000);
	charset_fold_text(&folded, str_of(key), &blank);
	assert_int_equal(str_find(buf_str(text), buf_str(&folded)) < text->length, expected);
}

static void headers_and_bodies(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf headers = BUF_WITH_LIMIT(10000);
	CLEANUP(buf_release) struct buf bodies = BUF_WITH_LIMIT(10000);
	const struct mime_part *root = mime_parse(a, full, NULL);
	search_text_headers(&headers, full, root, NULL);
	search_text_bodies(&bodies, full, root);
	static const char *const in_headers[] = { "subject: GRÜßE AUS KÖLN", "multipart/Mixed", "Ä.pdf", "subject: inner" };
	static const char *const in_bodies[] = { "schöne grüße", "<b>hi</b>", "Inner Body", "grüße <b>" };
	static const char *const nowhere[] = { "preamble", "not text", "gr=fc", "  " };
	for (size_t i = 0; i < COUNT_OF(in_headers); i++) {
		holds(&headers, in_headers[i], true);
		holds(&bodies, in_headers[i], false);
		holds(&bodies, in_bodies[i], true);
		holds(&headers, in_bodies[i], false);
		assert_int_equal(str_find(buf_str(&bodies), str_of(nowhere[i])), bodies.length);
	}
}

static void the_limit_cuts(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(60);
	search_text_headers(&out, full, mime_parse(a, full, NULL), NULL);
	assert_true(out.overflowed && out.length <= 60 && out.length > 20);
}

static void ends_of_fields(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	struct search_text_ends ends = {};
	buf_add_str(&out, STR("before"));
	search_text_headers(&out, full, mime_parse(a, full, NULL), &ends);
	assert_int_equal(ends.list.count, 2); /* those of parts are not counted */
	struct str first = str_first(str_from_index(buf_str(&out), 6), ends.list.items[0]);
	struct str second = str_first(str_from_index(buf_str(&out), 6 + ends.list.items[0]),
	                              ends.list.items[1] - ends.list.items[0]);
	assert_true(str_starts(first, STR("SUBJECT: GRU")) && first.data[first.length - 1] == ' ');
	assert_true(str_equal(second, STR("CONTENT-TYPE: MULTIPART/MIXED; BOUNDARY=B ")));
	array_release(&ends.list);
}

static void questions(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		bool ascii_only, headers, bodies, expected;
	} cases[] = {
		{ "Grüsse", false, false, true, false },
		{ "SCHÖNE GRÜßE", false, false, true, true },
		{ "schöne", false, true, false, false },
		{ "schöne  GrüßE", true, false, true, true },
		{ "SCHÖNE", true, true, true, false },
		{ "<b>HI</b>", true, false, true, true },
		{ "SUBJECT: INNER", true, true, false, true },
		{ "SUBJECT: INNER", true, false, true, false },
		{ "", false, true, false, true },
	};
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	const struct mime_part *root = mime_parse(a, full, NULL);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		bool blank = false;
		CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(1000);
		search_text_fold(&key, str_of(cases[i].key), cases[i].ascii_only, &blank);
		struct search_text_question question = { buf_str(&key), cases[i].ascii_only, cases[i].headers,
			                                     cases[i].bodies };
		assert_int_equal(search_text_has(&question, full, root), cases[i].expected);
	}
}

/* The text is looked at in pieces of some 64 KB: keys that lie over their ends are found, and the last one. */
static void pieces_hide_nothing(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(1 << 20);
	buf_add_str(&mail, STR("Subject: x\r\n\r\n"));
	for (unsigned i = 0; i < 30000; i++)
		buf_printf(&mail, "%05u\r\n", i);
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	const struct mime_part *root = mime_parse(a, buf_str(&mail), NULL);
	for (unsigned i = 0; i + 2 < 30000; i++) {
		if (i % 100 && (i < 10800 || i > 11000))
			continue;
		char key[24];
		snprintf(key, sizeof key, "%05u %05u %05u ", i, i + 1, i + 2);
		struct search_text_question question = { .key = str_of(key), .bodies = true };
		assert_true(search_text_has(&question, buf_str(&mail), root));
		key[4] = 'x';
		assert_false(search_text_has(&question, buf_str(&mail), root));
	}
}

static void previews(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "\n\n  Hello,\n\n this is\tit. \n-- \nsignature\n", "Hello, this is it." },
		{ "\n> quoted\nnew\n> quoted\n", "new" },
		{ "Content-Type: text/html\n\n<html><head><title>t</title></head><STYLE>x{}</STYLE><p>Hi&nbsp;&amp;&#8364; &x"
		  "<!-- > no -->there<br>you</p>", "Hi &€ &xthere you" },
		{ "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>html\n"
		  "--b\n\nplain\n--b--", "plain" },
		{ "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\n/A==", "ü" },
		{ "\nundeclared \xfc\n", "undeclared ü" },
		{ "Content-Type: application/pdf\n\nx", "" },
		{ "Content-Type: text/html\n\n<script>never closed", "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(PREVIEW_SIZE_MAX);
		preview_add(&out, str_of(cases[i][0]), mime_parse(a, str_of(cases[i][0]), NULL));
		assert_string_equal(buf_text(&out), cases[i][1]);
	}
}

static void check_sample(const char *path, struct str text)
{
	(void)path;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(16 << 20);
	CLEANUP(buf_release) struct buf preview = BUF_WITH_LIMIT(PREVIEW_SIZE_MAX);
	const struct mime_part *root = mime_parse(a, text, NULL);
	search_text_headers(&out, text, root, NULL);
	search_text_bodies(&out, text, root);
	must(!out.overflowed && text_is_utf8(buf_str(&out)));
	must(str_find(buf_str(&out), STR("  ")) == out.length);
	preview_add(&preview, text, root);
	must(!preview.overflowed && text_is_utf8(buf_str(&preview)));
}

static void samples_are_searchable(void **state)
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
		cmocka_unit_test(headers_and_bodies),
		cmocka_unit_test(the_limit_cuts),
		cmocka_unit_test(ends_of_fields),
		cmocka_unit_test(questions),
		cmocka_unit_test(pieces_hide_nothing),
		cmocka_unit_test(previews),
		cmocka_unit_test(samples_are_searchable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
