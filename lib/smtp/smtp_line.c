#include "smtp_line.h"

static enum smtp_line_kind without_line_end(struct str *input, size_t limit, bool *discarding)
{
	if (!*discarding && input->length < limit)
		return SMTP_LINE_NONE;
	*discarding = true;
	*input = str_from_index(*input, input->length);
	return SMTP_LINE_NONE;
}

enum smtp_line_kind smtp_line_take(struct smtp_line_reader *r, struct str *input, size_t limit, struct str *line)
{
	*line = str_first(*input, 0);
	size_t end = str_find_char(*input, '\n');
	if (end == input->length)
		return without_line_end(input, limit, &r->discarding);
	*line = str_first(*input, end);
	*input = str_from_index(*input, end + 1);
	bool too_long = r->discarding || end + 1 > limit;
	r->discarding = false;
	if (too_long)
		return SMTP_LINE_TOO_LONG;
	if (end == 0 || line->data[end - 1] != '\r')
		return SMTP_LINE_BAD;
	line->length--;
	if (memchr(line->data, '\r', line->length) || memchr(line->data, '\0', line->length))
		return SMTP_LINE_BAD;
	return SMTP_LINE_COMMAND;
}

const struct smtp_reply *smtp_line_refusal(enum smtp_line_kind kind)
{
	static const struct smtp_reply bad = { 500, "5.5.2", "Lines end with CRLF and hold no other CR, LF or NUL" };
	static const struct smtp_reply too_long = { 500, "5.5.6", "Line too long" };
	must(kind == SMTP_LINE_BAD || kind == SMTP_LINE_TOO_LONG);
	return kind == SMTP_LINE_BAD ? &bad : &too_long;
}
