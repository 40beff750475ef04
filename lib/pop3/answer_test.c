#include "answer.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* What the reader makes of it, given in chunks: S<status> L<line> P<pieces> E<rest> or B for broken, M for more. */
static const char *read_answer(enum pop3_answer_kind kind, struct str sent, size_t chunk_size, struct buf *out)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct pop3_answer answer;
	enum pop3_event event = POP3_NEEDS_MORE;
	bool in_pieces = false;
	buf_clear(out);
	pop3_answer_init(&answer, kind, 100);
	while (event == POP3_NEEDS_MORE && sent.length) {
		struct str chunk = str_first(sent, chunk_size), piece;
		size_t given = chunk.length;
		while ((event = pop3_answer_next(&answer, &chunk, &piece, &fail)) <= POP3_PIECE && event != POP3_NEEDS_MORE) {
			if (!in_pieces)
				buf_add_char(out, event == POP3_STATUS ? 'S' : event == POP3_LINE ? 'L' : 'P');
			in_pieces = event == POP3_PIECE;
			buf_add_str(out, piece);
		}
		sent = str_from_index(sent, given - chunk.length);
	}
	assert_int_equal(event == POP3_BROKEN, fail != NULL);
	buf_add_char(out, event == POP3_BROKEN ? 'B' : event == POP3_ANSWERED ? 'E' : 'M');
	if (event == POP3_ANSWERED)
		buf_add_str(out, sent);
	pop3_answer_release(&answer);
	return buf_text(out);
}

static void answers_in_any_chunks(void **state)
{
	(void)state;
	static const struct {
		enum pop3_answer_kind kind;
		const char *sent, *expected;
	} cases[] = {
		{ POP3_ONE_LINE, "+OK 2 320\r\n+OK\r\n", "S+OK 2 320E+OK\r\n" },
		{ POP3_ONE_LINE, "-ERR [IN-USE] no\r\n", "S-ERR [IN-USE] noE" },
		{ POP3_ONE_LINE, "+ abcd\r\n", "S+ abcdE" },
		{ POP3_ONE_LINE, "+OK\n", "S+OKE" },
		{ POP3_ONE_LINE, "+OKAY\r\n", "B" },
		{ POP3_ONE_LINE, "HTTP/1.1 200\r\n", "B" },
		{ POP3_ONE_LINE, "\r\n", "B" },
		{ POP3_ONE_LINE, "+OK", "M" },
		{ POP3_LISTING, "+OK\r\n1 120\r\n2 200\r\n.\r\nx", "S+OKL1 120L2 200Ex" },
		{ POP3_LISTING, "+OK\r\n..x\r\n\r\n.\r\n", "S+OKL.xLE" },
		{ POP3_LISTING, "-ERR no\r\n1 1\r\n", "S-ERR noE1 1\r\n" },
		{ POP3_LISTING, "+ abcd\r\n", "B" },
		{ POP3_LISTING, "+OK\r\n1 120\r\n", "S+OKL1 120M" },
		{ POP3_BODY, "+OK 120 octets\r\na: b\r\n\r\n..x\r\n.\r\n+OK", "S+OK 120 octetsPa: b\r\n\r\n.x\r\nE+OK" },
		{ POP3_BODY, "+OK\r\n.\r\n", "S+OKE" },
		{ POP3_BODY, "-ERR gone\r\nx", "S-ERR goneEx" },
	};
	struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t chunk = 1; chunk < 60; chunk++)
			assert_string_equal(read_answer(cases[i].kind, str_of(cases[i].sent), chunk, &out), cases[i].expected);
	assert_string_equal(read_answer(POP3_ONE_LINE, STR("+OK a\0b\r\n"), 100, &out), "B");
	buf_release(&out);
}

/* An endless line and an endless mail end early whatever the chunks are. */
static void hostile_servers(void **state)
{
	(void)state;
	static char endless[LIMIT_POP3_ANSWER_LINE_MAX + 10];
	memset(endless, 'x', sizeof endless);
	memcpy(endless, "+OK ", 4);
	struct buf out = BUF_WITH_LIMIT(20000);
	for (size_t chunk = 1; chunk <= sizeof endless; chunk += 1 + chunk / 2)
		assert_string_equal(read_answer(POP3_ONE_LINE, str_from(endless, sizeof endless), chunk, &out), "B");
	memcpy(endless + LIMIT_POP3_ANSWER_LINE_MAX - 2, "\r\n", 2); /* the longest line that is taken */
	assert_true(str_ends_nocase(str_of(read_answer(POP3_ONE_LINE, str_from(endless, sizeof endless), 100, &out)),
		STR("Exxxxxxxxxx")));
	memset(endless, 'x', sizeof endless);
	memcpy(endless, "+OK\r\n", 5);
	read_answer(POP3_BODY, str_from(endless, 5 + 100), 7, &out);
	assert_int_equal(out.data[out.length - 1], 'M');
	read_answer(POP3_BODY, str_from(endless, 5 + 101), 7, &out);
	assert_int_equal(out.data[out.length - 1], 'B');
	buf_release(&out);
}

