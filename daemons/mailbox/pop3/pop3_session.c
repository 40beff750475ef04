#include "pop3.h"

#include "log.h"
#include "mem.h"

#include <stdlib.h>

enum { INPUT_SIZE = LIMIT_LEFTOVER_MAX + 4096, ANSWER_MAX = 4 << 20, WRITE_PATIENCE_MS = 60000 };

void pop3_say_ok(struct pop3_session *p, enum pop3_text text, const struct pop3_values *values)
{
	pop3_reply_ok(&p->out, p->language, text, values);
}

void pop3_say_err(struct pop3_session *p, enum pop3_code code, enum pop3_text text, const struct pop3_values *values)
{
	pop3_reply_err(&p->out, p->language, code, text, values);
}

void pop3_send(struct pop3_session *p)
{
	stream_write(p->stream, buf_str(&p->out));
	buf_clear(&p->out);
}

/* RFC 1939 §3: the whole maildrop or nothing; -ERR [IN-USE] (RFC 2449 §8.1.2) while another session has it. */
static bool lock_maildrop(struct pop3_session *p, struct fail **fail)
{
	struct store_mailbox inbox;
	p->reader = store_reader_acquire(p->session->account->store, fail);
	if (!p->reader || !store_read_mailbox(p->reader, STR("INBOX"), &inbox, fail) ||
	    !store_maildrop_lock(p->reader, inbox.id, &p->drop, fail))
		return false;
	p->locked = true;
	return true;
}

static void refuse(struct pop3_session *p, const struct fail *fail)
{
	if (fail->kind == FAIL_BUSY)
		pop3_say_err(p, POP3_IN_USE, POP3_SAY_IN_USE, NULL);
	else
		pop3_reply_fail(&p->out, p->language, fail->kind);
	log_event(LOG_INFO, p->session->connection, "maildrop-refused", LOG_TEXT("account", str_of(p->session->address)),
	          LOG_TEXT("why", str_of(fail_text(fail))));
}

static void count_messages(struct pop3_session *p)
{
	size_t count = p->drop.messages.count;
	p->deleted = mem_alloc(count * sizeof *p->deleted);
	p->octets = mem_resize(NULL, count, sizeof *p->octets);
	for (size_t i = 0; i < count; i++)
		p->octets[i] = UINT64_MAX;
	p->left = count;
	for (size_t i = 0; i < count; i++)
		p->left_octets += pop3_octets(p, i);
}

static void greet(struct pop3_session *p)
{
	pop3_say_ok(p, POP3_SAY_MAILDROP, &(struct pop3_values){ .messages = p->left, .octets = p->left_octets });
	log_event(LOG_INFO, p->session->connection, "pop3-begin", LOG_TEXT("account", str_of(p->session->address)),
	          LOG_NUMBER("messages", p->left), LOG_NUMBER("octets", p->left_octets));
}

static bool too_many_errors(struct pop3_session *p, unsigned *errors)
{
	if (++*errors <= LIMIT_POP3_ERRORS_MAX)
		return false;
	pop3_say_err(p, POP3_NO_CODE, POP3_SAY_TOO_MANY_ERRORS, NULL);
	return true;
}

static void serve_commands(struct pop3_session *p)
{
	unsigned errors = 0;
	while (!p->over) {
		struct str line;
		struct pop3_command command;
		struct pop3_situation situation = {
			.state = POP3_TRANSACTION, .tls = p->session->flags & SESSION_TLS, .utf8 = p->utf8, .language = p->language,
		};
		enum stream_line got = stream_read_line(p->stream, LIMIT_POP3_AUTH_LINE_MAX, STREAM_LF_TOO, &line);
		if (got == STREAM_NO_LINE)
			return;
		if (got == STREAM_LINE_TOO_LONG)
			pop3_command_too_long(&p->out, p->language);
		if (got == STREAM_LINE && pop3_command_check(&situation, line, &command, &p->out))
			pop3_carry_out(p, &command);
		else
			p->over = too_many_errors(p, &errors);
		pop3_send(p);
	}
}

static void say_farewell(struct pop3_session *p)
{
	enum stream_status status = stream_status(p->stream);
	if (p->over)
		return;
	if (status == STREAM_INTERRUPTED)
		pop3_say_err(p, POP3_SYS_TEMP, POP3_SAY_SHUTTING_DOWN, NULL);
	else if (status == STREAM_IDLE || status == STREAM_SLOW)
		pop3_say_err(p, POP3_NO_CODE, POP3_SAY_AUTOLOGOUT, NULL);
	pop3_send(p);
	log_event(LOG_INFO, p->session->connection, "pop3-broken-off", LOG_TEXT("account", str_of(p->session->address)),
	          LOG_TEXT("why", str_of(stream_status_name(status))));
}

static void release(struct pop3_session *p)
{
	if (p->locked)
		store_maildrop_unlock(&p->drop);
	store_reader_release(&p->reader);
	free(p->deleted);
	free(p->octets);
	buf_release(&p->out);
	buf_release(&p->mail);
}

static void serve_maildrop(struct pop3_session *p)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	bool too_many = session_count(p->session->account) > p->session->account->daemon.config.account_sessions_max;
	if (too_many)
		pop3_say_err(p, POP3_SYS_TEMP, POP3_SAY_TOO_MANY_SESSIONS, NULL);
	else if (!lock_maildrop(p, &fail))
		refuse(p, fail);
	else {
		count_messages(p);
		greet(p);
		pop3_send(p);
		serve_commands(p);
		say_farewell(p);
		return;
	}
	pop3_send(p);
}

void pop3_serve(struct session *s)
{
	int silence_ms = (int)s->account->daemon.config.pop3_autologout_seconds * 1000;
	const struct stream_times times = {
		.idle_ms = silence_ms,
		.command_ms = silence_ms,
		.write_ms = WRITE_PATIENCE_MS,
		.bulk_grace_ms = WRITE_PATIENCE_MS,
	};
	struct pop3_session p = {
		.session = s,
		.utf8 = s->flags & SESSION_UTF8,
		.out = BUF_WITH_LIMIT(ANSWER_MAX),
		.mail = BUF_WITH_LIMIT(MAIL_MEMORY_MAX),
		.language = (enum pop3_language)s->account->daemon.config.default_language,
	};
	p.stream = session_open_stream(s, INPUT_SIZE, &times);
	if (!p.stream)
		return;
	pop3_language_find(str_of(s->language), p.language, &p.language);
	serve_maildrop(&p);
	release(&p);
	stream_finish(p.stream);
}
