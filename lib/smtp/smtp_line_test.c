#include "smtp_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void one_line(void **state)
{
	(void)state;
	static const struct {
		const char *input;
		size_t length;
		enum smtp_line_kind kind;
		const char *line;
		size_t left;
	} cases[] = {
		{ "NOOP\r\n", 6, SMTP_LINE_COMMAND, "NOOP", 0 },
		{ "NOOP\r\nQUIT\r\n", 12, SMTP_LINE_COMMAND, "NOOP", 6 },
		{ "\r\n", 2, SMTP_LINE_COMMAND, "", 0 },
		{ "", 0, SMTP_LINE_NONE, "", 0 },
		{ "NOOP", 4, SMTP_LINE_NONE, "", 4 },
		{ "NOOP\r", 5, SMTP_LINE_NONE, "", 5 },
		{ "NOOP\nQUIT\r\n", 11, SMTP_LINE_BAD, "NOOP", 6 },
		{ "\n", 1, SMTP_LINE_BAD, "", 0 },
		{ "NO\rOP\r\n", 7, SMTP_LINE_BAD, "NO\rOP", 0 },
		{ "NOOP\r\r\n", 7, SMTP_LINE_BAD, "NOOP\r", 0 },
		{ "NO\0P\r\n", 6, SMTP_LINE_BAD, "NO", 0 },
		{ "12345678\r\n", 10, SMTP_LINE_COMMAND, "12345678", 0 },
		{ "123456789\r\n.", 12, SMTP_LINE_TOO_LONG, NULL, 1 },
		{ "1234567890", 10, SMTP_LINE_NONE, NULL, 0 },
		{ "123456789", 9, SMTP_LINE_NONE, NULL, 9 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_line_reader r = {};
		struct str input = str_from(cases[i].input, cases[i].length), line;
		assert_int_equal(smtp_line_take(&r, &input, 10, &line), cases[i].kind);
		assert_int_equal(input.length, cases[i].left);
		if (cases[i].line)
			assert_true(str_starts(line, str_of(cases[i].line)));
	}
}

/* A line of a megabyte in pieces: nothing is kept, one answer, and the next command is read. */
static void endless_line(void **state)
{
	(void)state;
	char piece[1000];
	memset(piece, 'x', sizeof piece);
	struct smtp_line_reader r = {};
	struct str line;
	for (size_t i = 0; i < 1000; i++) {
		struct str input = str_from(piece, sizeof piece);
		assert_int_equal(smtp_line_take(&r, &input, sizeof piece, &line), SMTP_LINE_NONE);
		assert_int_equal(input.length, 0);
	}
	struct str input = STR("xx\r\nNOOP\r\n");
	assert_int_equal(smtp_line_take(&r, &input, sizeof piece, &line), SMTP_LINE_TOO_LONG);
	assert_int_equal(smtp_line_take(&r, &input, sizeof piece, &line), SMTP_LINE_COMMAND);
	assert_true(str_equal(line, STR("NOOP")));
}

static void refusals(void **state)
{
	(void)state;
	assert_int_equal(smtp_line_refusal(SMTP_LINE_BAD)->code, 500);
	assert_string_equal(smtp_line_refusal(SMTP_LINE_BAD)->enhanced, "5.5.2");
	assert_int_equal(smtp_line_refusal(SMTP_LINE_TOO_LONG)->code, 500);
	assert_string_equal(smtp_line_refusal(SMTP_LINE_TOO_LONG)->enhanced, "5.5.6");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line), cmocka_unit_test(endless_line), cmocka_unit_test(refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
