#include "smtp_data.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { OUT_LIMIT = 1 << 20 };

/* A small generator of our own, so that a failing run can be repeated. */
static uint32_t random_state = 1;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % below;
}

/* Reads input in pieces of piece octets (0: random ones). Returns how many octets belonged to the content. */
static size_t read_in_pieces(struct smtp_data *d, struct str input, size_t piece, struct buf *out)
{
	size_t position = 0;
	while (position < input.length) {
		size_t length = piece ? piece : 1 + next_random(40), used;
		/* an exact copy, so that the address sanitizer sees any look beyond the piece */
		struct str part = str_first(str_from_index(input, position), length);
		char *copy = malloc(part.length);
		memcpy(copy, part.data, part.length);
		bool end = smtp_data_read(d, str_from(copy, part.length), &used, out);
		free(copy);
		position += used;
		if (end)
			break;
		assert_int_equal(used, part.length);
	}
	return position;
}

static bool ended(const struct smtp_data *d)
{
	return d->state == SMTP_DATA_END;
}

/* What a reader must say of an input, found the slow way over the whole of it. */
struct expectation {
	bool ended, bare;
	size_t used;
	uint64_t bare_offset;
	struct buf content;
};

static void expect(struct str in, struct expectation *e)
{
	*e = (struct expectation){ .content = BUF_WITH_LIMIT(OUT_LIMIT) };
	for (size_t i = 0; i < in.length; i++) {
		bool start = i == 0 || (i >= 2 && in.data[i - 2] == '\r' && in.data[i - 1] == '\n');
		if (start && str_starts(str_from_index(in, i), STR(".\r\n"))) {
			e->ended = true;
			e->used = i + 3;
			return;
		}
		if (start && in.data[i] == '.')
			continue;
		bool bare = (in.data[i] == '\r' && (i + 1 == in.length || in.data[i + 1] != '\n')) ||
		            (in.data[i] == '\n' && (i == 0 || in.data[i - 1] != '\r'));
		if (bare && !e->bare)
			e->bare_offset = i;
		e->bare |= bare;
		buf_append(&e->content, bare ? "\r\n" : in.data + i, bare ? 2 : 1);
	}
	e->used = in.length;
}

static void compare(struct str input, size_t piece)
{
	for (int policy = SMTP_DATA_REFUSE; policy <= SMTP_DATA_NORMALISE; policy++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(OUT_LIMIT);
		struct expectation e;
		struct smtp_data d;
		expect(input, &e);
		smtp_data_begin(&d, SMTP_DATA_DOTTED, (enum smtp_data_policy)policy, OUT_LIMIT);
		size_t used = read_in_pieces(&d, input, piece, &out);
		assert_int_equal(ended(&d), e.ended);
		assert_int_equal(used, e.used);
		assert_int_equal(d.bare, e.bare);
		if (e.bare)
			assert_int_equal(d.bare_offset, e.bare_offset);
		if (!e.bare || policy == SMTP_DATA_NORMALISE) {
			assert_true(str_equal(buf_str(&out), buf_str(&e.content)));
			assert_int_equal(d.octets, out.length);
		}
		assert_int_equal(smtp_data_verdict(&d) != NULL, e.bare && policy == SMTP_DATA_REFUSE);
		buf_release(&e.content);
	}
}

