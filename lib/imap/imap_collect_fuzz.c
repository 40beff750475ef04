/* A client's bytes in pieces of any size: the same commands come of them, nothing is looked at beyond a command's
 * end, memory stays within the limits, and each octet is taken exactly once. */
#include "imap_collect.h"

#include "limits.h"

static const struct imap_collect_limits limits = {
	.line_max = LIMIT_IMAP_TAG_MAX, .literals_max = 64, .message_max = 100, .plus_max = 32, .discard_max = 500,
};

/* What came of it, as text. */
struct outcome {
	struct buf text;
	bool over;
};

static void note(struct outcome *o, const struct imap_collector *c, enum imap_collected what, size_t taken)
{
	buf_printf(&o->text, "<%d %zu ", (int)what, taken);
	if (what == IMAP_MESSAGE)
		buf_printf(&o->text, "%u %d%d", (unsigned)c->message_size, c->message_waits, c->message_is_literal8);
	if (what == IMAP_LINE_TOO_LONG || what == IMAP_TAKES_TOO_LONG)
		buf_add_str(&o->text, imap_tag_of(buf_str(&c->text)));
	else
		buf_add_str(&o->text, buf_str(&c->text));
	buf_add_char(&o->text, '>');
}

static size_t take_message(struct imap_collector *c, size_t there, bool drop)
{
	if (drop) {
		imap_collect_drop_message(c);
		return 0;
	}
	size_t size = c->message_size < there ? (size_t)c->message_size : there;
	imap_collect_after_message(c);
	return size;
}

static void collect(struct outcome *o, struct str input, size_t piece, bool drop)
{
	struct imap_collector c;
	struct str all = input;
	imap_collector_init(&c, &limits);
	while (input.length && !o->over) {
		struct str part = str_first(input, piece), rest = part;
		enum imap_collected what = imap_collect(&c, &rest);
		must(rest.length <= part.length && rest.data == part.data + (part.length - rest.length));
		must(what != IMAP_MORE || rest.length == 0);
		must(c.text.length <= 2 * limits.line_max + limits.literals_max && c.literal_octets <= limits.literals_max);
		must(!c.text.overflowed);
		input = str_from_index(input, part.length - rest.length);
		if (what == IMAP_MORE)
			continue;
		note(o, &c, what, what == IMAP_TAKES_TOO_LONG ? 0 : all.length - input.length);
		o->over = what == IMAP_TAKES_TOO_LONG;
		if (what == IMAP_MESSAGE)
			input = str_from_index(input, take_message(&c, input.length, drop));
	}
	imap_collector_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t piece = data[0] % 32 + 1;
	struct str input = str_from((const char *)data + 1, size - 1);
	bool drop = data[0] & 0x80;
	struct outcome whole = { .text.limit = 1 << 24 }, pieces = whole;
	collect(&whole, input, SIZE_MAX, drop);
	collect(&pieces, input, piece, drop);
	must(!whole.text.overflowed);
	must(str_equal(buf_str(&whole.text), buf_str(&pieces.text)));
	buf_release(&whole.text);
	buf_release(&pieces.text);
	return 0;
}
