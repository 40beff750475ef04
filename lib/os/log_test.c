#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* Standard error becomes a datagram socket: one write is one datagram. */
static int written[2], standard_error;

static void capture(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, written), 0);
	standard_error = dup(STDERR_FILENO);
	assert_int_equal(dup2(written[1], STDERR_FILENO), STDERR_FILENO);
}

static void release(void)
{
	dup2(standard_error, STDERR_FILENO);
	close(standard_error);
	close(written[0]);
	close(written[1]);
}

/* The line of the next write without its time, or the empty view when there was none. */
static struct str next_write(void)
{
	static char line[2 * LOG_LINE_MAX];
	ssize_t length = recv(written[0], line, sizeof line, 0);
	if (length < 0)
		return (struct str){};
	assert_true(length > 25 && line[length - 1] == '\n' && line[4] == '-' && line[10] == 'T' && line[23] == 'Z' &&
	            line[24] == ' ');
	return str_from(line + 25, (size_t)length - 26);
}

static void lines_have_one_form(void **state)
{
	static const struct {
		enum log_level level;
		uint64_t session;
		struct str line;
	} cases[] = {
		{ LOG_INFO, 0, { "test - came from=a@b size=18446744073709551615", 46 } },
		{ LOG_WARNING, 0x4f1c, { "test 0000000000004f1c warning came from=a@b size=18446744073709551615", 69 } },
		{ LOG_ERROR, 0, { "test - error came from=a@b size=18446744073709551615", 52 } },
		{ LOG_DEBUG, 0, { NULL, 0 } },
	};
	(void)state;
	capture();
	log_init("test", LOG_INFO);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		log_event(cases[i].level, cases[i].session, "came", LOG_TEXT("from", STR("a@b")),
		          LOG_NUMBER("size", UINT64_MAX));
	struct str lines[COUNT_OF(cases)];
	char kept[COUNT_OF(cases)][LOG_LINE_MAX];
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		lines[i] = next_write();
		if (lines[i].length)
			memcpy(kept[i], lines[i].data, lines[i].length);
		lines[i].data = kept[i];
	}
	release();
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_true(str_equal(lines[i], cases[i].line));
}

/* Nothing from outside makes a second line, a second field or a terminal sequence. */
static void values_are_escaped(void **state)
{
	char line[LOG_LINE_MAX];
	(void)state;
	capture();
	log_init("test", LOG_DEBUG);
	log_event(LOG_DEBUG, 0, "came", LOG_TEXT("from", STR("a\r\nb c=d\"\\\033[1m\0\xff")));
	struct str got = next_write();
	memcpy(line, got.data, got.length);
	release();
	struct str expected = STR("test - debug came from=a\\x0d\\x0ab\\x20c\\x3dd\\x22\\x5c\\x1b[1m\\x00\\xff");
	assert_true(str_equal(str_from(line, got.length), expected));
}

static void long_lines_end_where_they_must(void **state)
{
	static char big[100000];
	struct log_field fields[50];
	(void)state;
	memset(big, 'x', sizeof big);
	capture();
	log_init("test", LOG_INFO);
	for (size_t count = 1; count <= COUNT_OF(fields); count++) {
		for (size_t i = 0; i < count; i++)
			fields[i] = LOG_TEXT("key", str_from(big, i == 0 ? sizeof big : i * 7));
		log_fields(LOG_INFO, 0, "event", fields, count);
		struct str got = next_write();
		struct str none = next_write();
		if (got.length + 26 > LOG_LINE_MAX || got.length < 300 || none.length || str_find_char(got, '\n') < got.length) {
			release();
			fail_msg("%zu fields give a line of %zu", count, got.length);
		}
	}
	release();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_have_one_form),
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(long_lines_end_where_they_must),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
