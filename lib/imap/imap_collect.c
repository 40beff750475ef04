#include "imap_collect.h"

#include "imap_command.h"
#include "limits.h"

/* A literal as it stands at the end of a line: "~{12+}". */
struct announced {
	uint64_t size; /* UINT64_MAX: more than 64 bits hold */
	bool plus;
	bool literal8;
	size_t start;  /* where it begins in the line */
};

void imap_collector_init(struct imap_collector *c, const struct imap_collect_limits *limits)
{
	must(limits->line_max >= LIMIT_IMAP_TAG_MAX);
	*c = (struct imap_collector){ .limits = *limits };
	/* each literal in the text stands behind a line of its own, whose end is normalized to CRLF */
	buf_init(&c->text, 2 * limits->line_max + (size_t)limits->literals_max);
}

void imap_collector_release(struct imap_collector *c)
{
	buf_release(&c->text);
}

static bool find_announced(struct str line, struct announced *a)
{
	*a = (struct announced){};
	size_t end = line.length;
	if (end < 3 || line.data[end - 1] != '}')
		return false;
	end--;
	a->plus = line.data[end - 1] == '+';
	end -= a->plus;
	size_t start = end;
	while (start > 0 && char_is_digit(line.data[start - 1]))
		start--;
	if (start == end || start == 0 || line.data[start - 1] != '{')
		return false;
	if (!str_to_u64(str_from(line.data + start, end - start), UINT64_MAX, &a->size))
		a->size = UINT64_MAX;
	a->literal8 = start > 1 && line.data[start - 2] == '~';
	a->start = start - 1 - a->literal8;
	return true;
}

static void begin_command(struct imap_collector *c)
{
	/* a large command is rare: its memory does not stay with an idle session */
	if (c->text.capacity > 65536)
		buf_release(&c->text);
	buf_clear(&c->text);
	c->fresh = c->silent = c->after_message = c->too_big = c->refused_plus = c->refused_message = false;
	c->line_octets = c->line_began_at = c->tail_length = 0;
	c->literal_octets = c->left = c->discarded = 0;
	c->literals = 0;
	c->part = IMAP_COLLECT_LINE;
}

static enum imap_collected give_out(struct imap_collector *c, enum imap_collected what)
{
	c->fresh = true;
	c->part = IMAP_COLLECT_LINE;
	return what;
}

static enum imap_collected end_discarding(struct imap_collector *c)
{
	return give_out(c, c->silent ? IMAP_MORE : c->too_big ? IMAP_TOO_BIG : IMAP_LINE_TOO_LONG);
}

static uint64_t discard_room(const struct imap_collector *c)
{
	return c->discarded < c->limits.discard_max ? c->limits.discard_max - c->discarded : 0;
}

/* From here on the command is passed over, first these octets of a literal. */
static enum imap_collected discard(struct imap_collector *c, uint64_t literal)
{
	if (literal > discard_room(c))
		return give_out(c, IMAP_TAKES_TOO_LONG);
	c->left = literal;
	c->tail_length = 0;
	c->part = literal ? IMAP_COLLECT_DISCARD_LITERAL : IMAP_COLLECT_DISCARD_LINE;
	return IMAP_MORE;
}

static enum imap_collected refuse(struct imap_collector *c, const struct announced *a, bool is_message)
{
	c->too_big = true;
	c->refused_plus = a->plus;
	c->refused_message = is_message;
	/* RFC 7888 §4: one that waits is answered at once, and its client sends nothing of it */
	return a->plus ? discard(c, a->size) : give_out(c, IMAP_TOO_BIG);
}

static bool is_message(const struct imap_collector *c, struct str text, const struct announced *a)
{
	if (!c->after_message)
		return imap_command_literal_is_message(text);
	struct str before = str_first(text, a->start);
	return !str_ends_nocase(before, STR("URL "));
}

/* The text ends with a literal's announcement. */
static enum imap_collected begin_literal(struct imap_collector *c, const struct announced *a)
{
	bool message = is_message(c, buf_str(&c->text), a);
	uint64_t most = message ? c->limits.message_max : c->limits.literals_max - c->literal_octets;
	if (a->size > most || (a->plus && a->size > c->limits.plus_max) || ++c->literals > LIMIT_IMAP_LITERALS_COUNT_MAX)
		return refuse(c, a, message);
	if (message) {
		c->message_size = a->size;
		c->message_waits = !a->plus;
		c->message_is_literal8 = a->literal8;
		c->part = IMAP_COLLECT_MESSAGE;
		return IMAP_MESSAGE;
	}
	buf_add_str(&c->text, STR("\r\n"));
	c->literal_octets += a->size;
	c->left = a->size;
	c->part = a->size ? IMAP_COLLECT_LITERAL : IMAP_COLLECT_LINE;
	return a->plus ? IMAP_MORE : IMAP_CONTINUE;
}

static enum imap_collected end_line(struct imap_collector *c, size_t line_start)
{
	struct announced a;
	if (c->text.length > line_start && c->text.data[c->text.length - 1] == '\r')
		buf_truncate(&c->text, c->text.length - 1);
	if (find_announced(str_from_index(buf_str(&c->text), line_start), &a)) {
		a.start += line_start;
		return begin_literal(c, &a);
	}
	return give_out(c, IMAP_COMMAND);
}

static struct str take(struct str *input, size_t length)
{
	struct str part = str_first(*input, length);
	*input = str_from_index(*input, part.length);
	return part;
}

