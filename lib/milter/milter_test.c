#include "milter_wire.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* A packet from its text, whose NULs are written \0. */
#define PACKET(kind, text) packet(kind, text, sizeof(text) - 1)

static struct buf packets;

static struct str packet(char kind, const char *data, size_t length)
{
	uint32_t size = (uint32_t)length + 1;
	buf_clear(&packets);
	for (unsigned i = 0; i < 4; i++)
		buf_add_char(&packets, (char)(size >> (24 - 8 * i)));
	buf_add_char(&packets, kind);
	buf_append(&packets, data, length);
	return buf_str(&packets);
}

static int set_up(void **state)
{
	(void)state;
	buf_init(&packets, 4u << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_release(&packets);
	return 0;
}

static void requests_are_read_as_written(void **state)
{
	static const struct milter_request requests[] = {
		{ .command = MILTER_OPTIONS, .options = { 6, 0x33, 0x1fffff } },
		{ .command = MILTER_CONNECT, .family = '4', .port = 2525, .arguments = { STR("mx.example.org"), STR("192.0.2.1") }, .argument_count = 2 },
		{ .command = MILTER_CONNECT, .family = '6', .arguments = { STR("unknown"), STR("2001:db8::1") }, .argument_count = 2 },
		{ .command = MILTER_CONNECT, .family = 'U', .arguments = { STR("unknown") }, .argument_count = 1 },
		{ .command = MILTER_HELO, .arguments = { STR("client.test") }, .argument_count = 1 },
		{ .command = MILTER_MACROS, .macros_for = MILTER_MAIL, .arguments = { STR("i"), STR("1"), STR("{a}"), STR("") }, .argument_count = 4 },
		{ .command = MILTER_MACROS, .macros_for = MILTER_END },
		{ .command = MILTER_MAIL, .arguments = { STR("<>"), STR("SIZE=10") }, .argument_count = 2 },
		{ .command = MILTER_RCPT, .arguments = { STR("<a@b.test>") }, .argument_count = 1 },
		{ .command = MILTER_DATA },
		{ .command = MILTER_UNKNOWN, .arguments = { STR("XYZ a b") }, .argument_count = 1 },
		{ .command = MILTER_HEADER, .arguments = { STR("Subject"), STR("a\n\tb") }, .argument_count = 2 },
		{ .command = MILTER_END_OF_HEADER },
		{ .command = MILTER_BODY, .body = STR("a\0b\r\n") },
		{ .command = MILTER_END },
		{ .command = MILTER_ABORT },
		{ .command = MILTER_QUIT },
	};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100000);
	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		struct milter_request read;
		size_t used;
		buf_clear(&out);
		milter_request_write(&out, &requests[i]);
		for (size_t length = 0; length < out.length; length++)
			assert_int_equal(milter_request_read(str_first(buf_str(&out), length), &used, &read), MILTER_MORE);
		assert_int_equal(milter_request_read(buf_str(&out), &used, &read), MILTER_ANSWER);
		assert_int_equal(used, out.length);
		assert_int_equal(read.command, requests[i].command);
		assert_int_equal(read.argument_count, requests[i].argument_count);
		for (size_t k = 0; k < read.argument_count; k++)
			assert_true(str_equal(read.arguments[k], requests[i].arguments[k]));
		assert_true(str_equal(read.body, requests[i].body));
		assert_int_equal(read.options.protocol, requests[i].options.protocol);
		assert_int_equal(read.family, requests[i].family);
		assert_int_equal(read.port, requests[i].port);
		assert_int_equal(read.macros_for, requests[i].macros_for);
	}
}

static void bad_requests(void **state)
{
	static const struct {
		char kind;
		const char *data;
		size_t length;
	} cases[] = {
		{ 'X', "", 0 }, { 'O', "\0\0\0\6", 4 }, { 'H', "name", 4 }, { 'H', "a\0b\0", 4 }, { 'H', "", 0 }, { 'C', "host\0", 5 },
		{ 'C', "host\0" "9\0\0x\0", 10 }, { 'C', "host\0" "4\0\0x", 9 }, { 'C', "host\0Ux", 7 }, { 'L', "name\0", 5 }, { 'D', "", 0 },
		{ 'D', "Ma\0", 3 }, { 'M', "", 0 }, { 'N', "x", 1 }, { 'T', "x", 1 }, { 'U', "x", 1 }, { 'Q', "x", 1 },
	};
	struct milter_request read;
	size_t used;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (milter_request_read(packet(cases[i].kind, cases[i].data, cases[i].length), &used, &read) != MILTER_BAD)
			fail_msg("case %zu", i);
}

