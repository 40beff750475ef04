#include "answer.h"

#include "limits.h"
#include "text.h"

void pop3_answer_init(struct pop3_answer *a, enum pop3_answer_kind kind, uint64_t body_max)
{
	*a = (struct pop3_answer){ .kind = kind, .left = kind == POP3_BODY ? body_max : LIMIT_POP3_LISTING_MAX };
	buf_init(&a->line, LIMIT_POP3_ANSWER_LINE_MAX);
}

void pop3_answer_release(struct pop3_answer *a)
{
	buf_release(&a->line);
}

static enum pop3_event broken(struct fail **fail, enum fail_kind kind, const char *text)
{
	fail_set(fail, kind, "%s", text);
	return POP3_BROKEN;
}

/* Takes the next line out of *input: a view of it where it lies there in one piece. POP3_NEEDS_MORE, POP3_LINE or
 * POP3_BROKEN. A bare LF is taken for a line end here: there are such servers. */
static enum pop3_event take_line(struct pop3_answer *a, struct str *input, struct str *line, struct fail **fail)
{
	if (a->line_given)
		buf_clear(&a->line);
	a->line_given = false;
	size_t end = str_find_char(*input, '\n');
	bool whole = end < input->length;
	if (a->line.length + end + whole > LIMIT_POP3_ANSWER_LINE_MAX)
		return broken(fail, FAIL_LIMIT, "the server sends a line that is too long");
	*line = str_first(*input, end);
	*input = str_from_index(*input, end + whole);
	if (a->line.length || !whole) {
		buf_add_str(&a->line, *line);
		*line = buf_str(&a->line);
		a->line_given = whole;
	}
	if (!whole)
		return POP3_NEEDS_MORE;
	if (line->length && line->data[line->length - 1] == '\r')
		line->length--;
	if (str_find_char(*line, '\0') < line->length)
		return broken(fail, FAIL_INVALID, "the server sends a NUL");
	return POP3_LINE;
}

static bool is_status(struct str line, struct str word)
{
	return str_starts_nocase(line, word) && (line.length == word.length || line.data[word.length] == ' ');
}

static enum pop3_event next_status(struct pop3_answer *a, struct str *input, struct str *line, struct fail **fail)
{
	enum pop3_event event = take_line(a, input, line, fail);
	if (event != POP3_LINE)
		return event;
	bool ok = is_status(*line, STR("+OK"));
	bool challenge = a->kind == POP3_ONE_LINE && is_status(*line, STR("+"));
	if (!ok && !challenge && !is_status(*line, STR("-ERR")))
		return broken(fail, FAIL_INVALID, "the server's answer is neither +OK nor -ERR");
	a->at = ok && a->kind != POP3_ONE_LINE ? POP3_AT_CONTENT : POP3_AT_END;
	return POP3_STATUS;
}

static enum pop3_event next_line(struct pop3_answer *a, struct str *input, struct str *line, struct fail **fail)
{
	enum pop3_event event = take_line(a, input, line, fail);
	if (event != POP3_LINE)
		return event;
	if (str_equal(*line, STR("."))) {
		a->at = POP3_AT_END;
		return POP3_ANSWERED;
	}
	if (a->left-- == 0)
		return broken(fail, FAIL_LIMIT, "the server's listing is endless");
	if (line->length && line->data[0] == '.')
		*line = str_from_index(*line, 1);
	return POP3_LINE;
}

static enum pop3_event next_piece(struct pop3_answer *a, struct str *input, struct str *piece, struct fail **fail)
{
	if (!pop3_unstuff_next(&a->unstuffer, input, piece)) {
		if (a->unstuffer.ended)
			a->at = POP3_AT_END;
		return a->unstuffer.ended ? POP3_ANSWERED : POP3_NEEDS_MORE;
	}
	if (piece->length > a->left)
		return broken(fail, FAIL_TOO_BIG, "the server sends a mail that is larger than accepted");
	a->left -= piece->length;
	return POP3_PIECE;
}

enum pop3_event pop3_answer_next(struct pop3_answer *a, struct str *input, struct str *piece, struct fail **fail)
{
	switch (a->at) {
	case POP3_AT_STATUS:
		return next_status(a, input, piece, fail);
	case POP3_AT_CONTENT:
		return a->kind == POP3_BODY ? next_piece(a, input, piece, fail) : next_line(a, input, piece, fail);
	case POP3_AT_END:
		break;
	}
	return POP3_ANSWERED;
}

/* Unknown detail below a known level is passed over (RFC 2449 §8): SYS/TEMP/disk is SYS/TEMP. */
static enum pop3_code find_code(struct str text)
{
	for (unsigned code = POP3_NO_CODE + 1; code < POP3_CODE_COUNT; code++) {
		struct str name = pop3_code_name((enum pop3_code)code);
		if (str_starts_nocase(text, name) && (text.length == name.length || text.data[name.length] == '/'))
			return (enum pop3_code)code;
	}
	return POP3_NO_CODE;
}

bool pop3_status_parse(struct str line, struct pop3_status *status, struct fail **fail)
{
	*status = (struct pop3_status){ .ok = is_status(line, STR("+OK")) };
	if (!status->ok && !is_status(line, STR("-ERR")))
		return fail_set(fail, FAIL_INVALID, "the server's answer is neither +OK nor -ERR");
	status->text = str_trim(str_from_index(line, status->ok ? 3 : 4));
	size_t close = str_find_char(status->text, ']');
	if (status->text.length == 0 || status->text.data[0] != '[' || close == status->text.length)
		return true;
	status->code_text = str_from(status->text.data + 1, close - 1);
	status->code = find_code(status->code_text);
	status->text = str_trim(str_from_index(status->text, close + 1));
	return true;
}

struct str pop3_greeting_timestamp(struct str greeting)
{
	struct str from = str_from_index(greeting, str_find_char(greeting, '<'));
	struct str timestamp = str_first(from, str_find_char(from, '>') + 1);
	bool closed = timestamp.length && timestamp.data[timestamp.length - 1] == '>';
	if (!closed || str_find_char(timestamp, ' ') < timestamp.length || !str_is_printable(timestamp))
		return (struct str){};
	return timestamp;
}

bool pop3_challenge_parse(struct str line, struct buf *bytes, struct fail **fail)
{
	if (!is_status(line, STR("+")) || !text_base64_decode(bytes, str_from_index(line, 2)))
		return fail_set(fail, FAIL_INVALID, "the server's challenge is not valid base64");
	return true;
}

bool pop3_numbers_parse(struct str text, uint64_t *first, uint64_t *second, struct fail **fail)
{
	struct str rest = text, part;
	if (str_take_until(&rest, ' ', &part) && str_to_u64(part, UINT64_MAX, first) && str_take_until(&rest, ' ', &part) &&
	    str_to_u64(part, UINT64_MAX, second))
		return true;
	return fail_set(fail, FAIL_INVALID, "the server sends something else where two numbers belong");
}

bool pop3_uid_parse(struct str text, uint64_t *number, struct str *uid, struct fail **fail)
{
	struct str rest = text, part;
	if (!str_take_until(&rest, ' ', &part) || !str_to_u64(part, UINT64_MAX, number))
		return fail_set(fail, FAIL_INVALID, "the server sends something else where a message number belongs");
	if (rest.length == 0 || rest.length > LIMIT_POP3_UID_MAX || !str_is_printable(rest) ||
	    str_find_char(rest, ' ') < rest.length)
		return fail_set(fail, FAIL_INVALID, "the server sends a unique id that is none");
	*uid = rest;
	return true;
}
