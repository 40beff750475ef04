#include "segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct segment_key key = { { 0x0123456789abcdef, 0xfedcba9876543210 } };

static struct segment_header example(void)
{
	return (struct segment_header){ .kind = SEGMENT_MAIL,
		                            .stored = 123,
		                            .size = 123,
		                            .check = 0xdeadbeef00112233,
		                            .id = "0123456789abcde",
		                            .message = 42,
		                            .received = 1700000000,
		                            .uidvalidity = 7,
		                            .uid = 4294967295,
		                            .flags = 31,
		                            .mailbox = STR("Work/50 % \xc3\xa4") };
}

static void a_header_reads_back_as_written(void **state)
{
	(void)state;
	for (int codec = SEGMENT_RAW; codec <= SEGMENT_ZSTD; codec++)
		for (int kind = SEGMENT_MAIL; kind <= SEGMENT_META; kind++) {
			CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
			CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(10000);
			struct segment_header written = example();
			struct segment_header read;
			written.codec = (enum segment_codec)codec;
			written.kind = (enum segment_kind)kind;
			uint32_t length = segment_header_encode(&out, &written, &key, 0);
			assert_int_equal(length, out.length);
			assert_int_equal(length % 64, 0);
			buf_add_str(&out, STR("the mail"));
			assert_int_equal(segment_header_decode(buf_str(&out), &key, &read, &name), length);
			assert_int_equal(read.kind, kind);
			assert_int_equal(read.codec, codec);
			assert_int_equal(read.stored, 123);
			assert_int_equal(read.check, written.check);
			assert_memory_equal(read.id, written.id, sizeof read.id);
			assert_int_equal(read.uid, written.uid);
			assert_int_equal(read.flags, 31);
			assert_int_equal(read.received, 1700000000);
			assert_true(str_equal(read.mailbox, written.mailbox));
		}
}

static void the_text_is_as_documented(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	struct segment_header header = example();
	segment_start_encode(&out, 12, SEGMENT_RAW, &key);
	assert_string_equal(buf_text(&out), "%posthorn segment 1 0000000012 0123456789abcdeffedcba9876543210\n");
	buf_clear(&out);
	header.flags = 2;
	header.uid = 42;
	segment_header_encode(&out, &header, &key, 0);
	static const char expected[] = "%posthorn record 1 mail raw\n"
								   "header 00320 stored 00000000000000000123\n"
								   "size 00000000000000000123 check deadbeef00112233\n"
								   "id 30313233343536373839616263646500 message 00000000000000000042\n"
								   "received 001700000000 uidvalidity 0000000007 uid 0000000042 flags -A---\n"
								   "mailbox Work/50 %25 \xc3\xa4\n";
	assert_true(str_starts(buf_str(&out), STR("%posthorn record 1 mail raw\n")));
	assert_memory_equal(out.data, expected, sizeof expected - 1);
	assert_memory_equal(out.data + out.length - 2, "\n\n", 2);
}

static void every_changed_byte_is_noticed(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(10000);
	struct segment_header header = example();
	segment_header_encode(&out, &header, &key, 0);
	for (size_t i = 0; i < out.length; i++) {
		struct segment_header read;
		out.data[i] ^= 1;
		assert_int_equal(segment_header_decode(buf_str(&out), &key, &read, &name), 0);
		out.data[i] ^= 1;
		assert_int_equal(segment_header_decode(str_first(buf_str(&out), i), &key, &read, &name), 0);
	}
}

static void another_key_is_another_account(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(10000);
	struct segment_header header = example();
	struct segment_key other = key;
	other.words[1]++;
	segment_header_encode(&out, &header, &other, 0);
	assert_int_equal(segment_header_decode(buf_str(&out), &key, &header, &name), 0);
}

static void a_header_fits_the_room_it_had(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(20000);
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(10000);
	static char long_name[1000];
	memset(long_name, 1, sizeof long_name);
	struct segment_header header = example();
	struct segment_header read;
	uint32_t room = segment_header_encode(&out, &header, &key, 0);
	const struct str names[] = { STR(""), STR("INBOX"), str_from(long_name, sizeof long_name) };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		buf_clear(&out);
		header.mailbox = names[i];
		assert_int_equal(segment_header_encode(&out, &header, &key, room), room);
		assert_int_equal(segment_header_decode(buf_str(&out), &key, &read, &name), room);
		/* the one that is too long is left out */
		assert_int_equal(read.mailbox.length, i == 2 ? 0 : names[i].length);
	}
	buf_clear(&out);
	uint32_t needed = segment_header_encode(&out, &header, &key, 0);
	assert_true(needed > 3000 && needed <= SEGMENT_HEADER_MAX);
	assert_int_equal(segment_header_decode(buf_str(&out), &key, &read, &name), needed);
	assert_true(str_equal(read.mailbox, names[2]));
}

static void starts_are_told_apart(void **state)
{
	(void)state;
	for (int codec = SEGMENT_RAW; codec <= SEGMENT_ZSTD; codec++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(200);
		uint64_t number = 0;
		enum segment_codec read_codec;
		struct segment_key read_key;
		segment_start_encode(&out, 9999999999, (enum segment_codec)codec, &key);
		assert_int_equal(segment_start_decode(buf_str(&out), &number, &read_codec, &read_key), out.length);
		assert_int_equal(number, 9999999999);
		assert_int_equal(read_codec, codec);
		assert_memory_equal(&read_key, &key, sizeof key);
		assert_int_equal(
			segment_start_decode(str_first(buf_str(&out), out.length - 1), &number, &read_codec, &read_key), 0);
	}
}

static void headers_are_found(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	buf_add_str(&out, STR("100% of something %posthorn but not "));
	size_t raw = out.length;
	struct segment_header header = example();
	segment_header_encode(&out, &header, &key, 0);
	size_t framed = out.length;
	header.codec = SEGMENT_ZSTD;
	segment_header_encode(&out, &header, &key, 0);
	assert_int_equal(segment_find(buf_str(&out), 0), raw);
	assert_int_equal(segment_find(buf_str(&out), raw), raw);
	assert_int_equal(segment_find(buf_str(&out), raw + 1), framed);
	assert_int_equal(segment_find(buf_str(&out), framed + 9), out.length);
	/* cut in the middle of the magic it may be one */
	assert_int_equal(segment_find(str_first(buf_str(&out), raw + 5), 0), raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_reads_back_as_written),
		cmocka_unit_test(the_text_is_as_documented),
		cmocka_unit_test(every_changed_byte_is_noticed),
		cmocka_unit_test(another_key_is_another_account),
		cmocka_unit_test(a_header_fits_the_room_it_had),
		cmocka_unit_test(starts_are_told_apart),
		cmocka_unit_test(headers_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