static void answers_are_read_as_written(void **state)
{
	static const struct milter_answer answers[] = {
		{ .kind = MILTER_CONTINUE }, { .kind = MILTER_ACCEPT }, { .kind = MILTER_REJECT }, { .kind = MILTER_TEMPFAIL },
		{ .kind = MILTER_DISCARD }, { .kind = MILTER_SKIP }, { .kind = MILTER_PROGRESS }, { .kind = MILTER_SHUTDOWN },
		{ .kind = (enum milter_answer_kind)MILTER_OPTIONS, .options = { 6, 0x11, 0x7f } },
		{ .kind = MILTER_ADD_HEADER, .name = STR("X-A"), .value = STR("b\n\tc") },
		{ .kind = MILTER_INSERT_HEADER, .index = 3, .name = STR("X-A"), .value = STR("") },
		{ .kind = MILTER_CHANGE_HEADER, .index = 1u << 31, .name = STR("X-A"), .value = STR("b") },
		{ .kind = MILTER_REPLACE_BODY, .value = STR("x\0y") },
		{ .kind = MILTER_QUARANTINE, .value = STR("why") },
		{ .kind = MILTER_ADD_RECIPIENT, .value = STR("<a@b.test>") },
		{ .kind = MILTER_DELETE_RECIPIENT, .value = STR("<a@b.test>") },
		{ .kind = MILTER_CHANGE_SENDER, .value = STR("<a@b.test>"), .name = STR("SIZE=1") },
		{ .kind = MILTER_REPLY_CODE, .code = 550, .status = STR("5.7.1"), .text = STR("go away") },
	};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100000);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	(void)state;
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		struct milter_answer read;
		size_t used;
		buf_clear(&out);
		milter_answer_write(&out, &answers[i]);
		assert_int_equal(milter_answer_read(str_first(buf_str(&out), out.length - 1), &used, &text, &read),
		                 MILTER_MORE);
		assert_int_equal(milter_answer_read(buf_str(&out), &used, &text, &read), MILTER_ANSWER);
		assert_int_equal(used, out.length);
		assert_int_equal(read.kind, answers[i].kind);
		assert_int_equal(read.index, answers[i].index);
		assert_int_equal(read.code, answers[i].code);
		assert_int_equal(read.options.actions, answers[i].options.actions);
		assert_true(str_equal(read.name, answers[i].name));
		assert_true(str_equal(read.value, answers[i].value));
		assert_true(str_equal(read.status, answers[i].status));
		assert_true(str_equal(read.text, answers[i].text));
	}
}

static void reply_codes(void **state)
{
	static const struct {
		const char *data;
		size_t length;
		int code; /* 0: bad */
		const char *status, *text;
	} cases[] = {
#define CASE(text_, ...) { text_, sizeof(text_) - 1, __VA_ARGS__ }
		CASE("451 4.7.1 later\0", 451, "4.7.1", "later"), CASE("550 no\0", 550, "", "no"), CASE("550\0", 550, "", ""),
		CASE("550 5.7.1\0", 550, "5.7.1", ""), CASE("550-5.7.1 one\r\n550 5.7.1 two\0", 550, "5.7.1", "one two"),
		CASE("550 4.7.1 x\0", 550, "", "4.7.1 x"), CASE("550 5.7 x\0", 550, "", "5.7 x"), CASE("250 ok\0", 0, NULL, NULL),
		CASE("550 x", 0, NULL, NULL), CASE("\0", 0, NULL, NULL), CASE("5x0 a\0", 0, NULL, NULL), CASE("5500 a\0", 0, NULL, NULL),
		CASE("550-a\r\n450 b\0", 0, NULL, NULL), CASE("550 a\0b\0", 0, NULL, NULL),
#undef CASE
	};
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	struct milter_answer read;
	size_t used;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum milter_event event = milter_answer_read(packet('y', cases[i].data, cases[i].length), &used, &text, &read);
		if (event != (cases[i].code ? MILTER_ANSWER : MILTER_BAD))
			fail_msg("case %zu: event %d", i, (int)event);
		if (!cases[i].code)
			continue;
		assert_int_equal(read.code, cases[i].code);
		assert_true(str_equal(read.status, str_of(cases[i].status)));
		assert_true(str_equal(read.text, str_of(cases[i].text)));
	}
}

