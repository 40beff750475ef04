/* ID, the items of STATUS, and the collations: small grammars. */
#include "imap_collation.h"
#include "imap_id.h"
#include "imap_status_items.h"
#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ARENA = 16 << 20 };

static bool parse_id(struct str text, struct buf *shown)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_parser p;
	buf_clear(shown);
	imap_parser_init(&p, arena, text, false);
	imap_parse_id(&p, shown);
	return imap_parse_end(&p);
}

static void id_is_shown(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown; /* NULL: a misfit */
	} cases[] = {
		{ " NIL", "" },
		{ " nil", "" },
		{ " ()", "" },
		{ " (\"name\" \"Mail\" \"version\" \"1.2\")", "name/Mail;version/1.2" },
		{ " (\"os\" NIL \"name\" {3}\r\na b)", "name/a b" },
		{ " (\"name\" \"a=\\\"b\\\"\")", "name/a=\"b\"" },
		{ " (\"name\" {4}\r\na\r\nb)", "name/a??b" },
		{ "", NULL },
		{ " (\"name\")", NULL },
		{ " (\"name\" \"x\"", NULL },
		{ " (name x)", NULL },
		{ " (NIL \"x\")", NULL },
		{ " NIL x", NULL },
	};
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(parse_id(str_of(cases[i].text), &shown), cases[i].shown != NULL);
		if (cases[i].shown)
			assert_string_equal(buf_text(&shown), cases[i].shown);
	}
}

static void id_has_limits(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(100);
	for (int more = 0; more < 2; more++) {
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(100000);
		buf_add_str(&text, STR(" (\"a\" NIL"));
		for (int i = 1; i < LIMIT_IMAP_ID_PAIRS_MAX + more; i++)
			buf_add_str(&text, STR(" \"a\" \"b\""));
		buf_add_char(&text, ')');
		assert_int_equal(parse_id(buf_str(&text), &shown), !more);
		buf_clear(&text);
		buf_printf(&text, " (\"%0*d\" \"%0*d\")", LIMIT_IMAP_ID_FIELD_MAX, 1, LIMIT_IMAP_ID_VALUE_MAX + more, 1);
		assert_int_equal(parse_id(buf_str(&text), &shown), !more);
		buf_clear(&text);
		buf_printf(&text, " (\"%0*d\" \"x\")", LIMIT_IMAP_ID_FIELD_MAX + more, 1);
		assert_int_equal(parse_id(buf_str(&text), &shown), !more);
		assert_true(shown.length <= 100);
	}
}

static void id_is_answered(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
	imap_id_write(&out);
	assert_string_equal(buf_text(&out), "* ID (\"name\" \"Posthorn\" \"version\" \"" POSTHORN_VERSION "\")\r\n");
}

static void status_items(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned items; /* 0: a misfit */
	} cases[] = {
		{ "(MESSAGES)", IMAP_STATUS_MESSAGES },
		{ "(deleted-storage DELETED)", IMAP_STATUS_DELETED_STORAGE | IMAP_STATUS_DELETED },
		{ "(UIDNEXT UIDNEXT SIZE)", IMAP_STATUS_UIDNEXT | IMAP_STATUS_SIZE },
		{ "(HIGHESTMODSEQ APPENDLIMIT MAILBOXID RECENT UNSEEN UIDVALIDITY)",
		  IMAP_STATUS_HIGHESTMODSEQ | IMAP_STATUS_APPENDLIMIT | IMAP_STATUS_MAILBOXID | IMAP_STATUS_RECENT | IMAP_STATUS_UNSEEN |
		      IMAP_STATUS_UIDVALIDITY },
		{ "()", 0 }, { "MESSAGES", 0 }, { "(MESSAGES", 0 }, { "(MESSAGES )", 0 }, { "(FOO)", 0 }, { "(\"MESSAGES\")", 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_parser p;
		imap_parser_init(&p, arena, str_of(cases[i].text), false);
		unsigned items = imap_parse_status_items(&p);
		assert_int_equal(imap_parse_end(&p) ? items : 0, cases[i].items);
	}
}

static void collations(void **state)
{
	(void)state;
	static const struct {
		const char *text, *answer; /* NULL: none matches */
	} cases[] = {
		{ " default", "i;unicode-casemap" },
		{ " i;ascii-casemap", "i;ascii-casemap" },
		{ " I;ASCII-CASEMAP", "i;ascii-casemap" },
		{ " \"cz;*\" i;ascii-casemap", "i;ascii-casemap" },
		{ " i;ascii* i;unicode*", "i;ascii-casemap (i;unicode-casemap i;ascii-casemap)" },
		{ " *", "i;unicode-casemap (i;unicode-casemap i;ascii-casemap)" },
		{ " i;*-casemap", "i;unicode-casemap (i;unicode-casemap i;ascii-casemap)" },
		{ " i;octet", NULL },
		{ " i;ascii-casema", NULL },
		{ " i;*x", NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		struct imap_words words;
		struct imap_parser p;
		enum imap_collation active = IMAP_ASCII_CASEMAP;
		unsigned matching;
		imap_parser_init(&p, arena, str_of(cases[i].text), false);
		imap_parse_words(&p, &words);
		assert_true(imap_parse_end(&p));
		assert_int_equal(imap_collation_choose(&words, &active, &matching), cases[i].answer != NULL);
		imap_collation_write(&out, active, matching);
		if (cases[i].answer)
			assert_string_equal(buf_text(&out), arena_printf(arena, "* COMPARATOR %s\r\n", cases[i].answer).data);
	}
}

static void words_have_a_limit(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(10000);
	struct imap_words words;
	struct imap_parser p;
	for (int i = 0; i < LIMIT_IMAP_LANGUAGES_MAX; i++)
		buf_add_str(&text, STR(" en"));
	imap_parser_init(&p, arena, buf_str(&text), false);
	imap_parse_words(&p, &words);
	assert_true(imap_parse_end(&p));
	assert_int_equal(words.count, LIMIT_IMAP_LANGUAGES_MAX);
	buf_add_str(&text, STR(" en"));
	imap_parser_init(&p, arena, buf_str(&text), false);
	imap_parse_words(&p, &words);
	assert_false(imap_parse_end(&p));
	assert_true(p.too_much);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(id_is_shown), cmocka_unit_test(id_has_limits), cmocka_unit_test(id_is_answered),
		cmocka_unit_test(status_items),        cmocka_unit_test(collations),    cmocka_unit_test(words_have_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
