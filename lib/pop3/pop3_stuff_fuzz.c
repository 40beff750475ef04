/* Dot-stuffing: there and back gives the same bytes and a final CRLF, whatever the chunks; the end occurs once. */
#include "buf.h"
#include "stuff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Chunk sizes that differ from one to the next. */
static size_t next_size(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return 1 + (*seed >> 16) % 7;
}

static struct str next_chunk(struct str *rest, unsigned *seed)
{
	struct str chunk = *seed ? str_first(*rest, next_size(seed)) : *rest;
	*rest = str_from_index(*rest, chunk.length);
	return chunk;
}

static uint64_t stuff(struct str text, unsigned seed, struct buf *out)
{
	struct pop3_stuffer s = {};
	struct str piece;
	while (text.length) {
		struct str chunk = next_chunk(&text, &seed);
		while (pop3_stuff_next(&s, &chunk, &piece))
			buf_add_str(out, piece);
	}
	buf_add_str(out, pop3_stuff_end(&s));
	return s.octets;
}

/* Returns how much of the text was used up; all where there is no end. */
static size_t unstuff(struct str text, unsigned seed, struct buf *out, bool *ended)
{
	struct pop3_unstuffer u = {};
	struct str piece, rest = text;
	size_t unused = 0;
	while (rest.length && !u.ended) {
		struct str chunk = next_chunk(&rest, &seed);
		while (pop3_unstuff_next(&u, &chunk, &piece))
			buf_add_str(out, piece);
		unused = chunk.length;
	}
	*ended = u.ended;
	return text.length - rest.length - unused;
}

static size_t top_length(struct str text, unsigned seed, uint64_t lines)
{
	struct pop3_top top = pop3_top_init(lines);
	size_t total = 0, taken = 0, given = 0;
	while (text.length && taken == given) {
		struct str chunk = next_chunk(&text, &seed);
		given = chunk.length;
		taken = pop3_top_take(&top, chunk);
		total += taken;
	}
	return total;
}

static void check_round_trip(struct str text, unsigned seed)
{
	bool ended;
	CLEANUP(buf_release) struct buf whole = BUF_WITH_LIMIT(1 << 22), cut = BUF_WITH_LIMIT(1 << 22);
	CLEANUP(buf_release) struct buf back = BUF_WITH_LIMIT(1 << 22);
	uint64_t octets = stuff(text, 0, &whole);
	must(stuff(text, seed, &cut) == octets && str_equal(buf_str(&whole), buf_str(&cut)));
	must(whole.length == 3 || str_find(buf_str(&whole), STR("\r\n.\r\n")) == whole.length - 5);
	buf_add_str(&whole, STR("+OK\r\n"));
	must(unstuff(buf_str(&whole), seed, &back, &ended) == whole.length - 5 && ended);
	must(back.length == octets && str_starts(buf_str(&back), text));
	bool complete = text.length == 0 || str_ends_nocase(text, STR("\r\n"));
	must(str_equal(str_from_index(buf_str(&back), text.length), complete ? STR("") : STR("\r\n")));
}

static void check_reading(struct str text, unsigned seed)
{
	bool ended, cut_ended;
	CLEANUP(buf_release) struct buf whole = BUF_WITH_LIMIT(1 << 22), cut = BUF_WITH_LIMIT(1 << 22);
	must(unstuff(text, 0, &whole, &ended) == unstuff(text, seed, &cut, &cut_ended) && ended == cut_ended);
	must(str_equal(buf_str(&whole), buf_str(&cut)) && whole.length <= text.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	unsigned seed = data[0] + 1u;
	struct str text = str_from((const char *)data + 2, size - 2);
	check_round_trip(text, seed);
	check_reading(text, seed);
	must(top_length(text, 0, data[1]) == top_length(text, seed, data[1]));
	must(top_length(text, 0, data[1]) <= top_length(text, 0, data[1] + 1u));
	return 0;
}