static void bad_answers(void **state)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	struct milter_answer read;
	size_t used;
	(void)state;
	assert_int_equal(milter_answer_read(PACKET('Z', ""), &used, &text, &read), MILTER_BAD);
	assert_int_equal(milter_answer_read(PACKET('c', "x"), &used, &text, &read), MILTER_BAD);
	assert_int_equal(milter_answer_read(PACKET('h', "name\0value"), &used, &text, &read), MILTER_BAD);
	assert_int_equal(milter_answer_read(PACKET('h', "\0value\0"), &used, &text, &read), MILTER_BAD);
	assert_int_equal(milter_answer_read(PACKET('m', "\0\0\0"), &used, &text, &read), MILTER_BAD);
	assert_int_equal(milter_answer_read(PACKET('O', "\0\0\0\6\0\0\0\0\0\0\0"), &used, &text, &read), MILTER_BAD);
	assert_int_equal(milter_answer_read(PACKET('O', "\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\1i j"), &used, &text, &read),
	                 MILTER_BAD);
	assert_int_equal(milter_answer_read(PACKET('O', "\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\1i j\0"), &used, &text, &read),
	                 MILTER_ANSWER);
	assert_int_equal(milter_answer_read(STR("\0\0\0\0"), &used, &text, &read), MILTER_BAD);
}

/* A length that is too large is known to be wrong before the octets have come. */
static void limit_of_packets(void **state)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	struct milter_answer read;
	size_t used;
	(void)state;
	for (uint32_t length = LIMIT_MILTER_PACKET_MAX; length <= LIMIT_MILTER_PACKET_MAX + 1; length++) {
		char head[4] = { (char)(length >> 24), (char)(length >> 16), (char)(length >> 8), (char)length };
		assert_int_equal(milter_answer_read(str_from(head, 4), &used, &text, &read),
		                 length <= LIMIT_MILTER_PACKET_MAX ? MILTER_MORE : MILTER_BAD);
	}
}

/* ---- the server's side ---- */

static void ask(struct milter_client *c, enum milter_command command, bool awaits)
{
	const struct milter_request request = { .command = command, .arguments = { STR("a"), STR("b") },
		                                    .argument_count = command == MILTER_HEADER ? 2 : command == MILTER_OPTIONS ? 0 : 1,
		                                    .options = { MILTER_VERSION, 0x33, 0x1ff7ff } };
	assert_int_equal(milter_client_ask(c, &request), awaits);
}

static enum milter_event answer(struct milter_client *c, char kind)
{
	struct milter_answer read;
	size_t used;
	if (kind == 'h')
		return milter_client_read(c, PACKET('h', "a\0b\0"), &used, &read);
	return milter_client_read(c, packet(kind, "", 0), &used, &read);
}

static void agree(struct milter_client *c, const char *options, enum milter_event event)
{
	struct milter_answer read;
	size_t used;
	milter_client_init(c);
	ask(c, MILTER_OPTIONS, true);
	assert_int_equal(milter_client_read(c, packet('O', options, 12), &used, &read), event);
}

