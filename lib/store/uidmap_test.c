#include "uidmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MODEL = 40000, PACKED_MAX = 1 << 20 };

/* Ever the same numbers, so that a failure comes again. */
static uint64_t random_state;

static uint32_t dice(uint32_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(random_state >> 33) % below;
}

static void add_range(struct uidmap *m, uint32_t first, uint32_t last)
{
	for (uint64_t uid = first; uid <= last; uid++)
		uidmap_append(m, (uint32_t)uid);
}

static void empty(void **state)
{
	(void)state;
	CLEANUP(uidmap_release) struct uidmap m = {};
	assert_int_equal(uidmap_count(&m), 0);
	assert_int_equal(uidmap_last(&m), 0);
	assert_int_equal(uidmap_rank(&m, UINT32_MAX), 0);
	assert_int_equal(uidmap_uid(&m, 1), 0);
	assert_int_equal(uidmap_next(&m, 0), 0);
	assert_false(uidmap_has(&m, 1));
	assert_false(uidmap_remove(&m, 1));
}

static void edges(void **state)
{
	(void)state;
	static const uint32_t uids[] = { 1, 63, 64, 511, 512, 8191, 8192, 8193, 16383, 16384, 65536 + 5, UINT32_MAX - 1,
		                             UINT32_MAX };
	CLEANUP(uidmap_release) struct uidmap m = {};
	for (uint32_t i = 0; i < COUNT_OF(uids); i++) {
		uidmap_append(&m, uids[i]);
		assert_int_equal(uidmap_last(&m), uids[i]);
		assert_int_equal(uidmap_count(&m), i + 1);
	}
	for (uint32_t i = 0; i < COUNT_OF(uids); i++) {
		assert_true(uidmap_has(&m, uids[i]));
		assert_int_equal(uidmap_rank(&m, uids[i]), i + 1);
		assert_int_equal(uidmap_rank(&m, uids[i] - 1), i && uids[i - 1] == uids[i] - 1 ? i : i);
		assert_int_equal(uidmap_uid(&m, i + 1), uids[i]);
		assert_int_equal(uidmap_next(&m, uids[i]), uids[i]);
		assert_int_equal(uidmap_next(&m, i ? uids[i - 1] + 1 : 0), uids[i]);
	}
	assert_int_equal(uidmap_uid(&m, 0), 0);
	assert_int_equal(uidmap_uid(&m, COUNT_OF(uids) + 1), 0);
}

/* The map against an array of truth, for all UIDs of some pages. */
static void assert_equals_model(struct uidmap *m, const bool *model)
{
	uint32_t number = 0;
	uint32_t next = 0;
	for (uint32_t uid = 1; uid < MODEL; uid++) {
		number += model[uid];
		assert_int_equal(uidmap_has(m, uid), model[uid]);
		assert_int_equal(uidmap_rank(m, uid), number);
		if (model[uid]) {
			assert_int_equal(uidmap_uid(m, number), uid);
			assert_int_equal(uidmap_next(m, next), uid);
			next = uid + 1;
		}
	}
	assert_int_equal(uidmap_count(m), number);
	assert_int_equal(uidmap_next(m, next), 0);
	assert_int_equal(uidmap_last(m), next ? next - 1 : 0);
}

static void assert_packs(const struct uidmap *m)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(PACKED_MAX);
	CLEANUP(uidmap_release) struct uidmap again = {};
	uidmap_pack(m, &packed);
	assert_false(packed.overflowed);
	assert_true(uidmap_unpack(&again, buf_str(&packed), NULL));
	assert_true(uidmap_equal(m, &again));
	assert_int_equal(uidmap_count(m), uidmap_count(&again));
}

static void change_at_random(struct uidmap *m, bool *model, unsigned density)
{
	uint32_t uid = 1 + dice(MODEL - 1);
	uint32_t length = dice(4) ? 1 : 1 + dice(density);
	bool add = dice(2);
	for (; length-- && uid < MODEL; uid++) {
		assert_int_equal(add ? uidmap_add(m, uid) : uidmap_remove(m, uid), model[uid] != add);
		model[uid] = add;
	}
}

