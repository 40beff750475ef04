/* A stored set of UIDs: what unpacks packs to a form that unpacks to the same, and its numbers agree with each
 * other. */
#include "uidmap.h"

#include "check.h"

enum { PACKED_MAX = 1 << 22, UIDS_LOOKED_AT = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_numbers(struct uidmap *m)
{
	uint32_t uid = 0;
	for (uint32_t number = 1; number <= m->count && number <= UIDS_LOOKED_AT; number++) {
		uint32_t next = uidmap_next(m, uid + 1);
		must(next > uid && uidmap_has(m, next) && uidmap_rank(m, next) == number && uidmap_uid(m, number) == next);
		uid = next;
	}
	must(uidmap_rank(m, UINT32_MAX) == uidmap_count(m));
	must(uidmap_uid(m, uidmap_count(m)) == uidmap_last(m));
}

static void check_again(const struct uidmap *m)
{
	CLEANUP(uidmap_release) struct uidmap again = {};
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(PACKED_MAX);
	uidmap_pack(m, &packed);
	must(!packed.overflowed && uidmap_unpack(&again, buf_str(&packed), NULL) && uidmap_equal(m, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(uidmap_release) struct uidmap m = {};
	if (!uidmap_unpack(&m, str_from((const char *)data, size), NULL))
		return 0;
	check_numbers(&m);
	check_again(&m);
	return 0;
}
