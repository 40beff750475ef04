#include "envelope.h"

#include "journal_test_kit.h"
#include "wire.h"

static struct envelope sample(struct envelope_recipient *recipients, size_t count)
{
	for (size_t i = 0; i < count; i++)
		recipients[i] = (struct envelope_recipient){
			.account = i % 2 ? 0 : i + 7,
			.address = STR("Bob+lists@Example.Test"),
			.orcpt = STR("rfc822;bob@example.test"),
			.detail = i % 3 ? STR("lists") : STR(""),
			.notify = ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY,
			.state = i % ENVELOPE_STATE_COUNT,
		};
	return (struct envelope){
		.id = UINT64_C(0x0123456789abcdef), .received = 1700000000, .reverse_path = STR("alice@example.test"),
		.account = 42, .peer = STR("192.0.2.1:4711"), .helo = STR("client.example"), .session = STR("s-1"),
		.protocol = STR("ESMTPSA"), .body_type = ENVELOPE_8BITMIME, .smtputf8 = true, .quarantine = true, .ret = ENVELOPE_RETURN_HEADERS,
		.envid = STR("QQ314159"), .priority = -3, .hold_until = 1700003600, .deliver_by = 1700007200, .by_trace = true, .has_8bit = true,
		.is_signed = true, .body_size = 5, .origin = { { 9, 8, 7 } }, .origin_sequence = 77,
		.recipients = recipients, .recipient_count = count,
	};
}

static void check_equal(const struct envelope *a, const struct envelope *b)
{
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->received, b->received);
	assert_int_equal(a->account, b->account);
	assert_true(str_equal(a->reverse_path, b->reverse_path) && str_equal(a->peer, b->peer));
	assert_true(str_equal(a->helo, b->helo) && str_equal(a->session, b->session));
	assert_true(str_equal(a->protocol, b->protocol) && str_equal(a->envid, b->envid));
	assert_true(a->body_type == b->body_type && a->smtputf8 == b->smtputf8 && a->require_tls == b->require_tls);
	assert_true(a->ret == b->ret && a->priority == b->priority && a->body_in_file == b->body_in_file &&
	            a->quarantine == b->quarantine);
	assert_true(a->hold_until == b->hold_until && a->deliver_by == b->deliver_by && a->by_return == b->by_return &&
	            a->by_trace == b->by_trace);
	assert_true(a->hold_is_interval == b->hold_is_interval && a->tls_optional == b->tls_optional &&
	            a->has_8bit == b->has_8bit && a->is_signed == b->is_signed);
	assert_int_equal(a->body_size, b->body_size);
	assert_int_equal(a->origin_sequence, b->origin_sequence);
	assert_memory_equal(a->origin.bytes, b->origin.bytes, 16);
	assert_int_equal(a->recipient_count, b->recipient_count);
	for (size_t i = 0; i < a->recipient_count; i++) {
		const struct envelope_recipient *left = &a->recipients[i], *right = &b->recipients[i];
		assert_true(left->account == right->account && left->notify == right->notify && left->state == right->state);
		assert_true(str_equal(left->address, right->address) && str_equal(left->orcpt, right->orcpt));
		assert_true(str_equal(left->detail, right->detail));
	}
}

static void round_trip(void **state)
{
	(void)state;
	static const size_t counts[] = { 1, 2, 3, LIMIT_ENVELOPE_RECIPIENTS_MAX };
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(16 << 20);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
		struct envelope given = sample(arena_alloc_array(arena, counts[i], sizeof(struct envelope_recipient)),
		                               counts[i]);
		struct envelope got;
		struct str body;
		assert_true(envelope_encode(&given, &out, NULL));
		assert_true(buf_add_str(&out, STR("hello")));
		assert_true(envelope_decode_record(buf_str(&out), arena, &got, &body, NULL));
		assert_true(str_equal(body, STR("hello")));
		check_equal(&given, &got);
	}
}

