#include "smtp_reply.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void written(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	smtp_reply_add(&out, &(struct smtp_reply){ 250, "2.1.0", "Sender ok" });
	smtp_reply_add(&out, &(struct smtp_reply){ 354, NULL, "Go on" });
	smtp_reply_printf(&out, 550, "5.1.1", "no %s", "x\r\n250 ok\xff\t");
	smtp_reply_add_line(&out, 250, true, NULL, STR("a\nb"));
	smtp_reply_add_line(&out, 250, false, NULL, STR(""));
	assert_string_equal(buf_text(&out),
	                    "250 2.1.0 Sender ok\r\n354 Go on\r\n550 5.1.1 no x\\x0d\\x0a250 ok\\xff\\x09\r\n"
	                    "250-a\\x0ab\r\n250 \r\n");
}

/* Texts of every length: no line beyond 512 octets, and a client reads one reply. */
static void long_texts(void **state)
{
	(void)state;
	static char text[LIMIT_SMTP_REPLY_TEXT_MAX + 100];
	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = i % 9 ? 'x' : ' ';
	for (size_t length = 0; length < sizeof text; length += 3) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100000);
		CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
		smtp_reply_printf(&out, 554, length % 2 ? "5.0.0" : NULL, "%s%s", text + sizeof text - 1 - length,
		                  length % 5 ? "" : "\n\xff");
		smtp_reply_reader_init(&r);
		size_t used;
		assert_int_equal(smtp_reply_read(&r, buf_str(&out), &used), SMTP_REPLY_DONE);
		assert_int_equal(used, out.length);
		struct str rest = buf_str(&out), line;
		while (str_take_until(&rest, '\n', &line))
			assert_true(line.length + 1 <= 512);
	}
}

static void long_line(void **state)
{
	(void)state;
	char text[2000];
	memset(text, '\n', sizeof text);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	smtp_reply_add_line(&out, 250, true, "2.0.0", str_from(text, sizeof text));
	assert_int_equal(out.length, 512);
	assert_true(str_starts(buf_str(&out), STR("250-2.0.0 \\x0a\\x0a")));
}