/* Named ways to smuggle a second message: only CRLF.CRLF ends, whatever the split. */
static void smuggling(void **state)
{
	(void)state;
	static const struct {
		const char *input;
		size_t end; /* octets of content, 0 for no end */
		bool bare;
		const char *normalised;
	} cases[] = {
		{ "a\r\n.\r\nMAIL", 6, false, "a\r\n" },
		{ ".\r\n", 3, false, "" },
		{ "\r\n.\r\n", 5, false, "\r\n" },
		{ "a\n.\nb\r\n.\r\n", 10, true, "a\r\n.\r\nb\r\n" },
		{ "a\n.\r\nb\r\n.\r\n", 11, true, "a\r\n.\r\nb\r\n" },
		{ "a\r\n.\nb\r\n.\r\n", 11, true, "a\r\n\r\nb\r\n" },
		{ "a\r.\rb\r\n.\r\n", 10, true, "a\r\n.\r\nb\r\n" },
		{ "a\r.\r\nb\r\n.\r\n", 11, true, "a\r\n.\r\nb\r\n" },
		{ "a\r\n.\rb\r\n.\r\n", 11, true, "a\r\n\r\nb\r\n" },
		{ "a\r\n.\r\r\nb\r\n.\r\n", 13, true, "a\r\n\r\n\r\nb\r\n" },
		{ "a\r\r\n.\r\n", 7, true, "a\r\n\r\n" },
		{ "a\n\r\n.\r\n", 7, true, "a\r\n\r\n" },
		{ "a\r\n.\r", 0, false, NULL },
		{ "a\r\n.", 0, false, NULL },
		{ "a.\r\n", 0, false, NULL },
		{ "a\n\n.\n\n", 0, true, NULL },
		{ ".\n.\r\n", 0, true, NULL },
		{ "a\r\n..\r\n.\r\n", 10, false, "a\r\n.\r\n" },
		{ "a\r\n...b\r\n.c\r\n.\r\n", 16, false, "a\r\n..b\r\nc\r\n" },
		{ "a\r\n. \r\n.\r\n", 10, false, "a\r\n \r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str input = str_of(cases[i].input);
		for (size_t split = 1; split <= input.length; split++) {
			CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(OUT_LIMIT);
			struct smtp_data d;
			smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_NORMALISE, OUT_LIMIT);
			size_t used = read_in_pieces(&d, str_first(input, split), split, &out);
			if (!ended(&d))
				used += read_in_pieces(&d, str_from_index(input, split), input.length, &out);
			assert_int_equal(ended(&d) ? used : 0, cases[i].end);
			assert_int_equal(d.bare, cases[i].bare);
			if (cases[i].normalised)
				assert_string_equal(buf_text(&out), cases[i].normalised);
		}
		if (cases[i].end)
			compare(input, 1);
	}
}

/* Every string of up to seven of the octets that matter, whole and octet by octet. */
static void exhaustive(void **state)
{
	(void)state;
	static const char alphabet[] = "\r\n.x";
	for (unsigned length = 1; length <= 7; length++)
		for (unsigned number = 0; number < 1u << 2 * length; number++) {
			char text[16];
			for (unsigned i = 0; i < length; i++)
				text[i] = alphabet[number >> 2 * i & 3];
			memcpy(text + length, "\r\n.\r\n", 5);
			compare(str_from(text, length + 5), length + 5);
			compare(str_from(text, length + 5), 1);
		}
}

static void add_random_text(struct buf *out, size_t length, bool clean)
{
	static const char *const pieces[] = { "\r\n", ".", "\r\n.", "\r\n..", "word ", "x", "\r", "\n", "\n.", "." };
	size_t choices = clean ? 6 : COUNT_OF(pieces);
	while (out->length < length) {
		if (next_random(4) == 0)
			for (uint32_t n = next_random(200); n > 0; n--)
				buf_add_char(out, (char)('a' + n % 26));
		buf_add_str(out, str_of(pieces[next_random((uint32_t)choices)]));
	}
}

static void random_splits(void **state)
{
	(void)state;
	for (size_t round = 0; round < 1500; round++) {
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(OUT_LIMIT);
		add_random_text(&text, next_random(1500), round % 2);
		buf_add_str(&text, STR("\r\n.\r\nQUIT\r\n"));
		compare(buf_str(&text), round % 3 ? 0 : text.length);
	}
}

/* What the writer writes, the reader reads back. */
static void round_trips(void **state)
{
	(void)state;
	for (size_t round = 0; round < 1500; round++) {
		CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(OUT_LIMIT), wire = BUF_WITH_LIMIT(OUT_LIMIT);
		CLEANUP(buf_release) struct buf back = BUF_WITH_LIMIT(OUT_LIMIT);
		add_random_text(&content, next_random(1500), true);
		struct smtp_stuffer s = {};
		for (struct str rest = buf_str(&content); rest.length;) {
			struct str part = str_first(rest, 1 + next_random(200));
			smtp_stuff_add(&s, part, &wire);
			rest = str_from_index(rest, part.length);
		}
		smtp_stuff_end(&s, &wire);
		struct smtp_data d;
		smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, OUT_LIMIT);
		assert_int_equal(read_in_pieces(&d, buf_str(&wire), 0, &back), wire.length);
		assert_true(ended(&d));
		assert_false(d.bare);
		if (content.length && !str_ends_nocase(buf_str(&content), STR("\r\n")))
			buf_add_str(&content, STR("\r\n"));
		assert_true(str_equal(buf_str(&back), buf_str(&content)));
	}
}