/* The largest of everything still fits into LIMIT_ENVELOPE_SIZE_MAX. */
static void the_limits_fit_together(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(16 << 20);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	char text[LIMIT_ADDRESS_MAX + 2];
	memset(text, 'x', sizeof text);
	size_t count = LIMIT_ENVELOPE_RECIPIENTS_MAX;
	struct envelope e = sample(arena_alloc_array(arena, count, sizeof(struct envelope_recipient)), count);
	e.reverse_path = str_from(text, LIMIT_ADDRESS_MAX);
	e.peer = e.helo = e.session = e.protocol = str_from(text, ENVELOPE_FACT_MAX);
	for (size_t i = 0; i < count; i++) {
		e.recipients[i].address = str_from(text, LIMIT_ADDRESS_MAX);
		e.recipients[i].orcpt = str_from(text, ENVELOPE_ORCPT_MAX);
	}
	struct str rest;
	assert_true(envelope_encode(&e, &out, NULL));
	assert_true(envelope_decode(buf_str(&out), arena, &e, &rest, NULL));
}

static void what_breaks_a_limit_is_refused(void **state)
{
	(void)state;
	char text[LIMIT_ADDRESS_MAX + 2];
	memset(text, 'x', sizeof text);
	for (int kind = 0; kind < 16; kind++) {
		struct envelope_recipient recipients[2];
		struct envelope e = sample(recipients, 2);
		switch (kind) {
		case 0: e.id = 0; break;
		case 1: e.recipient_count = 0; break;
		case 2: e.recipient_count = LIMIT_ENVELOPE_RECIPIENTS_MAX + 1; break;
		case 3: e.reverse_path = str_from(text, LIMIT_ADDRESS_MAX + 1); break;
		case 4: e.reverse_path = STR("a@b\r\nRCPT TO:<c@d>"); break;
		case 5: e.helo = str_from(text, ENVELOPE_FACT_MAX + 1); break;
		case 6: e.envid = str_from(text, ENVELOPE_ENVID_MAX + 1); break;
		case 7: e.priority = 10; break;
		case 8: e.body_type = ENVELOPE_BODY_COUNT; break;
		case 9: recipients[1].address = (struct str){}; break;
		case 10: recipients[1].address = str_from("a\0b", 3); break;
		case 11: recipients[1].orcpt = str_from(text, ENVELOPE_ORCPT_MAX + 1); break;
		case 12: recipients[1].notify = ENVELOPE_NOTIFY_NEVER | ENVELOPE_NOTIFY_DELAY; break;
		case 13: recipients[1].state = ENVELOPE_STATE_COUNT; break;
		case 14: e.hold_until = -1; break;
		case 15: e.deliver_by = INT64_MIN; break;
		}
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
		CLEANUP(fail_free) struct fail *fail = NULL;
		buf_add_char(&out, 'x');
		assert_false(envelope_encode(&e, &out, &fail));
		assert_int_equal(fail->kind, FAIL_INVALID);
		assert_int_equal(out.length, 1);
	}
}

/* Cut at each place: refused. Each byte changed: refused, or an envelope that encodes to the same bytes again. */
static void damage_is_seen(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(16 << 20);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	struct envelope_recipient recipients[3];
	struct envelope e = sample(recipients, 3), got;
	struct str rest;
	unsigned refused = 0;
	assert_true(envelope_encode(&e, &out, NULL));
	for (size_t length = 0; length < out.length; length++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		assert_false(envelope_decode(str_first(buf_str(&out), length), arena, &got, &rest, &fail));
		assert_int_equal(fail->kind, FAIL_CORRUPT);
	}
	for (size_t i = 0; i < out.length * 8; i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		arena_reset(arena);
		buf_clear(&again);
		out.data[i / 8] ^= (char)(1 << i % 8);
		if (!envelope_decode(buf_str(&out), arena, &got, &rest, &fail)) {
			assert_int_equal(fail->kind, FAIL_CORRUPT);
			refused++;
		} else {
			assert_true(envelope_encode(&got, &again, NULL));
			assert_int_equal(again.length + rest.length, out.length);
			assert_memory_equal(again.data, out.data, again.length);
		}
		out.data[i / 8] ^= (char)(1 << i % 8);
	}
	assert_true(refused > 100);
}

