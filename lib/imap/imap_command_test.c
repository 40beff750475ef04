#include "imap_command.h"

#include "imap_capability.h"
#include "imap_expected.h"
#include "imap_language.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void commands_begin(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		enum imap_state state;
		enum imap_command_check check;
		enum imap_verb verb;
		bool uid;
		const char *rest;
	} cases[] = {
		{ STR("a NOOP"), IMAP_NOT_AUTHENTICATED, IMAP_COMMAND_OK, IMAP_NOOP, false, "" },
		{ STR("a nOOp"), IMAP_SELECTED, IMAP_COMMAND_OK, IMAP_NOOP, false, "" },
		{ STR("a NOOP "), IMAP_SELECTED, IMAP_COMMAND_ARGUMENTS, IMAP_NOOP, false, NULL },
		{ STR("a LOGIN x y"), IMAP_NOT_AUTHENTICATED, IMAP_COMMAND_OK, IMAP_LOGIN, false, " x y" },
		{ STR("a LOGIN x y"), IMAP_AUTHENTICATED, IMAP_COMMAND_WRONG_STATE, IMAP_LOGIN, false, NULL },
		{ STR("a FETCH 1 FLAGS"), IMAP_SELECTED, IMAP_COMMAND_OK, IMAP_FETCH, false, " 1 FLAGS" },
		{ STR("a UID FETCH 1 FLAGS"), IMAP_SELECTED, IMAP_COMMAND_OK, IMAP_FETCH, true, " 1 FLAGS" },
		{ STR("a uid fetch 1"), IMAP_SELECTED, IMAP_COMMAND_OK, IMAP_FETCH, true, " 1" },
		{ STR("a FETCH 1 FLAGS"), IMAP_AUTHENTICATED, IMAP_COMMAND_WRONG_STATE, IMAP_FETCH, false, NULL },
		{ STR("a FETCH 1 FLAGS"), IMAP_NOT_AUTHENTICATED, IMAP_COMMAND_WRONG_STATE, IMAP_FETCH, false, NULL },
		{ STR("a UID NOOP"), IMAP_SELECTED, IMAP_COMMAND_NO_UID, IMAP_NOOP, true, NULL },
		{ STR("a EXPUNGE"), IMAP_SELECTED, IMAP_COMMAND_OK, IMAP_EXPUNGE, false, "" },
		{ STR("a EXPUNGE 1"), IMAP_SELECTED, IMAP_COMMAND_ARGUMENTS, IMAP_EXPUNGE, false, NULL },
		{ STR("a UID EXPUNGE 1"), IMAP_SELECTED, IMAP_COMMAND_OK, IMAP_EXPUNGE, true, " 1" },
		{ STR("a UID"), IMAP_SELECTED, IMAP_COMMAND_UNKNOWN, 0, true, NULL },
		{ STR("a"), IMAP_SELECTED, IMAP_COMMAND_UNKNOWN, 0, false, NULL },
		{ STR("a "), IMAP_SELECTED, IMAP_COMMAND_UNKNOWN, 0, false, NULL },
		{ STR("a  NOOP"), IMAP_SELECTED, IMAP_COMMAND_UNKNOWN, 0, false, NULL },
		{ STR("a XYZ"), IMAP_SELECTED, IMAP_COMMAND_UNKNOWN, 0, false, NULL },
		{ STR("a NOOPS"), IMAP_SELECTED, IMAP_COMMAND_UNKNOWN, 0, false, NULL },
		{ STR(""), IMAP_SELECTED, IMAP_COMMAND_NO_TAG, 0, false, NULL },
		{ STR("* NOOP"), IMAP_SELECTED, IMAP_COMMAND_NO_TAG, 0, false, NULL },
		{ STR("a\rb NOOP"), IMAP_SELECTED, IMAP_COMMAND_NO_TAG, 0, false, NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct imap_parser p;
		struct imap_command command;
		imap_parser_init(&p, NULL, cases[i].text, false);
		assert_int_equal(imap_command_begin(&p, cases[i].state, &command), cases[i].check);
		if (cases[i].check == IMAP_COMMAND_NO_TAG)
			continue;
		assert_true(str_equal(command.tag, STR("a")));
		assert_int_equal(command.uid, cases[i].uid);
		if (cases[i].check == IMAP_COMMAND_UNKNOWN)
			continue;
		assert_int_equal(command.verb, cases[i].verb);
		if (cases[i].rest)
			assert_true(str_equal(str_from_index(p.text, p.at), str_of(cases[i].rest)));
	}
}