static void fails(void **state)
{
	(void)state;
	static const struct {
		enum fail_kind kind;
		bool final;
		int code;
		const char *enhanced;
	} cases[] = {
		{ FAIL_NOT_FOUND, false, 550, "5.1.1" },  { FAIL_DENIED, true, 550, "5.7.1" },
		{ FAIL_OVER_QUOTA, false, 452, "4.2.2" }, { FAIL_OVER_QUOTA, true, 552, "5.2.2" },
		{ FAIL_TOO_BIG, false, 552, "5.3.4" },    { FAIL_NO_SPACE, true, 452, "4.3.1" },
		{ FAIL_IO, false, 451, "4.3.0" },         { FAIL_LIMIT, false, 452, "4.5.3" },
		{ FAIL_LIMIT, true, 550, "5.5.3" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct smtp_reply *reply = smtp_reply_of_fail(cases[i].kind, cases[i].final);
		assert_int_equal(reply->code, cases[i].code);
		assert_string_equal(reply->enhanced, cases[i].enhanced);
	}
	for (int kind = 0; kind < FAIL_KIND_COUNT; kind++)
		for (int final = 0; final < 2; final++) {
			const struct smtp_reply *reply = smtp_reply_of_fail((enum fail_kind)kind, final);
			assert_true(reply->code >= 400 && reply->code <= 599);
			assert_int_equal(reply->enhanced[0], '0' + reply->code / 100);
			assert_true(strlen(reply->text) > 0);
		}
}

static void read_good(void **state)
{
	(void)state;
	static const struct {
		const char *input;
		int code;
		const char *enhanced, *text;
		size_t lines, left;
	} cases[] = {
		{ "220 mail.example.org ESMTP\r\n", 220, "0.0.0", "mail.example.org ESMTP", 1, 0 },
		{ "250 2.1.5 fine\r\n250 x\r\n", 250, "2.1.5", "2.1.5 fine", 1, 7 },
		{ "250-a\r\n250-b\r\n250 c\r\n", 250, "0.0.0", "a\nb\nc", 3, 0 },
		{ "550-5.1.1 no\r\n550 5.1.1 such\r\n", 550, "5.1.1", "5.1.1 no\n5.1.1 such", 2, 0 },
		{ "250\r\n", 250, "0.0.0", "", 1, 0 },
		{ "250 \r\n", 250, "0.0.0", "", 1, 0 },
		{ "250-\r\n250\r\n", 250, "0.0.0", "\n", 2, 0 },
		{ "250 ok\n", 250, "0.0.0", "ok", 1, 0 },
		{ "250 4.1.1 other class\r\n", 250, "0.0.0", "4.1.1 other class", 1, 0 },
		{ "452 4.2.2\r\n", 452, "4.2.2", "4.2.2", 1, 0 },
		{ "550 5.7.1234 x\r\n", 550, "0.0.0", "5.7.1234 x", 1, 0 },
		{ "550 5.7 x\r\n", 550, "0.0.0", "5.7 x", 1, 0 },
		{ "550 5.7.509 x\r\n", 550, "5.7.509", "5.7.509 x", 1, 0 },
		{ "250-2.1.0 a\r\n550 b\r\n", 550, "0.0.0", "2.1.0 a\nb", 2, 0 },
		{ "550-5.1.0 a\r\n451-4.3.0 b\r\n250 2.0.0 c\r\n", 250, "2.0.0", "5.1.0 a\n4.3.0 b\n2.0.0 c", 3, 0 },
		{ "334 VXNlcm5hbWU6\r\n", 334, "0.0.0", "VXNlcm5hbWU6", 1, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t split = 0; split <= strlen(cases[i].input) - cases[i].left; split++) {
			CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
			CLEANUP(buf_release) struct buf enhanced = BUF_WITH_LIMIT(20);
			struct str input = str_of(cases[i].input);
			size_t used = 0, more = 0;
			smtp_reply_reader_init(&r);
			enum smtp_reply_state s = smtp_reply_read(&r, str_first(input, split), &used);
			if (s == SMTP_REPLY_MORE)
				s = smtp_reply_read(&r, str_from_index(input, split), &more);
			assert_int_equal(s, SMTP_REPLY_DONE);
			assert_int_equal(used + more, input.length - cases[i].left);
			assert_int_equal(r.code, cases[i].code);
			assert_int_equal(r.lines, cases[i].lines);
			assert_string_equal(buf_text(&r.text), cases[i].text);
			buf_printf(&enhanced, "%d.%d.%d", r.class, r.subject, r.detail);
			assert_string_equal(buf_text(&enhanced), cases[i].enhanced);
		}
}

static void read_bad(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"\r\n",       "25\r\n",    "2500 x\r\n",         "abc x\r\n",      "25a x\r\n",
		"199 x\r\n",  "600 x\r\n", "250-a\r\nb\r\n", "250_a\r\n",
		" 250 a\r\n", "-50 a\r\n", "+25 a\r\n",          "250-a\r\n\r\n",  "HTTP/1.1 400 Bad Request\r\n",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
		size_t used;
		smtp_reply_reader_init(&r);
		assert_int_equal(smtp_reply_read(&r, str_of(cases[i]), &used), SMTP_REPLY_BAD);
	}
	CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
	size_t used;
	smtp_reply_reader_init(&r);
	assert_int_equal(smtp_reply_read(&r, str_from("250 a\0b\r\n", 9), &used), SMTP_REPLY_BAD);
}

static enum smtp_reply_state read_lines(size_t lines, size_t length)
{
	CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
	CLEANUP(buf_release) struct buf input = BUF_WITH_LIMIT(1 << 20);
	for (size_t i = 1; i <= lines; i++) {
		buf_add_str(&input, i < lines ? STR("250-") : STR("250 "));
		for (size_t j = 6; j < length; j++)
			buf_add_char(&input, 'x');
		buf_add_str(&input, STR("\r\n"));
	}
	size_t used;
	smtp_reply_reader_init(&r);
	return smtp_reply_read(&r, buf_str(&input), &used);
}

static void read_limits(void **state)
{
	(void)state;
	assert_int_equal(read_lines(LIMIT_SMTP_REPLY_LINES_MAX, LIMIT_SMTP_REPLY_LINE_MAX), SMTP_REPLY_DONE);
	assert_int_equal(read_lines(LIMIT_SMTP_REPLY_LINES_MAX + 1, 10), SMTP_REPLY_BAD);
	assert_int_equal(read_lines(1, LIMIT_SMTP_REPLY_LINE_MAX + 1), SMTP_REPLY_BAD);
}

static void one_reader_many_replies(void **state)
{
	(void)state;
	CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
	smtp_reply_reader_init(&r);
	struct str input = STR("250-2.0.0 a\r\n250 b\r\n354 go\r\n");
	size_t used;
	assert_int_equal(smtp_reply_read(&r, input, &used), SMTP_REPLY_DONE);
	assert_int_equal(r.class, 2);
	smtp_reply_reader_clear(&r);
	input = str_from_index(input, used);
	assert_int_equal(smtp_reply_read(&r, input, &used), SMTP_REPLY_DONE);
	assert_int_equal(r.code, 354);
	assert_int_equal(r.class, 0);
	assert_string_equal(buf_text(&r.text), "go");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written), cmocka_unit_test(long_texts), cmocka_unit_test(long_line), cmocka_unit_test(fails),
		cmocka_unit_test(read_good), cmocka_unit_test(read_bad), cmocka_unit_test(read_limits),
		cmocka_unit_test(one_reader_many_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
