#include "reply.h"

#include "capa.h"
#include "limits.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Each placeholder of a text, in order of the alphabet of their first letters: "m", "o", "n", "t". */
static unsigned placeholders(struct str text)
{
	static const char *const names[] = { "{messages}", "{octets}", "{number}", "{text}" };
	unsigned found = 0, braces = 0;
	for (size_t i = 0; i < text.length; i++)
		braces += text.data[i] == '{';
	for (unsigned i = 0; i < COUNT_OF(names); i++)
		if (str_find(text, str_of(names[i])) < text.length) {
			found |= 1u << i;
			braces--;
		}
	assert_int_equal(braces, 0); /* each at most once, and none misspelt */
	return found;
}

static void translations_are_complete(void **state)
{
	(void)state;
	for (unsigned text = 0; text < POP3_TEXT_COUNT; text++) {
		struct str english = pop3_text_raw(POP3_ENGLISH, (enum pop3_text)text);
		assert_true(english.length > 0 && text_is_ascii(english) && english.data[0] != '[');
		for (unsigned language = POP3_ENGLISH + 1; language < POP3_LANGUAGE_COUNT; language++) {
			struct str translated = pop3_text_raw((enum pop3_language)language, (enum pop3_text)text);
			assert_true(translated.length > 0 && text_is_utf8(translated));
			assert_true(translated.data[0] != '[' && !str_equal(translated, english));
			assert_int_equal(placeholders(translated), placeholders(english));
		}
		assert_false(str_equal(pop3_text_raw(POP3_ITALIAN, (enum pop3_text)text), pop3_text_raw(POP3_SLOVAK,
			(enum pop3_text)text)));
	}
}

static void language_ranges(void **state)
{
	(void)state;
	static const struct {
		const char *range;
		bool found;
		enum pop3_language language;
	} cases[] = {
		{ "en", true, POP3_ENGLISH },   { "IT", true, POP3_ITALIAN },   { "it-CH", true, POP3_ITALIAN },
		{ "sk-SK", true, POP3_SLOVAK }, { "*", true, POP3_SLOVAK },     { "MUL", false, POP3_ENGLISH },
		{ "ita", false, POP3_ENGLISH }, { "-it", false, POP3_ENGLISH }, { "", false, POP3_ENGLISH },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum pop3_language language = POP3_ENGLISH;
		assert_int_equal(pop3_language_find(str_of(cases[i].range), POP3_SLOVAK, &language), cases[i].found);
		assert_int_equal(language, cases[i].language);
	}
}

static const char *ok(struct buf *out, enum pop3_language language, enum pop3_text text, uint64_t messages,
	uint64_t octets)
{
	buf_clear(out);
	pop3_reply_ok(out, language, text, &(struct pop3_values){ .messages = messages, .octets = octets,
		.number = messages });
	return buf_text(out);
}

static const char *no_such(struct buf *out, uint64_t messages)
{
	buf_clear(out);
	pop3_reply_err(out, POP3_ENGLISH, POP3_NO_CODE, POP3_SAY_NO_SUCH_MESSAGE,
		&(struct pop3_values){ .messages = messages });
	return buf_text(out);
}

/* The words of the examples in RFC 1939 §5. */
static void classic_answers(void **state)
{
	(void)state;
	struct buf out = BUF_WITH_LIMIT(1000);
	assert_string_equal(ok(&out, POP3_ENGLISH, POP3_SAY_LISTING, 2, 320), "+OK 2 messages (320 octets)\r\n");
	assert_string_equal(ok(&out, POP3_ENGLISH, POP3_SAY_MAILDROP, 1, 1), "+OK maildrop has 1 message (1 octet)\r\n");
	assert_string_equal(ok(&out, POP3_ENGLISH, POP3_SAY_MESSAGE_FOLLOWS, 0, 120), "+OK 120 octets\r\n");
	assert_string_equal(ok(&out, POP3_ENGLISH, POP3_SAY_DELETED, 1, 0), "+OK message 1 deleted\r\n");
	assert_string_equal(no_such(&out, 2), "-ERR no such message, only 2 messages in maildrop\r\n");
	assert_string_equal(ok(&out, POP3_SLOVAK, POP3_SAY_LISTING, 1, 2), "+OK spolu 1 správa (2 oktety)\r\n");
	assert_string_equal(ok(&out, POP3_SLOVAK, POP3_SAY_LISTING, 5, 0), "+OK spolu 5 správ (0 oktetov)\r\n");
	assert_string_equal(ok(&out, POP3_ITALIAN, POP3_SAY_LISTING, 1, 1), "+OK in tutto 1 messaggio (1 ottetto)\r\n");
	buf_clear(&out);
	pop3_reply_numbers(&out, 2, 320);
	pop3_reply_uid(&out, 2, STR("QhdPYR:00WBw1Ph7x7"));
	pop3_add_size(&out, 1, 120);
	pop3_add_uid(&out, 1, STR("whqtswO00WBw418f9t5JxYwZ"));
	pop3_reply_end(&out);
	pop3_reply_challenge(&out, STR("<1896.697170952@postoffice.example.net>"));
	pop3_reply_greeting(&out, STR("<1896.697170952@dbc.mtview.ca.us>"));
	pop3_reply_greeting(&out, (struct str){});
	pop3_reply_err(&out, POP3_ENGLISH, POP3_IN_USE, POP3_SAY_IN_USE, NULL);
	assert_string_equal(buf_text(&out),
		"+OK 2 320\r\n+OK 2 QhdPYR:00WBw1Ph7x7\r\n1 120\r\n1 whqtswO00WBw418f9t5JxYwZ\r\n.\r\n"
		"+ PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UuZXhhbXBsZS5uZXQ+\r\n"
		"+OK Posthorn POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n+OK Posthorn POP3 server ready\r\n"
		"-ERR [IN-USE] maildrop is in use by another POP3 session\r\n");
	buf_release(&out);
}