static void writer(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "", ".\r\n" }, { "a", "a\r\n.\r\n" }, { "a\r\n", "a\r\n.\r\n" }, { ".", "..\r\n.\r\n" },
		{ ".\r\n.\r\n", "..\r\n..\r\n.\r\n" }, { "a\r\n..b", "a\r\n...b\r\n.\r\n" }, { "a.\r\n", "a.\r\n.\r\n" },
		{ "a\n.b\n", "a\n.b\n\r\n.\r\n" }, { "a\r", "a\r\r\n.\r\n" }, { "\r\n", "\r\n.\r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t split = 0; split <= strlen(cases[i][0]); split++) {
			CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
			struct smtp_stuffer s = {};
			smtp_stuff_add(&s, str_first(str_of(cases[i][0]), split), &out);
			smtp_stuff_add(&s, str_from_index(str_of(cases[i][0]), split), &out);
			smtp_stuff_end(&s, &out);
			assert_string_equal(buf_text(&out), cases[i][1]);
		}
}

static void size_limit(void **state)
{
	(void)state;
	for (size_t size = 9; size <= 11; size++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		struct smtp_data d;
		struct str input = str_first(STR("123456789ab"), size);
		smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, 12);
		read_in_pieces(&d, input, 1, &out);
		read_in_pieces(&d, STR("\r\n.\r\n"), 5, &out);
		assert_true(ended(&d));
		assert_int_equal(d.octets, size + 2);
		assert_int_equal(d.too_big, size > 10);
		const struct smtp_reply *verdict = smtp_data_verdict(&d);
		assert_int_equal(verdict ? verdict->code : 0, size > 10 ? 552 : 0);
		assert_true(out.length <= 12);
	}
}

/* Beyond the limit everything is read, nothing kept, and the end is found. */
static void drains(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 16), line = BUF_WITH_LIMIT(1 << 12);
	struct smtp_data d;
	size_t used;
	for (size_t i = 0; i < 100; i++)
		buf_add_str(&line, STR("..and so on\r\n"));
	smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, 5000);
	for (size_t i = 0; i < 1000; i++)
		assert_false(smtp_data_read(&d, buf_str(&line), &used, &out));
	assert_true(smtp_data_read(&d, STR(".\r\nRSET\r\n"), &used, &out));
	assert_int_equal(used, 3);
	assert_int_equal(d.octets, 1000 * 100 * 12);
	assert_int_equal(d.lines, 100000);
	assert_true(out.length <= 5000);
	assert_int_equal(smtp_data_verdict(&d)->code, 552);
	assert_string_equal(smtp_data_verdict(&d)->enhanced, "5.3.4");
}

/* A buffer that the caller made too small is no reason to lose step. */
static void full_buffer(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4);
	struct smtp_data d;
	size_t used;
	smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, 100);
	assert_true(smtp_data_read(&d, STR("abcdef\r\n.\r\n"), &used, &out));
	assert_true(d.too_big);
}

static void notes(void **state)
{
	(void)state;
	for (size_t at = 0; at < 300; at++) {
		for (size_t piece = 1; piece <= 300; piece += 299) {
			char text[305];
			memset(text, 'x', sizeof text);
			memcpy(text + 300, "\r\n.\r\n", 5);
			CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(OUT_LIMIT);
			struct smtp_data d;
			text[at] = '\0';
			smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, OUT_LIMIT);
			read_in_pieces(&d, str_from(text, sizeof text), piece, &out);
			assert_true(d.has_nul && !d.has_8bit && !d.has_long_line && d.lines == 1);
			text[at] = (char)0x80;
			smtp_data_begin(&d, SMTP_DATA_TEXT, SMTP_DATA_REFUSE, OUT_LIMIT);
			read_in_pieces(&d, str_from(text, sizeof text), piece, &out);
			assert_true(d.has_8bit && !d.has_nul && d.lines == 2);
		}
	}
}

/* What stands behind the final dot is not content and leaves no note. */
static void nothing_noted_behind_end(void **state)
{
	(void)state;
	char text[400] = "a\r\n.\r\n\x80\n\r";
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(OUT_LIMIT);
	struct smtp_data d;
	size_t used;
	smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, OUT_LIMIT);
	assert_true(smtp_data_read(&d, str_from(text, sizeof text), &used, &out));
	assert_int_equal(used, 6);
	assert_false(d.has_nul || d.has_8bit || d.bare || d.has_long_line);
	assert_int_equal(d.lines, 1);
}