static void keep_tail(struct imap_collector *c, struct str part)
{
	if (part.length >= sizeof c->tail) {
		memcpy(c->tail, part.data + part.length - sizeof c->tail, sizeof c->tail);
		c->tail_length = sizeof c->tail;
		return;
	}
	size_t keep = sizeof c->tail - part.length;
	if (c->tail_length > keep) {
		memmove(c->tail, c->tail + c->tail_length - keep, keep);
		c->tail_length = keep;
	}
	if (part.length)
		memcpy(c->tail + c->tail_length, part.data, part.length);
	c->tail_length += part.length;
}

/* The tag is all that is needed of a line that is too long; one octet more shows where it ends. */
static void keep_tag(struct imap_collector *c, struct str input)
{
	size_t most = LIMIT_IMAP_TAG_MAX + 1;
	if (c->text.length < most)
		buf_add_str(&c->text, str_first(input, most - c->text.length));
	else
		buf_truncate(&c->text, most);
}

/* What was collected of the line is discarded like the rest of it. */
static enum imap_collected give_up_line(struct imap_collector *c, struct str input)
{
	size_t begun = c->line_octets - c->line_began_at;
	enum imap_collected what = discard(c, 0);
	c->discarded += begun;
	keep_tail(c, str_from_index(buf_str(&c->text), c->text.length - begun));
	keep_tag(c, input);
	return what;
}

static enum imap_collected take_line(struct imap_collector *c, struct str *input)
{
	size_t end = str_find_char(*input, '\n'), room = c->limits.line_max - c->line_octets;
	if (end > room)
		return give_up_line(c, *input);
	bool whole = end < input->length;
	struct str part = take(input, end);
	buf_add_str(&c->text, part);
	c->line_octets += part.length;
	if (!whole)
		return IMAP_MORE;
	take(input, 1);
	size_t line_octets = c->line_octets - c->line_began_at;
	c->line_began_at = c->line_octets;
	return end_line(c, c->text.length - line_octets);
}

static enum imap_collected take_literal(struct imap_collector *c, struct str *input)
{
	struct str part = take(input, c->left < input->length ? (size_t)c->left : input->length);
	buf_add_str(&c->text, part);
	c->left -= part.length;
	if (c->left == 0)
		c->part = IMAP_COLLECT_LINE;
	return IMAP_MORE;
}

static enum imap_collected discard_literal(struct imap_collector *c, struct str *input)
{
	struct str part = take(input, c->left < input->length ? (size_t)c->left : input->length);
	c->discarded += part.length;
	c->left -= part.length;
	if (c->left == 0)
		c->part = IMAP_COLLECT_DISCARD_LINE;
	return IMAP_MORE;
}

/* A number of so many digits that its beginning is not in the tail. */
static bool tail_is_digits(struct str tail)
{
	for (size_t i = 0; i + 2 < tail.length; i++)
		if (!char_is_digit(tail.data[i]))
			return false;
	return tail.length == IMAP_COLLECT_TAIL - 1 && str_ends_nocase(tail, STR("+}"));
}

static enum imap_collected discard_line(struct imap_collector *c, struct str *input)
{
	struct announced a;
	size_t end = str_find_char(*input, '\n');
	bool whole = end < input->length;
	if (end > discard_room(c))
		return give_out(c, IMAP_TAKES_TOO_LONG);
	struct str part = take(input, end);
	c->discarded += part.length;
	keep_tail(c, part);
	if (!whole)
		return IMAP_MORE;
	take(input, 1);
	struct str tail = str_from(c->tail, c->tail_length);
	if (str_ends_nocase(tail, STR("\r")))
		tail.length--;
	else if (tail.length == sizeof c->tail)
		tail = str_from_index(tail, 1);
	if (tail_is_digits(tail))
		return give_out(c, IMAP_TAKES_TOO_LONG);
	/* what waits for its continuation will not come */
	return find_announced(tail, &a) && a.plus ? discard(c, a.size) : end_discarding(c);
}

static enum imap_collected step(struct imap_collector *c, struct str *input)
{
	switch (c->part) {
	case IMAP_COLLECT_LINE: return take_line(c, input);
	case IMAP_COLLECT_LITERAL: return take_literal(c, input);
	case IMAP_COLLECT_DISCARD_LINE: return discard_line(c, input);
	case IMAP_COLLECT_DISCARD_LITERAL: return discard_literal(c, input);
	case IMAP_COLLECT_HOPELESS: return IMAP_TAKES_TOO_LONG;
	default: must(c->part != IMAP_COLLECT_MESSAGE); return IMAP_MORE;
	}
}

enum imap_collected imap_collect(struct imap_collector *c, struct str *input)
{
	enum imap_collected what = IMAP_MORE;
	while (input->length && what == IMAP_MORE) {
		if (c->fresh)
			begin_command(c);
		what = step(c, input);
	}
	return what;
}

void imap_collect_after_message(struct imap_collector *c)
{
	must(c->part == IMAP_COLLECT_MESSAGE);
	buf_clear(&c->text);
	c->line_octets = c->line_began_at = 0;
	c->literal_octets = 0;
	c->literals = 0;
	c->after_message = true;
	c->part = IMAP_COLLECT_LINE;
}

void imap_collect_drop_message(struct imap_collector *c)
{
	must(c->part == IMAP_COLLECT_MESSAGE);
	c->discarded = 0;
	c->silent = true;
	if (c->message_waits)
		give_out(c, IMAP_MORE);
	else if (discard(c, c->message_size) == IMAP_TAKES_TOO_LONG) {
		c->part = IMAP_COLLECT_HOPELESS;
		c->fresh = false;
	}
}

struct str imap_tag_of(struct str text)
{
	struct imap_parser p;
	imap_parser_init(&p, NULL, str_first(text, LIMIT_IMAP_TAG_MAX + 1), false);
	struct str tag = imap_parse_tag(&p);
	bool ended = p.at == text.length || text.data[p.at] == ' ';
	return ended && !p.failed ? tag : (struct str){};
}
