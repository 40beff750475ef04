#include "dns_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

enum { ANSWERS_MAX = 20000, OCTETS_MAX = 8 << 20 };

static struct str answer_of(enum dns_status status, uint32_t ttl_seconds, struct buf *packed, size_t octets)
{
	CLEANUP(buf_release) struct buf data = BUF_WITH_LIMIT(1 << 20);
	for (size_t i = 0; i < octets; i++)
		buf_add_char(&data, 'x');
	struct str record = buf_str(&data);
	const struct dns_answer one = { .status = status, .ttl_seconds = ttl_seconds, .records = &record, .count = 1 };
	buf_clear(packed);
	dns_answer_pack(&one, packed);
	return buf_str(packed);
}

static struct str answer(struct buf *packed, size_t octets)
{
	return answer_of(DNS_FOUND, 60, packed, octets);
}

static void kept_for_its_time(void **state)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	struct dns_cache *cache = dns_cache_new(ANSWERS_MAX, OCTETS_MAX);
	struct dns_answer read;
	(void)state;
	dns_cache_keep(cache, STR("a.test"), DNS_TXT, answer(&packed, 10), 60, 1000);
	assert_int_equal(dns_cache_find(cache, STR("a.test"), DNS_A, 1000).length, 0);
	assert_int_equal(dns_cache_find(cache, STR("b.test"), DNS_TXT, 1000).length, 0);
	struct str found = dns_cache_find(cache, STR("A.test"), DNS_TXT, 31000);
	assert_true(dns_answer_unpack(arena, found, &read));
	assert_int_equal(read.ttl_seconds, 30);
	assert_int_equal(read.records[0].length, 10);
	assert_int_equal(dns_cache_find(cache, STR("a.test"), DNS_TXT, 60999).length, found.length);
	assert_int_equal(dns_cache_find(cache, STR("a.test"), DNS_TXT, 61000).length, 0);
	dns_cache_keep(cache, STR("a.test"), DNS_TXT, answer(&packed, 20), 60, 61000);
	assert_true(dns_answer_unpack(arena, dns_cache_find(cache, STR("a.test"), DNS_TXT, 61000), &read));
	assert_int_equal(read.records[0].length, 20);
	dns_cache_keep(cache, STR("a.test"), DNS_TXT, answer(&packed, 20), 10, 62000);
	assert_int_equal(dns_cache_find(cache, STR("a.test"), DNS_TXT, 72000).length, 0);
	dns_cache_free(cache);
}

static void not_kept(void **state)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(1 << 20);
	struct dns_cache *cache = dns_cache_new(ANSWERS_MAX, OCTETS_MAX);
	(void)state;
	dns_cache_keep(cache, STR("c.test"), DNS_TXT, answer_of(DNS_FOUND, 0, &packed, 20), 60, 0);
	dns_cache_keep(cache, STR("c.test"), DNS_TXT, answer_of(DNS_FAILED, 60, &packed, 20), 60, 0);
	dns_cache_keep(cache, STR("c.test"), DNS_TXT, answer_of(DNS_BOGUS, 60, &packed, 20), 60, 0);
	dns_cache_keep(cache, STR("c.test"), DNS_TXT, STR("\0\0\0"), 60, 0);
	dns_cache_keep(cache, STR("c.test"), DNS_TXT, STR(""), 60, 0);
	assert_int_equal(dns_cache_find(cache, STR("c.test"), DNS_TXT, 0).length, 0);
	dns_cache_keep(cache, STR("c.test"), DNS_TXT, answer_of(DNS_NO_NAME, 60, &packed, 20), 60, 0);
	assert_int_not_equal(dns_cache_find(cache, STR("c.test"), DNS_TXT, 0).length, 0);
	dns_cache_free(cache);
}

/* What is asked for stays, however many others come; what is not goes. */
static void generations(void **state)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(1 << 20);
	struct dns_cache *cache = dns_cache_new(ANSWERS_MAX, OCTETS_MAX);
	(void)state;
	dns_cache_keep(cache, STR("wanted.test"), DNS_A, answer(&packed, 10), 60, 0);
	dns_cache_keep(cache, STR("unwanted.test"), DNS_A, answer(&packed, 10), 60, 0);
	for (int i = 0; i < 3 * ANSWERS_MAX; i++) {
		char name[40];
		snprintf(name, sizeof name, "n%d.test", i);
		dns_cache_keep(cache, str_of(name), DNS_A, answer(&packed, 10), 60, 0);
		if (i % 1000 == 0)
			assert_int_not_equal(dns_cache_find(cache, STR("wanted.test"), DNS_A, 0).length, 0);
	}
	assert_int_equal(dns_cache_find(cache, STR("unwanted.test"), DNS_A, 0).length, 0);
	dns_cache_free(cache);
}

static void octets_are_bounded(void **state)
{
	enum { SIZE = 100000 };
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(1 << 20);
	struct dns_cache *cache = dns_cache_new(ANSWERS_MAX, OCTETS_MAX);
	int found = 0;
	(void)state;
	for (int i = 0; i < 1000; i++) {
		char name[40];
		snprintf(name, sizeof name, "n%d.test", i);
		dns_cache_keep(cache, str_of(name), DNS_A, answer(&packed, SIZE / 2), 60, 0);
	}
	for (int i = 0; i < 1000; i++) {
		char name[40];
		snprintf(name, sizeof name, "n%d.test", i);
		found += dns_cache_find(cache, str_of(name), DNS_A, 0).length > 0;
	}
	assert_in_range(found, 1, 2 * OCTETS_MAX / (SIZE / 2));
	dns_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(kept_for_its_time), cmocka_unit_test(not_kept), cmocka_unit_test(generations), cmocka_unit_test(octets_are_bounded) };
	return cmocka_run_group_tests_name("dns_cache", tests, NULL, NULL);
}