static void endless_listing(void **state)
{
	(void)state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct pop3_answer answer;
	struct str input = STR("+OK\r\n"), line;
	enum pop3_event event;
	uint64_t lines = 0;
	pop3_answer_init(&answer, POP3_LISTING, 0);
	assert_int_equal(pop3_answer_next(&answer, &input, &line, &fail), POP3_STATUS);
	answer.left = 1000; /* as if all but these had come */
	do {
		input = STR("x\n");
		event = pop3_answer_next(&answer, &input, &line, &fail);
		lines += event == POP3_LINE;
	} while (event == POP3_LINE);
	assert_int_equal(event, POP3_BROKEN);
	assert_int_equal(fail->kind, FAIL_LIMIT);
	assert_int_equal(lines, 1000);
	pop3_answer_release(&answer);
}

static void statuses(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		bool valid, ok;
		enum pop3_code code;
		const char *code_text, *text;
	} cases[] = {
		{ "+OK", true, true, POP3_NO_CODE, "", "" },
		{ "+OK 2 320", true, true, POP3_NO_CODE, "", "2 320" },
		{ "-ERR [IN-USE] Do you have another POP session running?", true, false, POP3_IN_USE, "IN-USE",
			"Do you have another POP session running?" },
		{ "-ERR [sys/temp] x", true, false, POP3_SYS_TEMP, "sys/temp", "x" },
		{ "-ERR [SYS/TEMP/DISK] x", true, false, POP3_SYS_TEMP, "SYS/TEMP/DISK", "x" },
		{ "-ERR [SYS/PERM]", true, false, POP3_SYS_PERM, "SYS/PERM", "" },
		{ "-ERR [AUTHX] x", true, false, POP3_NO_CODE, "AUTHX", "x" },
		{ "-ERR [AUTH x", true, false, POP3_NO_CODE, "", "[AUTH x" },
		{ "-ERR []", true, false, POP3_NO_CODE, "", "" },
		{ "-err [LOGIN-DELAY] x", true, false, POP3_LOGIN_DELAY, "LOGIN-DELAY", "x" },
		{ "-ERR [UTF8] x", true, false, POP3_UTF8, "UTF8", "x" },
		{ "+OKAY", false, false, POP3_NO_CODE, "", "" },
		{ "-ER", false, false, POP3_NO_CODE, "", "" },
		{ "", false, false, POP3_NO_CODE, "", "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct pop3_status status;
		assert_int_equal(pop3_status_parse(str_of(cases[i].line), &status, &fail), cases[i].valid);
		assert_int_equal(fail == NULL, cases[i].valid);
		assert_int_equal(status.ok, cases[i].ok);
		assert_int_equal(status.code, cases[i].code);
		assert_true(str_equal(status.code_text, str_of(cases[i].code_text)));
		assert_true(str_equal(status.text, str_of(cases[i].text)));
	}
}

static void timestamps(void **state)
{
	(void)state;
	static const struct {
		const char *greeting, *timestamp;
	} cases[] = {
		{ "+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>" },
		{ "+OK <a@b> more", "<a@b>" },
		{ "+OK ready", "" },
		{ "+OK <open", "" },
		{ "+OK <a b>", "" },
		{ "+OK > <", "" },
		{ "+OK <\xc3\xa9>", "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_true(str_equal(pop3_greeting_timestamp(str_of(cases[i].greeting)), str_of(cases[i].timestamp)));
}

static void numbers_and_ids(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool numbers, uid;
	} cases[] = {
		{ "1 120", true, true },
		{ "1 120 more", true, false },
		{ "18446744073709551615 0", true, true },
		{ "18446744073709551616 0", false, false },
		{ "1", false, false },
		{ "", false, false },
		{ "1 ", false, false },
		{ "-1 5", false, false },
		{ "1 -5", false, true },
		{ "1  5", false, false },
		{ "1 whqtswO00WBw418f9t5JxYwZ", false, true },
		{ "1 a\x01", false, false },
		{ "1 1234567890123456789012345678901234567890123456789012345678901234567890", false, true },
		{ "1 12345678901234567890123456789012345678901234567890123456789012345678901", false, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		uint64_t first = 0, second = 0;
		struct str uid;
		assert_int_equal(pop3_numbers_parse(str_of(cases[i].text), &first, &second, &fail), cases[i].numbers);
		assert_int_equal(pop3_uid_parse(str_of(cases[i].text), &first, &uid, &fail), cases[i].uid);
		assert_int_equal(fail != NULL, !cases[i].numbers || !cases[i].uid);
	}
}

static void challenges(void **state)
{
	(void)state;
	struct buf bytes = BUF_WITH_LIMIT(100);
	assert_true(pop3_challenge_parse(STR("+ aGVsbG8="), &bytes, NULL));
	assert_string_equal(buf_text(&bytes), "hello");
	buf_clear(&bytes);
	assert_true(pop3_challenge_parse(STR("+ "), &bytes, NULL));
	assert_true(pop3_challenge_parse(STR("+"), &bytes, NULL));
	assert_int_equal(bytes.length, 0);
	assert_false(pop3_challenge_parse(STR("+ !"), &bytes, NULL));
	assert_false(pop3_challenge_parse(STR("+OK"), &bytes, NULL));
	buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_in_any_chunks), cmocka_unit_test(hostile_servers), cmocka_unit_test(endless_listing),
		cmocka_unit_test(statuses),              cmocka_unit_test(timestamps),      cmocka_unit_test(numbers_and_ids),
		cmocka_unit_test(challenges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