static void the_table_is_whole(void **state)
{
	(void)state;
	for (unsigned i = 0; i < IMAP_VERB_COUNT; i++) {
		enum imap_verb verb;
		const struct imap_command_info *info = imap_command_info((enum imap_verb)i);
		assert_non_null(info->name);
		assert_true(imap_command_find(str_of(info->name), &verb));
		assert_int_equal(verb, i);
		assert_true(str_starts(str_of(info->form), str_of(info->name)));
		assert_true(str_starts(str_of(info->rfc), STR("RFC ")));
		assert_int_equal(info->help[strlen(info->help) - 1], '.');
		assert_true(info->states & IMAP_ANY_STATE);
		if (info->traits & (IMAP_NUMBERS | IMAP_WRITES))
			assert_int_equal(info->states, IMAP_SELECTED);
		if (i)
			assert_true(strcmp(info->name, imap_command_info((enum imap_verb)(i - 1))->name) > 0);
	}
}

static bool offers(const struct imap_offer *offer, const char *name)
{
	struct buf out = BUF_WITH_LIMIT(4000);
	imap_capability_write(&out, offer);
	assert_true(str_starts(buf_str(&out), STR("IMAP4rev1 ")));
	struct str rest = buf_str(&out), word;
	bool found = false;
	while (str_take_until(&rest, ' ', &word)) {
		assert_true(word.length > 0);
		found = found || str_equal(word, str_of(name));
	}
	assert_true(word.length > 0 && word.data[word.length - 1] != ' ');
	buf_release(&out);
	return found;
}

