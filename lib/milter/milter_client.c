#include "milter_packet.h"

#include "limits.h"

enum { REPLY_TEXT_MAX = 8192, MACROS_MAX = 8192 };

/* What is left out or not answered for each request, as it was agreed; 0: it never is. */
static const struct {
	enum milter_command command;
	uint32_t unwanted, silent;
} wishes[] = {
	{ MILTER_CONNECT, MILTER_NO_CONNECT, MILTER_SILENT_CONNECT },
	{ MILTER_HELO, MILTER_NO_HELO, MILTER_SILENT_HELO },
	{ MILTER_MAIL, MILTER_NO_MAIL, MILTER_SILENT_MAIL },
	{ MILTER_RCPT, MILTER_NO_RCPT, MILTER_SILENT_RCPT },
	{ MILTER_DATA, MILTER_NO_DATA, MILTER_SILENT_DATA },
	{ MILTER_UNKNOWN, MILTER_NO_UNKNOWN, MILTER_SILENT_UNKNOWN },
	{ MILTER_HEADER, MILTER_NO_HEADERS, MILTER_SILENT_HEADER },
	{ MILTER_END_OF_HEADER, MILTER_NO_END_OF_HEADER, MILTER_SILENT_END_OF_HEADER },
	{ MILTER_BODY, MILTER_NO_BODY, MILTER_SILENT_BODY },
};

void milter_client_init(struct milter_client *c)
{
	*c = (struct milter_client){ .out = BUF_WITH_LIMIT(2 * LIMIT_MILTER_PACKET_MAX), .macros = BUF_WITH_LIMIT(MACROS_MAX),
		                          .text = BUF_WITH_LIMIT(REPLY_TEXT_MAX) };
}

void milter_client_release(struct milter_client *c)
{
	buf_release(&c->out);
	buf_release(&c->macros);
	buf_release(&c->text);
}

static bool has_wish(const struct milter_client *c, enum milter_command command, bool silent)
{
	for (size_t i = 0; i < COUNT_OF(wishes); i++)
		if (wishes[i].command == command)
			return c->agreed.protocol & (silent ? wishes[i].silent : wishes[i].unwanted);
	return false;
}

bool milter_client_wants(const struct milter_client *c, enum milter_command command)
{
	return !has_wish(c, command, false);
}

static bool is_answered(const struct milter_client *c, enum milter_command command)
{
	return command != MILTER_MACROS && command != MILTER_ABORT && command != MILTER_QUIT && !has_wish(c, command, true);
}

bool milter_client_ask(struct milter_client *c, const struct milter_request *request)
{
	must(!c->awaits);
	enum milter_command about = request->command == MILTER_MACROS ? request->macros_for : request->command;
	if (!milter_client_wants(c, about))
		return false;
	milter_request_write(&c->out, request);
	if (request->command == MILTER_OPTIONS)
		c->agreed = request->options;
	c->asked = request->command;
	c->awaits = is_answered(c, request->command);
	return c->awaits;
}

static bool negotiate(struct milter_client *c, const struct milter_answer *answer)
{
	const struct milter_options ours = c->agreed, theirs = answer->options;
	c->negotiated = true;
	c->agreed = (struct milter_options){ theirs.version, theirs.actions & ours.actions,
		theirs.protocol & ours.protocol };
	if (c->agreed.actions & MILTER_MAY_CHOOSE_MACROS)
		buf_add_str(&c->macros, answer->macros);
	return theirs.version >= 2 && theirs.version <= ours.version && !c->macros.overflowed;
}

/* SMFIM_… of libmilter: the numbers of the stages. */
static bool is_stage(uint32_t number, enum milter_command command)
{
	static const enum milter_command stages[] = { MILTER_CONNECT, MILTER_HELO, MILTER_MAIL, MILTER_RCPT, MILTER_DATA,
		MILTER_END, MILTER_END_OF_HEADER };
	return number < COUNT_OF(stages) && stages[number] == command;
}

bool milter_client_macros(const struct milter_client *c, enum milter_command command, struct str *names)
{
	struct milter_reading r = { .rest = buf_str(&c->macros) };
	while (r.rest.length && !r.failed) {
		uint32_t number = milter_take_number(&r, 4);
		*names = milter_take_string(&r);
		if (!r.failed && is_stage(number, command))
			return true;
	}
	return false;
}

/* Changes come at the end of a message only. */
static bool is_change(enum milter_answer_kind kind)
{
	return kind == MILTER_ADD_HEADER || kind == MILTER_CHANGE_HEADER || kind == MILTER_INSERT_HEADER ||
	       kind == MILTER_REPLACE_BODY || kind == MILTER_QUARANTINE || kind == MILTER_ADD_RECIPIENT ||
	       kind == MILTER_ADD_RECIPIENT_WITH || kind == MILTER_DELETE_RECIPIENT || kind == MILTER_CHANGE_SENDER;
}

static bool may_stand_here(struct milter_client *c, const struct milter_answer *answer)
{
	if (!c->awaits || (answer->kind == (enum milter_answer_kind)MILTER_OPTIONS) != (c->asked == MILTER_OPTIONS))
		return false;
	if (c->asked == MILTER_OPTIONS)
		return negotiate(c, answer);
	if (is_change(answer->kind))
		return c->asked == MILTER_END;
	if (answer->kind == MILTER_SKIP)
		return c->asked == MILTER_BODY && c->agreed.protocol & MILTER_CAN_SKIP;
	if (answer->kind == MILTER_DISCARD)
		return c->asked != MILTER_CONNECT && c->asked != MILTER_HELO;
	return answer->kind != MILTER_MACROS_WANTED;
}

enum milter_event milter_client_read(struct milter_client *c, struct str input, size_t *used,
                                     struct milter_answer *answer)
{
	enum milter_event event = milter_answer_read(input, used, &c->text, answer);
	if (event != MILTER_ANSWER)
		return event;
	if (!may_stand_here(c, answer))
		return MILTER_BAD;
	if (!is_change(answer->kind) && answer->kind != MILTER_PROGRESS)
		c->awaits = false;
	return MILTER_ANSWER;
}
