#include "hash.h"

#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* The vectors of the SipHash paper's reference implementation: key 00..0f, input 00 01 02 … */
static void siphash_vectors(void **state)
{
	(void)state;
	const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	unsigned char input[15];
	for (unsigned char i = 0; i < sizeof input; i++)
		input[i] = i;
	assert_true(hash_sip(key, input, 0) == 0x726fdb47dd0e0e31);
	assert_true(hash_sip(key, input, 15) == 0xa129ca6149be45e5);
}

static void many_keys_come_and_go(void **state)
{
	(void)state;
	struct map *m = map_new();
	static char values[5000];
	for (uint32_t i = 0; i < COUNT_OF(values); i++)
		assert_null(map_set(m, MAP_KEY(i), &values[i]));
	for (uint32_t i = 0; i < COUNT_OF(values); i += 2)
		assert_ptr_equal(map_remove(m, MAP_KEY(i)), &values[i]);
	for (uint32_t i = 0; i < COUNT_OF(values); i++)
		assert_ptr_equal(map_get(m, MAP_KEY(i)), i % 2 ? &values[i] : NULL);
	size_t position = 0, seen = 0;
	void *value;
	while (map_next(m, &position, NULL, &value))
		seen++;
	assert_int_equal(seen, COUNT_OF(values) / 2);
	assert_int_equal(map_count(m), seen);
	map_free(m);
}

static void replacing_returns_what_was_there(void **state)
{
	(void)state;
	struct map *m = map_new();
	char a, b;
	assert_null(map_set(m, STR("key"), &a));
	assert_ptr_equal(map_set(m, STR("key"), &b), &a);
	assert_ptr_equal(map_get(m, STR("key")), &b);
	assert_null(map_get(m, STR("Key")));
	map_free(m);
}

/* A value that replaces another one may outlive it, with its key. */
static void views_lie_in_the_values(void **state)
{
	(void)state;
	struct map *m = map_new_of_views();
	static char names[2][200][8];
	for (size_t i = 0; i < COUNT_OF(names[0]); i++) {
		snprintf(names[0][i], sizeof names[0][i], "n%zu", i);
		memcpy(names[1][i], names[0][i], sizeof names[0][i]);
		assert_null(map_set(m, str_of(names[0][i]), names[0][i]));
	}
	for (size_t i = 0; i < COUNT_OF(names[0]); i += 2)
		assert_ptr_equal(map_set(m, str_of(names[1][i]), names[1][i]), names[0][i]);
	memset(names[0][100], '-', sizeof names[0][100]);
	assert_ptr_equal(map_get(m, STR("n100")), names[1][100]);
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(m, &position, &key, &value))
		assert_ptr_equal(key.data, value);
	assert_ptr_equal(map_remove(m, STR("n7")), names[0][7]);
	assert_null(map_get(m, STR("n7")));
	assert_int_equal(map_count(m), COUNT_OF(names[0]) - 1);
	map_free(m);
}

static void graves_do_not_fill_the_table(void **state)
{
	(void)state;
	struct map *m = map_new();
	char value;
	for (uint32_t i = 0; i < 100000; i++) {
		map_set(m, MAP_KEY(i), &value);
		map_remove(m, MAP_KEY(i));
	}
	assert_int_equal(map_count(m), 0);
	assert_null(map_get(m, STR("nothing")));
	map_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_vectors),
		cmocka_unit_test(many_keys_come_and_go),
		cmocka_unit_test(replacing_returns_what_was_there),
		cmocka_unit_test(views_lie_in_the_values),
		cmocka_unit_test(graves_do_not_fill_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
