#include "stuff.h"

#include "check.h"

/* Index of the first dot that begins a line, or s.length. Looks for dots, not for line ends: base64, which most
 * octets of mail are, has none. */
static size_t find_dot(struct str s, enum pop3_position position)
{
	size_t at = 0;
	while (at < s.length) {
		at += str_find_char(str_from_index(s, at), '.');
		if (at == s.length)
			break;
		bool starts = at == 0 ? position == POP3_LINE_START
		            : at == 1 ? s.data[0] == '\n' && position == POP3_AFTER_CR
		                      : s.data[at - 1] == '\n' && s.data[at - 2] == '\r';
		if (starts)
			break;
		at++;
	}
	return at;
}

static enum pop3_position position_after(enum pop3_position position, struct str s)
{
	if (s.length == 0)
		return position;
	char last = s.data[s.length - 1];
	bool cr_before = s.length > 1 ? s.data[s.length - 2] == '\r' : position == POP3_AFTER_CR;
	return last == '\r' ? POP3_AFTER_CR : last == '\n' && cr_before ? POP3_LINE_START : POP3_IN_LINE;
}

bool pop3_stuff_next(struct pop3_stuffer *s, struct str *input, struct str *piece)
{
	if (input->length == 0)
		return false;
	size_t dot = find_dot(*input, s->doubled ? POP3_IN_LINE : s->position);
	s->doubled = false;
	if (dot == input->length) {
		*piece = *input;
		*input = str_from_index(*input, input->length);
		s->position = position_after(s->position, *piece);
		s->octets += piece->length;
		return true;
	}
	/* The piece ends with the dot and the next one begins with it again. */
	*piece = str_first(*input, dot + 1);
	*input = str_from_index(*input, dot);
	s->position = POP3_LINE_START;
	s->doubled = true;
	s->octets += dot;
	return true;
}

struct str pop3_stuff_end(struct pop3_stuffer *s)
{
	must(!s->doubled);
	if (s->position == POP3_LINE_START)
		return STR(".\r\n");
	s->octets += 2;
	return STR("\r\n.\r\n");
}

struct pop3_top pop3_top_init(uint64_t lines)
{
	return (struct pop3_top){ .lines_left = lines };
}

bool pop3_top_done(const struct pop3_top *top)
{
	return top->in_body && top->lines_left == 0;
}

static bool has_bytes(struct str line)
{
	size_t i = 0;
	while (i < line.length && line.data[i] == '\r')
		i++;
	return i < line.length;
}

static void end_line(struct pop3_top *top)
{
	if (top->in_body)
		top->lines_left--;
	else if (!top->line_has_bytes)
		top->in_body = true;
	top->line_has_bytes = false;
}

size_t pop3_top_take(struct pop3_top *top, struct str chunk)
{
	size_t at = 0;
	while (at < chunk.length && !pop3_top_done(top)) {
		struct str rest = str_from_index(chunk, at);
		size_t end = str_find_char(rest, '\n');
		top->line_has_bytes |= has_bytes(str_first(rest, end));
		at += end;
		if (end == rest.length)
			break;
		at++;
		end_line(top);
	}
	return at;
}

/* Bytes at the start of *input that decide about a dot held back. True: *piece has a CR that proved to be content. */
static bool settle_dot(struct pop3_unstuffer *u, struct str *input, struct str *piece)
{
	char c = input->data[0];
	if (u->position == POP3_AFTER_DOT) {
		u->position = c == '\r' ? POP3_AFTER_DOT_CR : POP3_IN_LINE;
		*input = str_from_index(*input, c == '\r');
		return false;
	}
	if (c == '\n') {
		u->ended = true;
		*input = str_from_index(*input, 1);
		return false;
	}
	u->position = POP3_AFTER_CR;
	*piece = STR("\r");
	return true;
}

bool pop3_unstuff_next(struct pop3_unstuffer *u, struct str *input, struct str *piece)
{
	while (input->length && !u->ended) {
		if (u->position == POP3_AFTER_DOT || u->position == POP3_AFTER_DOT_CR) {
			if (settle_dot(u, input, piece))
				return true;
			continue;
		}
		size_t dot = find_dot(*input, u->position);
		*piece = str_first(*input, dot);
		u->position = dot < input->length ? POP3_AFTER_DOT : position_after(u->position, *piece);
		*input = str_from_index(*input, dot + 1);
		if (piece->length)
			return true;
	}
	return false;
}
