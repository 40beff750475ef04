#include "envelope.h"

#include "wire.h"

#include <inttypes.h>
#include <stdio.h>

/* 2 had no times and fewer flags, 1 no details either. */
enum { FORMAT_VERSION = 3, FORMAT_WITHOUT_DETAIL = 1 };
enum { FLAG_SMTPUTF8 = 1, FLAG_REQUIRE_TLS = 2, FLAG_BODY_IN_FILE = 4, FLAG_QUARANTINE = 8, FLAG_BY_RETURN = 16,
	FLAG_BY_TRACE = 32,
       FLAG_TLS_OPTIONAL = 64, FLAG_8BIT = 128, FLAG_SIGNED = 256, FLAG_HOLD_FOR = 512, FLAGS_ALL = 1023,
       FLAGS_WITHOUT_TIMES = 15 };

static bool is_clean(struct str s, size_t max)
{
	if (s.length > max)
		return false;
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
			return false;
	return true;
}

static bool recipient_is_valid(const struct envelope_recipient *r)
{
	bool never_alone = !(r->notify & ENVELOPE_NOTIFY_NEVER) || r->notify == ENVELOPE_NOTIFY_NEVER;
	return r->address.length > 0 && is_clean(r->address, LIMIT_ADDRESS_MAX) && is_clean(r->orcpt, ENVELOPE_ORCPT_MAX) &&
	       is_clean(r->detail, LIMIT_LOCAL_PART_MAX) &&
	       r->notify < 16 && never_alone && (unsigned)r->state < ENVELOPE_STATE_COUNT;
}

/* Everything but the recipients, whose count is right. */
static bool is_valid(const struct envelope *e)
{
	return e->id != 0 && is_clean(e->reverse_path, LIMIT_ADDRESS_MAX) && is_clean(e->peer, ENVELOPE_FACT_MAX) &&
	       is_clean(e->helo, ENVELOPE_FACT_MAX) && is_clean(e->session, ENVELOPE_FACT_MAX) &&
	       is_clean(e->protocol, ENVELOPE_FACT_MAX) && is_clean(e->envid, ENVELOPE_ENVID_MAX) &&
	       (unsigned)e->body_type < ENVELOPE_BODY_COUNT && (unsigned)e->ret < ENVELOPE_RETURN_COUNT &&
	       e->priority >= -ENVELOPE_PRIORITY_MAX && e->priority <= ENVELOPE_PRIORITY_MAX && e->hold_until >= 0 &&
	       e->deliver_by >= 0 &&
	       e->recipient_count >= 1 && e->recipient_count <= LIMIT_ENVELOPE_RECIPIENTS_MAX;
}

static void add_text(struct buf *out, struct str s)
{
	wire_add_u16(out, (uint16_t)s.length);
	buf_add_str(out, s);
}

static uint16_t flags_of(const struct envelope *e)
{
	return (uint16_t)((e->smtputf8 ? FLAG_SMTPUTF8 : 0) | (e->require_tls ? FLAG_REQUIRE_TLS : 0) |
	                  (e->body_in_file ? FLAG_BODY_IN_FILE : 0) | (e->quarantine ? FLAG_QUARANTINE : 0) |
	                  (e->by_return ? FLAG_BY_RETURN : 0) | (e->by_trace ? FLAG_BY_TRACE : 0) |
	                  (e->tls_optional ? FLAG_TLS_OPTIONAL : 0) | (e->has_8bit ? FLAG_8BIT : 0) |
	                  (e->is_signed ? FLAG_SIGNED : 0) | (e->hold_is_interval ? FLAG_HOLD_FOR : 0));
}

static void set_flags(struct envelope *e, uint16_t flags)
{
	e->smtputf8 = flags & FLAG_SMTPUTF8;
	e->require_tls = flags & FLAG_REQUIRE_TLS;
	e->body_in_file = flags & FLAG_BODY_IN_FILE;
	e->quarantine = flags & FLAG_QUARANTINE;
	e->by_return = flags & FLAG_BY_RETURN;
	e->by_trace = flags & FLAG_BY_TRACE;
	e->tls_optional = flags & FLAG_TLS_OPTIONAL;
	e->has_8bit = flags & FLAG_8BIT;
	e->is_signed = flags & FLAG_SIGNED;
	e->hold_is_interval = flags & FLAG_HOLD_FOR;
}

static void add_facts(struct buf *out, const struct envelope *e)
{
	wire_add_u64(out, e->id);
	wire_add_u64(out, (uint64_t)e->received);
	wire_add_u64(out, e->account);
	wire_add_u64(out, e->body_size);
	wire_add_u64(out, e->origin_sequence);
	buf_append(out, e->origin.bytes, sizeof e->origin.bytes);
	wire_add_u16(out, flags_of(e));
	buf_add_char(out, (char)e->body_type);
	buf_add_char(out, (char)e->ret);
	buf_add_char(out, (char)e->priority);
	wire_add_u64(out, (uint64_t)e->hold_until);
	wire_add_u64(out, (uint64_t)e->deliver_by);
	add_text(out, e->reverse_path);
	add_text(out, e->peer);
	add_text(out, e->helo);
	add_text(out, e->session);
	add_text(out, e->protocol);
	add_text(out, e->envid);
}

