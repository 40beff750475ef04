#include "ctl_log_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#define AT "2026-11-22T06:30:00.123Z "

static void assert_str(struct str got, const char *wanted)
{
	assert_true(str_equal(got, str_of(wanted)));
}

static void lines(void **state)
{
	(void)state;
	static const struct {
		const char *text, *program, *session, *level, *event, *fields; /* program NULL: no line of ours */
	} cases[] = {
		{ AT "smtpd 00001c0900112233 accepted from=a@b size=12", "smtpd", "00001c0900112233", "info", "accepted",
		  "from=a@b size=12" },
		{ AT "master - running", "master", "-", "info", "running", "" },
		{ AT "queue - warning held", "queue", "-", "warning", "held", "" },
		{ AT "queue - error sync-failed why=x", "queue", "-", "error", "sync-failed", "why=x" },
		{ AT "auth - debug stored uid=1", "auth", "-", "debug", "stored", "uid=1" },
		{ AT "queue - warning", NULL },
		{ AT "queue 12 held", NULL },
		{ AT "queue 00001c090011223x held", NULL },
		{ AT "queue -", NULL },
		{ AT, NULL },
		{ "2026-11-22T06:30:00Z master - running", NULL },
		{ "==123==ERROR: AddressSanitizer: heap-use-after-free", NULL },
		{ "", NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ctl_log_line line;
		assert_int_equal(ctl_log_line_parse(str_of(cases[i].text), &line), cases[i].program != NULL);
		if (!cases[i].program)
			continue;
		assert_str(line.program, cases[i].program);
		assert_str(line.session, cases[i].session);
		assert_str(line.level, cases[i].level);
		assert_str(line.event, cases[i].event);
		assert_str(line.fields, cases[i].fields);
		assert_int_equal(ctl_log_line_seconds(&line), 1795329000);
	}
}

static void fields(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(100);
	struct str rest = STR("to=a\\x20b\\x3d why=\\x5cx41 cut =x broken=\\x4 empty="), key;
	static const struct {
		const char *key, *value;
	} wanted[] = { { "to", "a b=" }, { "why", "\\x41" }, { "broken", "\\x4" }, { "empty", "" } };
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		assert_true(ctl_log_field_next(&rest, &key, &value));
		assert_str(key, wanted[i].key);
		assert_str(buf_str(&value), wanted[i].value);
	}
	assert_false(ctl_log_field_next(&rest, &key, &value));
}

static void wanted_lines(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value;
		bool has;
	} cases[] = {
		{ "session", "00001c09001122ab", true }, { "session", "1c09001122AB", true },    { "session", "1c09001122ac", false },
		{ "session", "-", false },               { "program", "queue", true },           { "program", "que", false },
		{ "level", "warning", true },            { "level", "info", false },             { "event", "deferred", true },
		{ "queue-id", "0000000000000007", true }, { "queue-id", "7", false },            { "to", "a b@c.test", true },
		{ "to", "a\\x20b@c.test", false },       { "from", "", false },
	};
	struct ctl_log_line line;
	assert_true(ctl_log_line_parse(STR(AT "queue 00001c09001122ab warning deferred queue-id=0000000000000007 to=a\\x20b@c.test"), &line));
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(ctl_log_line_has(&line, str_of(cases[i].key), str_of(cases[i].value)), cases[i].has);
}

static void times(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
	} cases[] = {
		{ "2026-11-22", 1795302000 },           { "2026-11-22Z", 1795305600 },         { "2026-11-22 06:30", 1795325400 },
		{ "2026-11-22 06:30:15Z", 1795329015 }, { "2026-11-22T06:30Z", 1795329000 },   { "2026-11-22T06:30:15Z", 1795329015 },
		{ "90s", 999910 },                      { "10m", 999400 },                     { "2h", 992800 },
		{ "3d", 740800 },                       { "", -1 },                            { "s", -1 },
		{ "10", -1 },                           { "10y", -1 },                         { "-1m", -1 },
		{ "2026-11-22 06:30x", -1 },            { "yesterday", -1 },                   { "99999999999d", -1 },
	};
	setenv("TZ", "XST-1", 1); /* one hour before UTC's clock */
	tzset();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t seconds = -1;
		assert_int_equal(ctl_log_since_parse(cases[i].text, 1000000, &seconds), cases[i].seconds >= 0);
		assert_int_equal(seconds, cases[i].seconds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(fields),
		cmocka_unit_test(wanted_lines),
		cmocka_unit_test(times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
