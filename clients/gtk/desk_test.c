#include "desk.h"

#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { DAY = 86400 };

static char folder[] = "/tmp/posthorn-desk-XXXXXX";
static char path[sizeof folder + 20], copy[sizeof folder + 20];

static struct desk *open_desk(void)
{
	struct desk *d = desk_open(path, NULL);
	assert_non_null(d);
	return d;
}

static void expect_setting(struct desk *d, const char *key, const char *wanted)
{
	CLEANUP(mem_free) char *value = desk_get(d, key, "otherwise");
	assert_string_equal(value, wanted);
}

static void test_settings(void **state UNUSED)
{
	struct desk *d = open_desk();
	struct stat facts;
	expect_setting(d, "a", "otherwise");
	assert_true(desk_set(d, "a", "one", NULL));
	assert_true(desk_set(d, "a", "two", NULL));
	desk_close(d);
	d = open_desk();
	expect_setting(d, "a", "two");
	desk_close(d);
	assert_int_equal(stat(path, &facts), 0);
	assert_int_equal(facts.st_mode & 0777, 0600);
}

static void test_rules(void **state UNUSED)
{
	CLEANUP(desk_cleanup) struct desk *d = open_desk();
	struct desk_rules written = {}, read = {};
	*array_add(&written.list) = (struct rule){ RULE_SUBJECT, RULE_MARK, "it's" };
	*array_add(&written.list) = (struct rule){ RULE_AGE, RULE_TICK, "30" };
	assert_true(desk_save_rules(d, &written, NULL));
	assert_true(desk_save_rules(d, &written, NULL));
	assert_true(desk_load_rules(d, &read, NULL));
	assert_int_equal(read.list.count, 2);
	assert_int_equal(read.list.items[1].property, RULE_AGE);
	assert_string_equal(read.list.items[0].value, "it's");
	array_release(&written.list);
	array_release(&read.list);
}

static void test_seen(void **state UNUSED)
{
	CLEANUP(desk_cleanup) struct desk *d = open_desk();
	struct map *seen = map_new(), *read = map_new();
	map_set(seen, STR("a"), d);
	map_set(seen, STR("b"), d);
	assert_true(desk_save_seen(d, "one", seen, NULL));
	map_remove(seen, STR("a"));
	assert_true(desk_save_seen(d, "two", seen, NULL));
	assert_true(desk_save_seen(d, "one", seen, NULL));
	assert_true(desk_load_seen(d, "one", read, NULL));
	assert_int_equal(map_count(read), 1);
	assert_non_null(map_get(read, STR("b")));
	map_free(seen);
	map_free(read);
}

struct log {
	size_t count;
	enum desk_fate fate[4];
	char subject[4][20];
};

static void visit(void *context, const struct desk_deletion *one)
{
	struct log *log = context;
	assert_in_range(log->count, 0, 3);
	log->fate[log->count] = one->fate;
	snprintf(log->subject[log->count++], sizeof log->subject[0], "%s", one->subject);
}

static void expect_log(struct desk *d, size_t count, enum desk_fate newest)
{
	struct log log = {};
	assert_true(desk_log_each(d, visit, &log, NULL));
	assert_int_equal(log.count, count);
	if (count)
		assert_int_equal(log.fate[0], newest);
}

static void test_log(void **state UNUSED)
{
	CLEANUP(desk_cleanup) struct desk *d = open_desk();
	struct desk_deletion note = { .when = 100 * DAY, .mailbox = "box", .uid = "u", .from = "f", .subject = "s",
		                          .header = STR("Subject: s\r\n\r\n"), .copy = "" };
	assert_true(desk_log_begin(d, &note, 1, NULL));
	expect_log(d, 1, DESK_PENDING);
	assert_true(desk_log_end(d, "another", DESK_DELETED, NULL));
	expect_log(d, 1, DESK_PENDING);
	assert_true(desk_log_end(d, "box", DESK_PENDING, NULL));
	expect_log(d, 0, DESK_PENDING);
	assert_true(desk_log_begin(d, &note, 1, NULL) && desk_log_end(d, "box", DESK_DELETED, NULL));
	note.when = 120 * DAY;
	note.copy = copy;
	assert_true(desk_log_begin(d, &note, 1, NULL) && desk_log_end(d, "box", DESK_UNKNOWN, NULL));
	expect_log(d, 2, DESK_UNKNOWN);
	fclose(fopen(copy, "w"));
	assert_true(desk_log_purge(d, 131 * DAY, NULL));
	expect_log(d, 1, DESK_UNKNOWN);
	assert_int_equal(access(copy, F_OK), 0);
	assert_true(desk_log_purge(d, 151 * DAY, NULL));
	expect_log(d, 0, DESK_UNKNOWN);
	assert_int_not_equal(access(copy, F_OK), 0);
}

static void test_outcome(void **state UNUSED)
{
	static char there;
	CLEANUP(desk_cleanup) struct desk *d = open_desk();
	struct desk_deletion notes[] = { { .mailbox = "box", .uid = "gone" }, { .mailbox = "box", .uid = "stays" } };
	struct desk_outcome outcome;
	struct map *now = map_new();
	for (size_t i = 0; i < COUNT_OF(notes); i++)
		notes[i].from = notes[i].subject = notes[i].copy = "";
	map_set(now, STR("stays"), &there);
	assert_true(desk_log_begin(d, notes, COUNT_OF(notes), NULL) && desk_log_end(d, "box", DESK_DELETED, NULL));
	assert_true(desk_log_check(d, "another", now, &outcome, NULL));
	assert_true(outcome.gone == 0 && outcome.still_there == 0);
	expect_log(d, 2, DESK_DELETED);
	assert_true(desk_log_check(d, "box", now, &outcome, NULL));
	assert_true(outcome.gone == 0 && outcome.still_there == 1);
	expect_log(d, 2, DESK_STILL_THERE);
	assert_true(desk_log_begin(d, notes, COUNT_OF(notes), NULL) && desk_log_end(d, "box", DESK_UNKNOWN, NULL));
	assert_true(desk_log_check(d, "box", now, &outcome, NULL));
	assert_true(outcome.gone == 1 && outcome.still_there == 1);
	assert_true(desk_log_check(d, "box", now, &outcome, NULL));
	assert_true(outcome.gone == 0 && outcome.still_there == 0);
	map_free(now);
	assert_true(desk_log_purge(d, 151 * DAY, NULL));
}

static void test_damaged(void **state UNUSED)
{
	char other[sizeof path + 2];
	CLEANUP(fail_free) struct fail *why = NULL;
	snprintf(other, sizeof other, "%s.2", path);
	FILE *file = fopen(other, "w");
	fputs("this is no database at all, and long enough to show it", file);
	fclose(file);
	assert_null(desk_open(other, &why));
	assert_non_null(why);
	unlink(other);
}

static int make_folder(void **state UNUSED)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/desktop.db", folder);
	snprintf(copy, sizeof copy, "%s/copy.eml", folder);
	return 0;
}

static int remove_folder(void **state UNUSED)
{
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings), cmocka_unit_test(test_rules),   cmocka_unit_test(test_seen),
		cmocka_unit_test(test_log),      cmocka_unit_test(test_outcome),  cmocka_unit_test(test_damaged),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