static bool long_line_noted(size_t before, size_t length, size_t piece)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(OUT_LIMIT), out = BUF_WITH_LIMIT(OUT_LIMIT);
	for (size_t i = 0; i < before; i++)
		buf_add_str(&text, STR("short\r\n"));
	for (size_t i = 0; i < length; i++)
		buf_add_char(&text, 'l');
	buf_add_str(&text, STR("\r\nshort\r\n.\r\n"));
	struct smtp_data d;
	smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, OUT_LIMIT);
	read_in_pieces(&d, buf_str(&text), piece ? piece : text.length, &out);
	assert_true(ended(&d));
	assert_int_equal(d.lines, before + 2);
	return d.has_long_line;
}

/* RFC 5321 §4.5.3.1.6: 1000 octets with CRLF. */
static void long_lines(void **state)
{
	(void)state;
	static const size_t pieces[] = { 0, 1, 7, 999, 1000, 1001 };
	for (size_t i = 0; i < COUNT_OF(pieces); i++)
		for (size_t before = 0; before < 400; before += 133) {
			assert_false(long_line_noted(before, 998, pieces[i]));
			assert_true(long_line_noted(before, 999, pieces[i]));
			assert_true(long_line_noted(before, 5000, pieces[i]));
		}
}

/* BDAT: no dots, and line ends are checked over the borders of chunks. */
static void chunks(void **state)
{
	(void)state;
	static const struct {
		enum smtp_data_form form;
		enum smtp_data_policy policy;
		const char *input, *content;
		bool bare;
		uint64_t offset;
	} cases[] = {
		{ SMTP_DATA_TEXT, SMTP_DATA_REFUSE, "a\r\n.\r\nb\r\n..c\r\n", "a\r\n.\r\nb\r\n..c\r\n", false, 0 },
		{ SMTP_DATA_TEXT, SMTP_DATA_REFUSE, "", "", false, 0 },
		{ SMTP_DATA_TEXT, SMTP_DATA_REFUSE, "a", "a", false, 0 },
		{ SMTP_DATA_TEXT, SMTP_DATA_REFUSE, "a\nb", NULL, true, 1 },
		{ SMTP_DATA_TEXT, SMTP_DATA_REFUSE, "ab\r", NULL, true, 2 },
		{ SMTP_DATA_TEXT, SMTP_DATA_REFUSE, "\r\n\rb", NULL, true, 2 },
		{ SMTP_DATA_TEXT, SMTP_DATA_NORMALISE, "a\nb\rc\r\n", "a\r\nb\r\nc\r\n", true, 1 },
		{ SMTP_DATA_TEXT, SMTP_DATA_NORMALISE, "ab\r", "ab\r\n", true, 2 },
		{ SMTP_DATA_TEXT, SMTP_DATA_NORMALISE, "ab\n", "ab\r\n", true, 2 },
		{ SMTP_DATA_BINARY, SMTP_DATA_REFUSE, "a\n\rb\r", "a\n\rb\r", false, 0 },
		{ SMTP_DATA_BINARY, SMTP_DATA_REFUSE, "a\n\r\n", "a\n\r\n", false, 0 },
		{ SMTP_DATA_BINARY, SMTP_DATA_REFUSE, "a\n", "a\n", false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t piece = 1; piece <= strlen(cases[i].input) + 1; piece++) {
			CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
			struct smtp_data d;
			smtp_data_begin(&d, cases[i].form, cases[i].policy, 1000);
			read_in_pieces(&d, str_of(cases[i].input), piece, &out);
			smtp_data_finish(&d, &out);
			assert_int_equal(d.bare, cases[i].bare);
			assert_int_equal(d.bare_offset, cases[i].offset);
			if (cases[i].content) {
				assert_string_equal(buf_text(&out), cases[i].content);
				assert_int_equal(d.octets, out.length);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smuggling),     cmocka_unit_test(exhaustive),
		cmocka_unit_test(random_splits), cmocka_unit_test(round_trips),
		cmocka_unit_test(writer),        cmocka_unit_test(size_limit),
		cmocka_unit_test(drains),        cmocka_unit_test(full_buffer),
		cmocka_unit_test(notes),         cmocka_unit_test(nothing_noted_behind_end),
		cmocka_unit_test(long_lines),    cmocka_unit_test(chunks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