static void equals_model(void **state)
{
	(void)state;
	static bool model[MODEL];
	static bool other[MODEL];
	random_state = 1;
	CLEANUP(uidmap_release) struct uidmap m = {};
	CLEANUP(uidmap_release) struct uidmap copy = {};
	CLEANUP(uidmap_release) struct uidmap rest = {};
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 100; i++)
			change_at_random(&m, model, round % 2 ? 12000 : 50);
		assert_equals_model(&m, model);
		assert_packs(&m);
		uidmap_minus(&m, &copy, &rest);
		for (uint32_t uid = 1; uid < MODEL; uid++)
			assert_int_equal(uidmap_has(&rest, uid), model[uid] && !other[uid]);
		uidmap_copy(&copy, &m);
		memcpy(other, model, sizeof model);
		assert_true(uidmap_equal(&copy, &m));
		assert_equals_model(&copy, other);
	}
}

static void appending_equals_model(void **state)
{
	(void)state;
	static bool model[MODEL];
	random_state = 2;
	CLEANUP(uidmap_release) struct uidmap m = {};
	for (uint32_t uid = 1 + dice(3); uid < MODEL; uid += 1 + (dice(50) ? dice(3) : dice(9000))) {
		uidmap_append(&m, uid);
		model[uid] = true;
	}
	assert_equals_model(&m, model);
	assert_packs(&m);
}

static void packed_is_small(void **state)
{
	(void)state;
	CLEANUP(uidmap_release) struct uidmap m = {};
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(PACKED_MAX);
	add_range(&m, 1, 100000);
	uidmap_pack(&m, &packed);
	assert_in_range(packed.length, 13, 13 * 5);
	for (uint32_t uid = 1; uid <= 100000; uid += 2)
		uidmap_remove(&m, uid);
	buf_clear(&packed);
	uidmap_pack(&m, &packed);
	assert_in_range(packed.length, 100000 / 8, 100000 / 8 + 1200);
	assert_packs(&m);
}

static void unpack_adds_above(void **state)
{
	(void)state;
	CLEANUP(uidmap_release) struct uidmap low = {}, high = {}, both = {}, expected = {};
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(PACKED_MAX);
	add_range(&low, 5, 100);
	add_range(&high, 8192, 8200);
	add_range(&expected, 5, 100);
	add_range(&expected, 8192, 8200);
	uidmap_pack(&low, &packed);
	assert_true(uidmap_unpack(&both, buf_str(&packed), NULL));
	buf_clear(&packed);
	uidmap_pack(&high, &packed);
	assert_true(uidmap_unpack(&both, buf_str(&packed), NULL));
	assert_true(uidmap_equal(&both, &expected));
	assert_int_equal(uidmap_rank(&both, 8192), 97);
	/* and never below what is there */
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(uidmap_unpack(&both, buf_str(&packed), &fail));
	assert_int_equal(fail->kind, FAIL_CORRUPT);
}

static void damage_is_found(void **state)
{
	(void)state;
	static const struct str damaged[] = {
		{ "\x80", 1 },                             /* a number without an end */
		{ "\x80\x80\x80\x80\x80\x01\x01\x01\x01", 9 }, /* too long a number */
		{ "\x00", 1 },                             /* a page without content */
		{ "\x00\x00zzz", 5 },                      /* a bitmap that is too short */
		{ "\x00\x01\x01\x00", 4 },                 /* a run of nothing */
		{ "\x00\x02\x01\x01\x00\x01", 6 },         /* runs that touch */
		{ "\x00\x01\x00\x01", 4 },                 /* UID 0 */
		{ "\x00\x01\x80\x40\x01", 5 },             /* beyond the page */
		{ "\x00\x01\x01\x80\x40", 5 },             /* longer than the page */
		{ "\x80\x80\x20\x01\x01\x01", 6 },         /* a page beyond the last */
		{ "\x00\x01\x01\x01\xff\xff\x1f\x01\x01\x01", 10 },
	};
	for (size_t i = 0; i < COUNT_OF(damaged); i++) {
		CLEANUP(uidmap_release) struct uidmap m = {};
		CLEANUP(fail_free) struct fail *fail = NULL;
		if (uidmap_unpack(&m, damaged[i], &fail))
			fail_msg("case %zu was taken", i);
		assert_int_equal(fail->kind, FAIL_CORRUPT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(edges),
		cmocka_unit_test(equals_model),
		cmocka_unit_test(appending_equals_model),
		cmocka_unit_test(packed_is_small),
		cmocka_unit_test(unpack_adds_above),
		cmocka_unit_test(damage_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