static void what_was_agreed(void **state)
{
	struct milter_client c;
	(void)state;
	agree(&c, "\0\0\0\6\0\0\1\x11\0\0\0\x82", MILTER_ANSWER); /* no HELO, headers are not answered */
	assert_int_equal(c.agreed.actions, 0x11);
	buf_clear(&c.out);
	ask(&c, MILTER_HELO, false);
	assert_int_equal(c.out.length, 0);
	ask(&c, MILTER_HEADER, false);
	assert_int_equal(c.out.length, 4 + 1 + 4);
	ask(&c, MILTER_MAIL, true);
	assert_int_equal(answer(&c, 'c'), MILTER_ANSWER);
	assert_false(c.awaits);
	milter_client_release(&c);
	struct str names;
	assert_false(milter_client_macros(&c, MILTER_MAIL, &names));
	milter_client_release(&c);
	agree(&c, "\0\0\0\7\0\0\0\x11\0\0\0\0", MILTER_BAD);
	milter_client_release(&c);
	agree(&c, "\0\0\0\1\0\0\0\x11\0\0\0\0", MILTER_BAD);
	milter_client_release(&c);
}

/* Of the stages that the filter names; without its leave to choose the list counts for nothing. */
static void macros_are_chosen(void **state)
{
	static const struct str lists = STR("\0\0\0\2i {auth_type}\0\0\0\0\5\0\0\0\0\1{cipher}\0");
	(void)state;
	for (uint32_t actions = 0x11; actions <= 0x111; actions += 0x100) {
		CLEANUP(buf_release) struct buf packet = BUF_WITH_LIMIT(1000);
		struct milter_answer read;
		struct milter_client c;
		struct str names;
		size_t used;
		milter_client_init(&c);
		assert_true(milter_client_ask(&c, &(struct milter_request){ .command = MILTER_OPTIONS, .options = { MILTER_VERSION, 0x1ff, 0 } }));
		milter_answer_write(&packet, &(struct milter_answer){ .kind = (enum milter_answer_kind)MILTER_OPTIONS, .options = { 6, actions, 0 }, .macros = lists });
		assert_int_equal(milter_client_read(&c, buf_str(&packet), &used, &read), MILTER_ANSWER);
		bool chooses = actions & MILTER_MAY_CHOOSE_MACROS;
		assert_int_equal(milter_client_macros(&c, MILTER_MAIL, &names), chooses);
		assert_true(!chooses || str_equal(names, STR("i {auth_type}")));
		assert_int_equal(milter_client_macros(&c, MILTER_END, &names), chooses);
		assert_true(!chooses || names.length == 0);
		assert_int_equal(milter_client_macros(&c, MILTER_HELO, &names), chooses);
		assert_false(milter_client_macros(&c, MILTER_CONNECT, &names));
		milter_client_release(&c);
	}
}

static void what_may_stand_where(void **state)
{
	static const struct {
		enum milter_command asked;
		char kind;
		bool good;
	} cases[] = {
		{ MILTER_MAIL, 'c', true },  { MILTER_MAIL, 'p', true },   { MILTER_MAIL, 'h', false },
		{ MILTER_MAIL, 's', false }, { MILTER_MAIL, 'd', true },   { MILTER_HELO, 'd', false },
		{ MILTER_HELO, 'r', true },  { MILTER_BODY, 's', true },   { MILTER_BODY, 'h', false },
		{ MILTER_END, 'h', true },   { MILTER_END, 's', false },   { MILTER_END, 'O', false },
		{ MILTER_END, 'a', true },   { MILTER_HEADER, 'a', true },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct milter_client c;
		agree(&c, "\0\0\0\6\0\0\0\x33\0\0\x04\0", MILTER_ANSWER);
		assert_int_equal(answer(&c, 'c'), MILTER_BAD); /* nobody asked */
		ask(&c, cases[i].asked, true);
		if (answer(&c, cases[i].kind) != (cases[i].good ? MILTER_ANSWER : MILTER_BAD))
			fail_msg("%c after %c", cases[i].kind, (char)cases[i].asked);
		if (cases[i].good)
			assert_int_equal(c.awaits, cases[i].kind == 'p' || cases[i].kind == 'h');
		milter_client_release(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_read_as_written), cmocka_unit_test(bad_requests), cmocka_unit_test(answers_are_read_as_written),
		cmocka_unit_test(reply_codes), cmocka_unit_test(bad_answers), cmocka_unit_test(limit_of_packets), cmocka_unit_test(what_was_agreed),
		cmocka_unit_test(macros_are_chosen),
		cmocka_unit_test(what_may_stand_where),
	};
	return cmocka_run_group_tests_name("milter", tests, set_up, tear_down);
}
