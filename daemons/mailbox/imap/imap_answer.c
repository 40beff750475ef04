/* Tagged answers, RFC 9051 §7.1, with the response codes of RFC 5530. */
#include "imap.h"

#include "log.h"

struct reason {
	const char *code;
	enum imap_text text;
};

static const struct reason reasons[FAIL_KIND_COUNT] = {
	[FAIL_NOT_FOUND] = { "NONEXISTENT", IMAP_SAY_NOT_FOUND },
	[FAIL_EXISTS] = { "ALREADYEXISTS", IMAP_SAY_MAILBOX_EXISTS },
	[FAIL_DENIED] = { "NOPERM", IMAP_SAY_NOT_ALLOWED },
	[FAIL_INVALID] = { "CANNOT", IMAP_SAY_INVALID },
	[FAIL_OVER_QUOTA] = { "OVERQUOTA", IMAP_SAY_OVER_QUOTA },
	[FAIL_TOO_BIG] = { "TOOBIG", IMAP_SAY_TOO_BIG }, /* RFC 4469 §4.2 */
	[FAIL_LIMIT] = { "LIMIT", IMAP_SAY_LIMIT },
	[FAIL_BUSY] = { "INUSE", IMAP_SAY_IN_USE },
	[FAIL_CORRUPT] = { "CORRUPTION", IMAP_SAY_DAMAGED },
	[FAIL_IO] = { "UNAVAILABLE", IMAP_SAY_TEMPORARY },
	[FAIL_NO_SPACE] = { "UNAVAILABLE", IMAP_SAY_NO_SPACE },
	[FAIL_UNAVAILABLE] = { "UNAVAILABLE", IMAP_SAY_TEMPORARY },
	[FAIL_TIMEOUT] = { "UNAVAILABLE", IMAP_SAY_TEMPORARY },
};

static void add_text(struct imap_session *s, struct buf *out, const char *code, enum imap_text text,
                     const struct imap_values *values)
{
	struct imap_values done = { .text = s->command.info ? str_of(s->command.info->name) : STR("") };
	if (code[0])
		buf_printf(out, "[%s] ", code);
	imap_text_add(out, s->kept.language, text, values ? values : &done);
	buf_add_str(out, STR("\r\n"));
}

static void answer(struct imap_session *s, const char *condition, const char *code, enum imap_text text,
                   const struct imap_values *values)
{
	if (str_is_empty(s->command.tag))
		buf_add_char(&s->tagged, '*');
	else
		buf_add_str(&s->tagged, s->command.tag);
	buf_printf(&s->tagged, " %s ", condition);
	add_text(s, &s->tagged, code, text, values);
}

void imap_ok(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values)
{
	s->errors = 0;
	answer(s, "OK", code, text, values);
}

void imap_no(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values)
{
	answer(s, "NO", code, text, values);
}

void imap_bad(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values)
{
	s->errors++;
	answer(s, "BAD", code, text, values);
}

void imap_no_fail(struct imap_session *s, const struct fail *fail)
{
	const struct reason *reason = &reasons[fail->kind];
	bool ours = fail->kind == FAIL_IO || fail->kind == FAIL_CORRUPT || fail->kind == FAIL_NO_SPACE;
	log_event(ours ? LOG_ERROR : LOG_INFO, s->session->connection, "imap-refused",
	          LOG_TEXT("account", str_of(s->session->address)),
	          LOG_TEXT("command", str_of(s->command.info ? s->command.info->name : "")),
	          LOG_TEXT("why", str_of(fail_text(fail))));
	imap_no(s, reason->code, reason->text, NULL);
}

void imap_bad_syntax(struct imap_session *s)
{
	const struct imap_values values = { .number = s->parser.failed_at + 1, .text = str_of(s->parser.expected) };
	if (s->parser.too_much)
		imap_no(s, "LIMIT", IMAP_SAY_TOO_MUCH, &values);
	else if (s->parser.bad_name) /* mbsync takes NO for this mailbox, but BAD for the end of all */
		imap_no(s, "CANNOT", IMAP_SAY_EXPECTED, &values);
	else
		imap_bad(s, "", IMAP_SAY_EXPECTED, &values);
}

bool imap_arguments_end(struct imap_session *s)
{
	if (imap_parse_end(&s->parser))
		return true;
	imap_parse_fail(&s->parser, "the end of the command");
	imap_bad_syntax(s);
	return false;
}

void imap_untagged_ok(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values)
{
	buf_add_str(&s->out, STR("* OK "));
	add_text(s, &s->out, code, text, values);
}

void imap_bye(struct imap_session *s, const char *code, enum imap_text text)
{
	buf_add_str(&s->out, STR("* BYE "));
	add_text(s, &s->out, code, text, NULL);
}