static void capabilities_by_state(void **state)
{
	(void)state;
	const struct imap_offer before = { .state = IMAP_NOT_AUTHENTICATED, .starttls = true, .mechanisms = STR("PLAIN SCRAM-SHA-256") };
	const struct imap_offer with_tls = { .state = IMAP_NOT_AUTHENTICATED, .starttls = true, .tls = true, .password_allowed = true };
	const struct imap_offer after = { .state = IMAP_SELECTED, .tls = true, .append_limit = 1000, .message_limit = 7, .save_limit = 9 };
	const struct imap_offer compressed = { .state = IMAP_AUTHENTICATED, .append_limit = 1, .compressed = true };
	static const struct {
		const char *name;
		bool before, with_tls, after, compressed;
	} cases[] = {
		{ "IMAP4rev1", true, true, true, true },
		{ "IMAP4rev2", true, true, true, true },
		{ "LITERAL-", true, true, false, false },
		{ "LITERAL+", false, false, true, true },
		{ "SASL-IR", true, true, false, false },
		{ "STARTTLS", true, false, false, false },
		{ "LOGINDISABLED", true, false, false, false },
		{ "AUTH=PLAIN", true, false, false, false },
		{ "AUTH=SCRAM-SHA-256", true, false, false, false },
		{ "APPENDLIMIT=1000", false, false, true, false },
		{ "MESSAGELIMIT=7", false, false, true, false },
		{ "SAVELIMIT=9", false, false, true, false },
		{ "MESSAGELIMIT=0", false, false, false, false },
		{ "COMPRESS=DEFLATE", false, false, true, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(offers(&before, cases[i].name), cases[i].before);
		assert_int_equal(offers(&with_tls, cases[i].name), cases[i].with_tls);
		assert_int_equal(offers(&after, cases[i].name), cases[i].after);
		assert_int_equal(offers(&compressed, cases[i].name), cases[i].compressed);
	}
}

static void enables(void **state)
{
	(void)state;
	for (unsigned bit = 1; bit <= IMAP_ENABLE_UIDONLY; bit <<= 1)
		assert_int_equal(imap_enable_find(imap_enable_name((enum imap_enable)bit)), bit);
	assert_int_equal(imap_enable_find(STR("condstore")), IMAP_ENABLE_CONDSTORE);
	assert_int_equal(imap_enable_find(STR("X-NOTHING")), 0);
}

static size_t placeholders(struct str text, const char *name)
{
	CLEANUP(buf_release) struct buf wanted = BUF_WITH_LIMIT(20);
	buf_printf(&wanted, "{%s}", name);
	size_t at = str_find(text, buf_str(&wanted));
	return at < text.length;
}

static void texts_are_whole(void **state)
{
	(void)state;
	for (unsigned text = 0; text < IMAP_TEXT_COUNT; text++)
		for (unsigned language = 0; language < IMAP_LANGUAGE_COUNT; language++) {
			struct str english = imap_text_raw(IMAP_ENGLISH, (enum imap_text)text);
			struct str raw = imap_text_raw((enum imap_language)language, (enum imap_text)text);
			if (raw.length == 0)
				fail_msg("text %u has no form in language %u", text, language);
			assert_true(text_is_utf8(raw) && raw.data[0] != '[');
			assert_int_equal(placeholders(raw, "text"), placeholders(english, "text"));
			assert_int_equal(placeholders(raw, "number"), placeholders(english, "number"));
			if (language == IMAP_ENGLISH)
				assert_true(str_is_printable(raw));
			else
				assert_false(str_equal(raw, english));
		}
}

static void values_are_made_printable(void **state)
{
	(void)state;
	struct buf out = BUF_WITH_LIMIT(1000);
	imap_text_add(&out, IMAP_ENGLISH, IMAP_SAY_UNKNOWN_COMMAND, &(struct imap_values){ .text = STR("X\r\nY\xff") });
	assert_string_equal(buf_text(&out), "unknown command X??Y?");
	buf_clear(&out);
	imap_text_add(&out, IMAP_SLOVAK, IMAP_SAY_EXPECTED, &(struct imap_values){ .text = STR("a number"), .number = 7 });
	assert_string_equal(buf_text(&out), "na oktete 7 malo byť: číslo");
	buf_release(&out);
}

/* tests/imap_e2e.py looks for each phrase of the parser in the table. */
static void expected_phrases(void **state)
{
	static const struct {
		enum imap_language language;
		const char *english, *wanted;
	} cases[] = {
		{ IMAP_ENGLISH, "a space", "a space" }, { IMAP_ITALIAN, "a space", "uno spazio" }, { IMAP_SLOVAK, "a space", "medzera" },
		{ IMAP_ITALIAN, "0, 1 or infinity", "0, 1 o infinity" }, { IMAP_SLOVAK, "which mailboxes", "ktoré schránky" },
		{ IMAP_SLOVAK, "another character", "iný znak" }, { IMAP_SLOVAK, "DONE", "DONE" }, { IMAP_ITALIAN, "", "" },
		{ IMAP_ITALIAN, "zzz", "zzz" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_true(str_equal(imap_expected(cases[i].language, str_of(cases[i].english)), str_of(cases[i].wanted)));
}

static void languages_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *range;
		bool found;
		enum imap_language language;
	} cases[] = {
		{ "en", true, IMAP_ENGLISH }, { "it-CH", true, IMAP_ITALIAN }, { "SK", true, IMAP_SLOVAK },
		{ "default", true, IMAP_SLOVAK }, { "*", true, IMAP_SLOVAK }, { "i-default", true, IMAP_ENGLISH },
		{ "de", false, 0 }, { "", false, 0 }, { "ita", false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum imap_language language;
		assert_int_equal(imap_language_find(str_of(cases[i].range), IMAP_SLOVAK, &language), cases[i].found);
		if (cases[i].found)
			assert_int_equal(language, cases[i].language);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_begin),        cmocka_unit_test(the_table_is_whole),
		cmocka_unit_test(capabilities_by_state), cmocka_unit_test(enables),
		cmocka_unit_test(texts_are_whole),       cmocka_unit_test(values_are_made_printable),
		cmocka_unit_test(expected_phrases),      cmocka_unit_test(languages_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