static void the_body_has_the_size_told(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	struct envelope_recipient recipients[1];
	struct envelope e = sample(recipients, 1), got;
	for (int in_file = 0; in_file < 2; in_file++) {
		for (uint64_t size = 4; size <= 6; size++) {
			CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
			struct str body;
			e.body_size = size;
			e.body_in_file = in_file;
			assert_true(envelope_encode(&e, &out, NULL));
			buf_add_str(&out, STR("hello"));
			assert_int_equal(envelope_decode_record(buf_str(&out), arena, &got, &body, NULL), !in_file && size == 5);
		}
	}
}

/* Each flag stands for itself. */
static void flags_are_apart(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	for (int i = 0; i < 10; i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
		struct envelope_recipient recipient;
		struct envelope e = sample(&recipient, 1), got;
		bool *const flags[] = { &e.smtputf8, &e.require_tls, &e.body_in_file, &e.quarantine, &e.by_return, &e.by_trace,
			                    &e.tls_optional, &e.has_8bit, &e.is_signed, &e.hold_is_interval };
		struct str rest;
		for (int k = 0; k < 10; k++)
			*flags[k] = k == i;
		assert_true(envelope_encode(&e, &out, NULL));
		assert_true(envelope_decode(buf_str(&out), arena, &got, &rest, NULL));
		check_equal(&e, &got);
	}
}

/* The sample as the older formats wrote it: without the times and the flags of format 3, format 1 also without the
 * detail, which is the last thing of this envelope and empty. */
static void older_formats_are_read(void **state)
{
	(void)state;
	enum { FLAGS_AT = 4 + 1 + 5 * 8 + 16, TIMES_AT = FLAGS_AT + 2 + 3 };
	for (unsigned version = 1; version <= 2; version++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX), old = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
		struct envelope_recipient recipient;
		struct envelope given = sample(&recipient, 1), got;
		struct str rest;
		given.by_trace = given.has_8bit = given.is_signed = false;
		assert_true(envelope_encode(&given, &out, NULL));
		buf_append(&old, out.data, FLAGS_AT + 1);
		buf_append(&old, out.data + FLAGS_AT + 2, 3);
		buf_append(&old, out.data + TIMES_AT + 16, out.length - TIMES_AT - 16);
		if (version == 1)
			buf_truncate(&old, old.length - 2);
		wire_put_u32(old.data, (uint32_t)old.length);
		assert_false(envelope_decode(buf_str(&old), arena, &got, &rest, NULL));
		old.data[4] = (char)version;
		assert_true(envelope_decode(buf_str(&old), arena, &got, &rest, NULL));
		assert_int_equal(rest.length, 0);
		given.hold_until = given.deliver_by = 0;
		check_equal(&given, &got);
		old.data[FLAGS_AT] = 16; /* not theirs */
		assert_false(envelope_decode(buf_str(&old), arena, &got, &rest, NULL));
	}
}

static void ids_are_sixteen_digits(void **state)
{
	(void)state;
	char text[17];
	envelope_id_text(UINT64_C(0xab), text);
	assert_string_equal(text, "00000000000000ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(the_limits_fit_together),
		cmocka_unit_test(what_breaks_a_limit_is_refused),
		cmocka_unit_test(damage_is_seen),
		cmocka_unit_test(the_body_has_the_size_told),
		cmocka_unit_test(flags_are_apart),
		cmocka_unit_test(older_formats_are_read),
		cmocka_unit_test(ids_are_sixteen_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
