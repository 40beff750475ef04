/* What the filter answers. */
#include "milter_packet.h"

static bool is_code(struct str text)
{
	return text.length >= 3 && (text.data[0] == '4' || text.data[0] == '5') && char_is_digit(text.data[1]) &&
	       char_is_digit(text.data[2]) && (text.length == 3 || text.data[3] == ' ' || text.data[3] == '-');
}

/* RFC 3463 §2: class.subject.detail, of the same class as the code. */
static struct str take_status(struct str *text, char class)
{
	struct str word = str_first(*text, str_find_char(*text, ' '));
	size_t dots = 0;
	for (size_t i = 0; i < word.length; i++) {
		if (word.data[i] == '.')
			dots++;
		else if (!char_is_digit(word.data[i]))
			return (struct str){};
	}
	if (dots != 2 || word.length < 5 || word.length > 9 || word.data[0] != class || word.data[1] != '.')
		return (struct str){};
	*text = str_trim(str_from_index(*text, word.length));
	return word;
}

/* "550 5.7.1 text", or several such lines, each but the last with "-" behind the code. */
static bool read_reply(struct str lines, struct buf *text, struct milter_answer *answer)
{
	struct str line;
	uint64_t code = 0;
	buf_clear(text);
	while (str_take_until(&lines, '\n', &line)) {
		line = str_trim(line);
		if (!is_code(line) || !str_to_u64(str_first(line, 3), 599, &code) ||
		    (answer->code && (int)code != answer->code))
			return false;
		struct str rest = str_trim(str_from_index(line, 4));
		struct str status = take_status(&rest, line.data[0]);
		answer->status = answer->code ? answer->status : status;
		answer->code = (int)code;
		if (text->length && rest.length)
			buf_add_char(text, ' ');
		buf_add_str(text, rest);
	}
	answer->text = buf_str(text);
	return answer->code != 0 && !text->overflowed;
}

static void take_header(struct milter_reading *r, struct milter_answer *answer)
{
	answer->name = milter_take_string(r);
	answer->value = milter_take_string(r);
	r->failed |= answer->name.length == 0;
}

/* Stages and the names wanted there. */
static void take_macros(struct milter_reading *r, struct milter_answer *answer)
{
	answer->macros = r->rest;
	while (!r->failed && r->rest.length) {
		milter_take_number(r, 4);
		milter_take_string(r);
	}
}

static bool take_fields(struct milter_reading *r, struct buf *text, struct milter_answer *answer)
{
	switch ((int)answer->kind) {
	case MILTER_OPTIONS:
		milter_options_take(r, &answer->options);
		take_macros(r, answer);
		break;
	case MILTER_REPLY_CODE: return read_reply(milter_take_string(r), text, answer);
	case MILTER_ADD_HEADER: take_header(r, answer); break;
	case MILTER_INSERT_HEADER:
	case MILTER_CHANGE_HEADER:
		answer->index = milter_take_number(r, 4);
		take_header(r, answer);
		break;
	case MILTER_REPLACE_BODY:
		answer->value = r->rest;
		r->rest = (struct str){};
		break;
	case MILTER_ADD_RECIPIENT:
	case MILTER_DELETE_RECIPIENT:
	case MILTER_QUARANTINE: answer->value = milter_take_string(r); break;
	case MILTER_ADD_RECIPIENT_WITH:
	case MILTER_CHANGE_SENDER:
		answer->value = milter_take_string(r);
		if (r->rest.length)
			answer->name = milter_take_string(r);
		break;
	case MILTER_MACROS_WANTED: take_macros(r, answer); break;
	case MILTER_SHUTDOWN:
	case MILTER_ACCEPT:
	case MILTER_CONTINUE:
	case MILTER_DISCARD:
	case MILTER_CONNECTION_FAILED:
	case MILTER_PROGRESS:
	case MILTER_REJECT:
	case MILTER_SKIP:
	case MILTER_TEMPFAIL: break;
	default: return false;
	}
	return true;
}

enum milter_event milter_answer_read(struct str input, size_t *used, struct buf *text, struct milter_answer *answer)
{
	struct milter_reading r = {};
	char kind;
	*answer = (struct milter_answer){};
	enum milter_event event = milter_packet_next(input, used, &kind, &r.rest);
	if (event != MILTER_ANSWER)
		return event;
	answer->kind = (enum milter_answer_kind)kind;
	return take_fields(&r, text, answer) && !r.failed && r.rest.length == 0 ? MILTER_ANSWER : MILTER_BAD;
}

static void add_reply(struct buf *out, const struct milter_answer *answer)
{
	buf_printf(out, "%03d%s%.*s", answer->code, answer->status.length ? " " : "", STR_ARG(answer->status));
	if (answer->text.length)
		buf_printf(out, " %.*s", STR_ARG(answer->text));
	buf_add_char(out, '\0');
}

void milter_answer_write(struct buf *out, const struct milter_answer *answer)
{
	size_t start = milter_packet_begin(out, (char)answer->kind);
	switch ((int)answer->kind) {
	case MILTER_OPTIONS:
		milter_options_add(out, &answer->options);
		buf_add_str(out, answer->macros);
		break;
	case MILTER_MACROS_WANTED: buf_add_str(out, answer->macros); break;
	case MILTER_REPLY_CODE: add_reply(out, answer); break;
	case MILTER_INSERT_HEADER:
	case MILTER_CHANGE_HEADER: milter_add_number(out, answer->index, 4); /* fall through */
	case MILTER_ADD_HEADER:
		milter_add_string(out, answer->name);
		milter_add_string(out, answer->value);
		break;
	case MILTER_REPLACE_BODY: buf_add_str(out, answer->value); break;
	case MILTER_ADD_RECIPIENT_WITH:
	case MILTER_CHANGE_SENDER:
		milter_add_string(out, answer->value);
		milter_add_string(out, answer->name);
		break;
	case MILTER_ADD_RECIPIENT:
	case MILTER_DELETE_RECIPIENT:
	case MILTER_QUARANTINE: milter_add_string(out, answer->value); break;
	default: break;
	}
	milter_packet_end(out, start);
}