static void language_answers(void **state)
{
	(void)state;
	struct buf out = BUF_WITH_LIMIT(1000);
	pop3_reply_language(&out, POP3_SLOVAK);
	pop3_reply_languages(&out, POP3_ENGLISH);
	assert_string_equal(buf_text(&out), "+OK sk jazykom je odteraz slovenčina\r\n"
		"+OK language listing follows\r\nen English\r\nit Italiano\r\nsk Slovenčina\r\n.\r\n");
	buf_release(&out);
}

/* Every text with the longest values stays within one line of 512 octets, whole characters and one CRLF. */
static void status_lines_are_bounded(void **state)
{
	(void)state;
	char long_text[3000];
	memset(long_text, 'x', sizeof long_text);
	struct pop3_values values = { UINT64_MAX, UINT64_MAX, UINT64_MAX, str_from(long_text, sizeof long_text) };
	struct buf out = BUF_WITH_LIMIT(10000);
	for (unsigned text = 0; text < POP3_TEXT_COUNT; text++)
		for (unsigned language = 0; language < POP3_LANGUAGE_COUNT; language++) {
			buf_clear(&out);
			pop3_reply_err(&out, (enum pop3_language)language, POP3_LOGIN_DELAY, (enum pop3_text)text, &values);
			assert_true(out.length <= LIMIT_POP3_STATUS_LINE_MAX && text_is_utf8(buf_str(&out)));
			assert_int_equal(str_find(buf_str(&out), STR("\r\n")), out.length - 2);
		}
	buf_clear(&out);
	pop3_reply_greeting(&out, str_from(long_text, sizeof long_text));
	assert_int_equal(out.length, LIMIT_POP3_STATUS_LINE_MAX);
	memset(long_text, '\xc3', sizeof long_text);
	for (size_t i = 1; i < sizeof long_text; i += 2)
		long_text[i] = '\xa9';
	for (size_t shift = 0; shift < 2; shift++) {
		buf_clear(&out);
		pop3_reply_greeting(&out, str_from(long_text + shift * 2, sizeof long_text - 100));
		assert_true(out.length >= LIMIT_POP3_STATUS_LINE_MAX - 1 && out.length <= LIMIT_POP3_STATUS_LINE_MAX);
		assert_true(text_is_utf8(buf_str(&out)));
	}
	buf_release(&out);
}

static void fails(void **state)
{
	(void)state;
	struct buf out = BUF_WITH_LIMIT(1000);
	for (unsigned kind = 0; kind < FAIL_KIND_COUNT; kind++) {
		buf_clear(&out);
		pop3_reply_fail(&out, POP3_ENGLISH, (enum fail_kind)kind);
		assert_true(str_starts(buf_str(&out), STR("-ERR ")) && str_ends_nocase(buf_str(&out), STR("\r\n")));
		assert_true(kind == 0 || !str_starts(buf_str(&out), STR("-ERR not found")));
		bool in_use = str_starts(buf_str(&out), STR("-ERR [IN-USE]"));
		assert_int_equal(in_use, kind == FAIL_BUSY);
	}
	buf_clear(&out);
	pop3_reply_fail(&out, POP3_ITALIAN, FAIL_UNAVAILABLE);
	assert_string_equal(buf_text(&out), "-ERR [SYS/TEMP] problema temporaneo, riprovare più tardi\r\n");
	buf_release(&out);
}

