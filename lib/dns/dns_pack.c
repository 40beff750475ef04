#include "dns.h"

/*
 *	status secure ttl[4] canonical[2+n] count[2] { length[2] data }…		numbers big-endian
 */

static void add_u16(struct buf *out, size_t value)
{
	buf_add_char(out, (char)(value >> 8));
	buf_add_char(out, (char)value);
}

void dns_answer_pack(const struct dns_answer *answer, struct buf *out)
{
	buf_add_char(out, (char)answer->status);
	buf_add_char(out, (char)answer->secure);
	add_u16(out, answer->ttl_seconds >> 16);
	add_u16(out, answer->ttl_seconds & 0xffff);
	add_u16(out, answer->canonical.length);
	buf_add_str(out, answer->canonical);
	add_u16(out, answer->count);
	for (size_t i = 0; i < answer->count; i++) {
		add_u16(out, answer->records[i].length);
		buf_add_str(out, answer->records[i]);
	}
}

enum { TTL_OFFSET = 2 };

void dns_packed_set_ttl(char *packed, size_t length, uint32_t ttl_seconds)
{
	must(length >= TTL_OFFSET + 4);
	for (unsigned i = 0; i < 4; i++)
		packed[TTL_OFFSET + i] = (char)(ttl_seconds >> (24 - 8 * i));
}

uint32_t dns_packed_ttl(struct str packed)
{
	uint32_t ttl = 0;
	if (packed.length < TTL_OFFSET + 4 || packed.data[0] == DNS_FAILED || packed.data[0] == DNS_BOGUS)
		return 0;
	for (unsigned i = 0; i < 4; i++)
		ttl = ttl << 8 | (uint8_t)packed.data[TTL_OFFSET + i];
	return ttl;
}

/* Sticky: after the first misfit everything is empty. */
struct reading {
	struct str rest;
	bool failed;
};

static struct str take(struct reading *r, size_t length)
{
	struct str part = str_first(r->rest, length);
	r->rest = str_from_index(r->rest, length);
	r->failed |= part.length != length;
	return r->failed ? (struct str){} : part;
}

static unsigned take_u16(struct reading *r)
{
	struct str part = take(r, 2);
	return part.length ? (unsigned)(uint8_t)part.data[0] << 8 | (uint8_t)part.data[1] : 0;
}

static unsigned take_u8(struct reading *r)
{
	struct str part = take(r, 1);
	return part.length ? (uint8_t)part.data[0] : 0;
}

bool dns_answer_unpack(struct arena *a, struct str packed, struct dns_answer *answer)
{
	struct reading r = { packed, false };
	unsigned status = take_u8(&r);
	*answer = (struct dns_answer){ .status = (enum dns_status)status, .secure = take_u8(&r) };
	answer->ttl_seconds = take_u16(&r) << 16;
	answer->ttl_seconds |= take_u16(&r);
	answer->canonical = take(&r, take_u16(&r));
	answer->count = take_u16(&r);
	/* each takes two octets at least: no count can ask for more memory than its frame is worth */
	if (r.failed || status >= DNS_STATUS_COUNT || answer->count > r.rest.length / 2)
		return false;
	answer->records = arena_alloc_array(a, answer->count, sizeof *answer->records);
	for (size_t i = 0; i < answer->count; i++)
		answer->records[i] = take(&r, take_u16(&r));
	return !r.failed && r.rest.length == 0 && (status == DNS_FOUND) == (answer->count > 0);
}
