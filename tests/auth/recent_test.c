#include "recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct recent_key key_of(unsigned number)
{
	struct recent_key key = {};
	memcpy(key.bytes, &number, sizeof number);
	return key;
}

static struct recent_entry *put(struct recent *r, unsigned number, int64_t now_ms, int64_t until_ms)
{
	struct recent_key key = key_of(number);
	return recent_put(r, &key, now_ms, until_ms);
}

static struct recent_entry *find(struct recent *r, unsigned number, int64_t now_ms)
{
	struct recent_key key = key_of(number);
	return recent_find(r, &key, now_ms);
}

static size_t count(struct recent *r)
{
	size_t entries = 0;
	for (struct recent_entry *e = recent_next(r, NULL); e; e = recent_next(r, e))
		entries++;
	return entries;
}

static void entries_are_forgotten_when_their_time_is_over(void **state)
{
	struct recent *r = recent_new(10);
	(void)state;
	put(r, 1, 0, 100)->count = 5;
	assert_int_equal(find(r, 1, 99)->count, 5);
	assert_null(find(r, 1, 100));
	assert_int_equal(count(r), 0);
	/* Put again within its time it keeps what it has and lives longer; after it, it begins anew. */
	put(r, 1, 200, 300)->count = 6;
	assert_int_equal(put(r, 1, 250, 350)->count, 6);
	assert_non_null(find(r, 1, 349));
	assert_int_equal(put(r, 1, 350, 450)->count, 0);
	recent_free(r);
}

static void the_oldest_makes_room(void **state)
{
	struct recent *r = recent_new(3);
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		put(r, i, i, 1000);
	put(r, 0, 10, 1000);
	put(r, 3, 11, 1000);
	assert_int_equal(count(r), 3);
	assert_null(find(r, 1, 12));
	assert_non_null(find(r, 0, 12));
	assert_non_null(find(r, 2, 12));
	assert_non_null(find(r, 3, 12));
	recent_free(r);
}

static void entries_go_singly_by_account_and_all(void **state)
{
	struct recent *r = recent_new(100);
	struct recent_key key = key_of(4);
	unsigned seen = 0;
	(void)state;
	for (unsigned i = 0; i < 20; i++)
		put(r, i, i, 1000)->account = i % 2;
	recent_forget(r, &key);
	recent_forget(r, &key);
	assert_int_equal(count(r), 19);
	recent_forget_account(r, 1);
	assert_int_equal(count(r), 9);
	for (struct recent_entry *e = recent_next(r, NULL); e; e = recent_next(r, e)) {
		assert_int_equal(e->account, 0);
		assert_true(e->older == NULL || e->older->put_ms < e->put_ms);
		seen++;
	}
	assert_int_equal(seen, 9);
	recent_forget_all(r);
	assert_int_equal(count(r), 0);
	assert_null(recent_next(r, NULL));
	recent_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_forgotten_when_their_time_is_over),
		cmocka_unit_test(the_oldest_makes_room),
		cmocka_unit_test(entries_go_singly_by_account_and_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