static const struct pop3_capabilities everything = {
	.top = true, .uidl = true, .pipelining = true, .resp_codes = true, .auth_resp_code = true, .user = true,
		.stls = true,
	.utf8 = true, .utf8_user = true, .lang = true, .sasl = true, .mechanisms = { "PLAIN SCRAM-SHA-256", 19 },
	.login_delay = true, .login_delay_differs = true, .login_delay_s = 60, .expire = true,
		.expire_days = POP3_EXPIRE_NEVER,
	.implementation = { "Posthorn", 8 },
};

static void capabilities(void **state)
{
	(void)state;
	static const struct {
		struct pop3_situation situation;
		const char *expected;
	} cases[] = {
		{ { .state = POP3_AUTHORIZATION, .clear_text_allowed = true },
			"TOP\r\nUSER\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nSTLS\r\nLANG\r\n"
			"SASL PLAIN SCRAM-SHA-256\r\nUTF8 USER\r\nLOGIN-DELAY 60 USER\r\nEXPIRE NEVER\r\n"
			"IMPLEMENTATION Posthorn\r\n.\r\n" },
		{ { .state = POP3_AUTHORIZATION },
			"TOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nSTLS\r\nLANG\r\n"
			"SASL PLAIN SCRAM-SHA-256\r\nUTF8 USER\r\nLOGIN-DELAY 60 USER\r\nEXPIRE NEVER\r\n"
			"IMPLEMENTATION Posthorn\r\n.\r\n" },
		{ { .state = POP3_AUTHORIZATION, .tls = true },
			"TOP\r\nUSER\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nLANG\r\nSASL PLAIN SCRAM-SHA-256\r\n"
			"UTF8 USER\r\nLOGIN-DELAY 60 USER\r\nEXPIRE NEVER\r\nIMPLEMENTATION Posthorn\r\n.\r\n" },
		{ { .state = POP3_TRANSACTION, .tls = true },
			"TOP\r\nUSER\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nLANG\r\n"
			"SASL PLAIN SCRAM-SHA-256\r\nUTF8 USER\r\nLOGIN-DELAY 60\r\nEXPIRE NEVER\r\nIMPLEMENTATION Posthorn\r\n"
			".\r\n" },
	};
	struct buf out = BUF_WITH_LIMIT(2000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_clear(&out);
		pop3_capa_answer(&out, &everything, &cases[i].situation);
		struct str rest = buf_str(&out), status;
		assert_true(str_take_until(&rest, '\n', &status));
		assert_true(str_equal(status, STR("+OK capability list follows\r")));
		assert_int_equal(rest.length, strlen(cases[i].expected));
		assert_memory_equal(rest.data, cases[i].expected, rest.length);
	}
	buf_clear(&out);
	pop3_capa_answer(&out, &(struct pop3_capabilities){}, &cases[0].situation);
	assert_string_equal(buf_text(&out), "+OK capability list follows\r\n.\r\n");
	buf_release(&out);
}

/* The example of RFC 2449 §5, and lines that make no sense. */
static void capability_parsing(void **state)
{
	(void)state;
	static const char *const lines[] = { "TOP", "user", "SASL CRAM-MD5 KERBEROS_V4", "RESP-CODES",
		"LOGIN-DELAY 900 USER",
		"PIPELINING", "EXPIRE 60", "UIDL", "IMPLEMENTATION Shlemazle-Plotz-v302", "", " TOP", "XNEW a b", "LOGIN-DELAY",
		"LOGIN-DELAY -1", "EXPIRE soon", "EXPIRE 99999999999999999999", "SASL PLAIN", "STLSX" };
	struct arena *arena = arena_new(10000);
	struct pop3_capabilities c = {};
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		pop3_capa_parse(&c, str_of(lines[i]), arena);
	assert_true(c.top && c.user && c.sasl && c.resp_codes && c.pipelining && c.uidl);
	assert_false(c.stls || c.utf8 || c.lang || c.auth_resp_code);
	assert_true(c.login_delay && c.login_delay_differs && c.login_delay_s == 900);
	assert_true(c.expire && !c.expire_differs && c.expire_days == 60);
	assert_true(str_equal(c.implementation, STR("Shlemazle-Plotz-v302")));
	assert_true(str_equal(c.mechanisms, STR("CRAM-MD5 KERBEROS_V4")));
	pop3_capa_parse(&c, STR("EXPIRE NEVER USER"), arena);
	assert_true(c.expire_differs && c.expire_days == POP3_EXPIRE_NEVER);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(translations_are_complete), cmocka_unit_test(language_ranges),
		cmocka_unit_test(classic_answers),           cmocka_unit_test(language_answers),
		cmocka_unit_test(status_lines_are_bounded),  cmocka_unit_test(fails),
		cmocka_unit_test(capabilities),              cmocka_unit_test(capability_parsing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