bool envelope_encode(const struct envelope *e, struct buf *out, struct fail **fail)
{
	if (!is_valid(e))
		return fail_set(fail, FAIL_INVALID, "an envelope beyond its limits");
	size_t start = out->length;
	wire_add_u32(out, 0); /* the length, known at the end */
	buf_add_char(out, FORMAT_VERSION);
	add_facts(out, e);
	wire_add_u32(out, (uint32_t)e->recipient_count);
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct envelope_recipient *r = &e->recipients[i];
		if (!recipient_is_valid(r)) {
			buf_truncate(out, start);
			return fail_set(fail, FAIL_INVALID, "recipient %zu of an envelope is beyond its limits", i);
		}
		wire_add_u64(out, r->account);
		buf_add_char(out, (char)r->notify);
		buf_add_char(out, (char)r->state);
		add_text(out, r->address);
		add_text(out, r->orcpt);
		add_text(out, r->detail);
	}
	if (out->overflowed || out->length - start > LIMIT_ENVELOPE_SIZE_MAX) {
		buf_truncate(out, start);
		return fail_set(fail, FAIL_TOO_BIG, "an envelope has no room");
	}
	wire_put_u32(out->data + start, (uint32_t)(out->length - start));
	return true;
}

static struct str take_text(struct wire_reader *r)
{
	return wire_take(r, wire_take_u16(r));
}

static void take_facts(struct wire_reader *r, unsigned version, struct envelope *e)
{
	e->id = wire_take_u64(r);
	e->received = (int64_t)wire_take_u64(r);
	e->account = wire_take_u64(r);
	e->body_size = wire_take_u64(r);
	e->origin_sequence = wire_take_u64(r);
	struct str uuid = wire_take(r, sizeof e->origin.bytes);
	if (uuid.length > 0)
		memcpy(e->origin.bytes, uuid.data, uuid.length);
	uint16_t flags = version >= FORMAT_VERSION ? wire_take_u16(r) : wire_take_u8(r);
	r->bad |= (flags & ~(version >= FORMAT_VERSION ? FLAGS_ALL : FLAGS_WITHOUT_TIMES)) != 0;
	set_flags(e, flags);
	e->body_type = wire_take_u8(r);
	e->ret = wire_take_u8(r);
	e->priority = (int8_t)wire_take_u8(r);
	if (version >= FORMAT_VERSION) {
		e->hold_until = (int64_t)wire_take_u64(r);
		e->deliver_by = (int64_t)wire_take_u64(r);
	}
	e->reverse_path = take_text(r);
	e->peer = take_text(r);
	e->helo = take_text(r);
	e->session = take_text(r);
	e->protocol = take_text(r);
	e->envid = take_text(r);
}

static void take_recipients(struct wire_reader *r, unsigned version, struct envelope *e)
{
	for (size_t i = 0; i < e->recipient_count && !r->bad; i++) {
		struct envelope_recipient *recipient = &e->recipients[i];
		recipient->account = wire_take_u64(r);
		recipient->notify = wire_take_u8(r);
		recipient->state = wire_take_u8(r);
		recipient->address = take_text(r);
		recipient->orcpt = take_text(r);
		if (version != FORMAT_WITHOUT_DETAIL)
			recipient->detail = take_text(r);
		r->bad |= !recipient_is_valid(recipient);
	}
}

bool envelope_decode(struct str bytes, struct arena *arena, struct envelope *e, struct str *rest, struct fail **fail)
{
	static const size_t recipient_size_min = 8 + 1 + 1 + 2 + 2;
	struct wire_reader front = { .rest = bytes };
	uint32_t length = wire_take_u32(&front);
	if (front.bad || length < 4 || length > bytes.length || length > LIMIT_ENVELOPE_SIZE_MAX)
		return fail_set(fail, FAIL_CORRUPT, "an envelope with a wrong length");
	struct wire_reader r = { .rest = str_first(front.rest, length - 4) };
	unsigned version = wire_take_u8(&r);
	if (version < FORMAT_WITHOUT_DETAIL || version > FORMAT_VERSION)
		return fail_set(fail, FAIL_CORRUPT, "an envelope of an unknown version");
	struct envelope decoded = {};
	take_facts(&r, version, &decoded);
	decoded.recipient_count = wire_take_u32(&r);
	if (r.bad || !is_valid(&decoded) || decoded.recipient_count > r.rest.length / recipient_size_min)
		return fail_set(fail, FAIL_CORRUPT, "a damaged envelope");
	decoded.recipients = arena_alloc_array(arena, decoded.recipient_count, sizeof *decoded.recipients);
	take_recipients(&r, version, &decoded);
	if (r.bad || r.rest.length > 0)
		return fail_set(fail, FAIL_CORRUPT, "a damaged envelope");
	*e = decoded;
	*rest = str_from_index(bytes, length);
	return true;
}

bool envelope_decode_record(struct str payload, struct arena *arena, struct envelope *e, struct str *body,
                            struct fail **fail)
{
	struct envelope decoded;
	struct str rest;
	if (!envelope_decode(payload, arena, &decoded, &rest, fail))
		return false;
	if (rest.length != (decoded.body_in_file ? 0 : decoded.body_size))
		return fail_set(fail, FAIL_CORRUPT, "a body of %zu octets that should have %" PRIu64, rest.length,
		                decoded.body_size);
	*e = decoded;
	*body = rest;
	return true;
}

void envelope_id_text(uint64_t id, char text[17])
{
	snprintf(text, 17, "%016" PRIx64, id);
}
