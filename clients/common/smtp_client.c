#include "smtp_client.h"

#include "smtp_data.h"
#include "smtp_ehlo.h"
#include "smtp_reply.h"
#include "text.h"
#include "words.h"

#include <stdlib.h>

enum { PIECE = 65536 };

struct dialogue {
	const struct smtp_client_options *options;
	const struct smtp_submission *submission;
	struct connection connection;
	struct smtp_reply_reader reply;
	struct smtp_ehlo offered;
};

void smtp_results_release(struct smtp_result *results, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(TAKE(results[i].text));
}

static void end(struct dialogue *d)
{
	smtp_reply_reader_release(&d->reply);
	connection_close(&d->connection);
}

/* ---- replies ---- */

static void send_text(struct dialogue *d, const char *text)
{
	stream_write(d->connection.stream, str_of(text));
}

static bool read_reply(struct dialogue *d, struct fail **fail)
{
	enum smtp_reply_state state = SMTP_REPLY_MORE;
	smtp_reply_reader_clear(&d->reply);
	stream_begin_bulk(d->connection.stream);
	while (state == SMTP_REPLY_MORE) {
		struct str input = stream_peek(d->connection.stream);
		size_t used;
		if (input.length == 0)
			return connection_lost(&d->connection, fail);
		state = smtp_reply_read(&d->reply, input, &used);
		stream_consume(d->connection.stream, used);
	}
	return state == SMTP_REPLY_DONE || fail_set(fail, FAIL_CORRUPT, _("the server's answer is no SMTP reply"));
}

static bool is_positive(const struct dialogue *d)
{
	return d->reply.code >= 200 && d->reply.code < 400;
}

static bool refused(const struct dialogue *d, const char *what, struct fail **fail)
{
	enum fail_kind kind = d->reply.code == 552 ? FAIL_TOO_BIG : d->reply.code < 500 ? FAIL_BUSY : FAIL_DENIED;
	return fail_set(fail, kind, _("%s: the server says: %d %.*s"), _(what), d->reply.code,
	                STR_ARG(buf_str(&d->reply.text)));
}

/* A reply that must be positive. */
static bool expect(struct dialogue *d, const char *what, struct fail **fail)
{
	return read_reply(d, fail) && (is_positive(d) || refused(d, what, fail));
}

static void warn(const struct dialogue *d, const char *text)
{
	if (d->options->warn)
		d->options->warn(d->options->context, text);
}

/* ---- from the greeting to the log-in ---- */

static bool say_hello(struct dialogue *d, struct fail **fail)
{
	CLEANUP(buf_release) struct buf own = BUF_WITH_LIMIT(100);
	connection_own_literal(&d->connection, &own);
	stream_printf(d->connection.stream, "EHLO %s\r\n", buf_text(&own));
	if (!expect(d, "EHLO", fail))
		return false;
	smtp_ehlo_read(buf_str(&d->reply.text), &d->offered);
	return true;
}

/* RFC 3207 §4.2: what was said before TLS is forgotten. */
static bool start_tls(struct dialogue *d, struct fail **fail)
{
	if (!(d->offered.extensions & SMTP_STARTTLS))
		return fail_set(fail, FAIL_CORRUPT,
		                _("the server does not offer STARTTLS, so the connection can't be protected"));
	send_text(d, "STARTTLS\r\n");
	return expect(d, "STARTTLS", fail) && connection_start_tls(&d->connection, fail) && say_hello(d, fail);
}

static void send_auth_line(void *context, struct str line)
{
	struct dialogue *d = context;
	stream_write(d->connection.stream, line);
	send_text(d, "\r\n");
}

static enum login_answer receive_auth(void *context, struct buf *challenge, struct fail **fail)
{
	struct dialogue *d = context;
	if (!read_reply(d, fail))
		return LOGIN_BROKEN;
	if (d->reply.code == 334 && text_base64_decode(challenge, str_trim(buf_str(&d->reply.text))))
		return LOGIN_CHALLENGE;
	if (d->reply.code == 334) {
		fail_set(fail, FAIL_CORRUPT, _("the server's challenge is not valid base64"));
		return LOGIN_BROKEN;
	}
	if (is_positive(d))
		return LOGIN_ACCEPTED;
	refused(d, N_("log-in"), fail);
	return LOGIN_REFUSED;
}

static bool log_in(struct dialogue *d, struct fail **fail)
{
	const struct login_credentials credentials = { str_of(d->options->server.user), d->options->password };
	const struct login_wire wire = { d, send_auth_line, receive_auth, LIMIT_SMTP_AUTH_LINE_MAX };
	const struct tls_facts *facts = d->connection.is_protected ? &d->connection.facts : NULL;
	const struct login_offer offer = { .mechanisms = str_of(d->offered.mechanisms),
		                               .tls = facts,
		                               .binding = facts && facts->has_binding };
	struct login_plan plan;
	enum login_answer answer = LOGIN_REFUSED;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (credentials.user.length == 0)
		return true;
	if (!login_choose(&offer, d->options->method, &plan, fail))
		return false;
	if (plan.reveals)
		warn(d, _("the password travels unprotected: there is no TLS, and the server offers no log-in that hides it"));
	for (size_t i = 0; i < plan.count && answer == LOGIN_REFUSED && (!why || why->kind == FAIL_DENIED); i++)
		answer = login_exchange(&wire, plan.tries[i], &credentials, facts, &why);
	return answer == LOGIN_ACCEPTED || fail_set(fail, why->kind, "%s", why->text);
}

/* ---- the transaction ---- */

static bool is_utf8_envelope(const struct smtp_submission *s)
{
	bool ascii = text_is_ascii(s->sender);
	for (size_t i = 0; i < s->recipient_count; i++)
		ascii &= text_is_ascii(s->recipients[i]);
	return !ascii;
}

/* What the server has said that it can't take is not sent at all. */
static bool check_offer(struct dialogue *d, struct fail **fail)
{
	const struct smtp_submission *s = d->submission;
	unsigned offered = d->offered.extensions;
	if (d->offered.size && s->content.length > d->offered.size)
		return fail_set(fail, FAIL_TOO_BIG, _("the message has %zu octets, and the server takes %llu"),
		                s->content.length, (unsigned long long)d->offered.size);
	if (d->offered.recipient_max && s->recipient_count > d->offered.recipient_max)
		return fail_set(fail, FAIL_LIMIT, _("the server takes %llu recipients at a time"),
		                (unsigned long long)d->offered.recipient_max);
	if (is_utf8_envelope(s) && !(offered & SMTP_SMTPUTF8))
		return fail_set(fail, FAIL_DENIED, _("the server does not take addresses beyond ASCII"));
	if (s->has_utf8_header && !(offered & SMTP_SMTPUTF8))
		warn(d, _("the server does not announce that it takes headers beyond ASCII"));
	if (s->has_8bit && !(offered & SMTP_8BITMIME))
		warn(d, _("the server does not announce that it takes text beyond ASCII"));
	return true;
}

static void send_mail(struct dialogue *d)
{
	const struct smtp_submission *s = d->submission;
	unsigned offered = d->offered.extensions;
	stream_printf(d->connection.stream, "MAIL FROM:<%.*s>", STR_ARG(s->sender));
	if (offered & SMTP_SIZE)
		stream_printf(d->connection.stream, " SIZE=%zu", s->content.length);
	if (s->has_8bit && offered & SMTP_8BITMIME)
		send_text(d, " BODY=8BITMIME");
	if ((s->has_utf8_header || is_utf8_envelope(s)) && offered & SMTP_SMTPUTF8)
		send_text(d, " SMTPUTF8");
	send_text(d, "\r\n");
}

static void send_recipient(struct dialogue *d, size_t i)
{
	stream_printf(d->connection.stream, "RCPT TO:<%.*s>\r\n", STR_ARG(d->submission->recipients[i]));
}

static bool take_result(struct dialogue *d, struct smtp_result *result, size_t *accepted, struct fail **fail)
{
	if (!read_reply(d, fail))
		return false;
	result->code = d->reply.code;
	result->text = str_copy(buf_str(&d->reply.text));
	*accepted += is_positive(d);
	return true;
}

static bool judge(struct dialogue *d, const struct smtp_result *results, size_t accepted, struct fail **fail)
{
	size_t count = d->submission->recipient_count, i = 0;
	if (accepted == count || (accepted && d->options->send_to_accepted))
		return true;
	while (i < count && results[i].code < 400)
		i++;
	return fail_set(fail, results[i].code < 500 ? FAIL_BUSY : FAIL_NOT_FOUND,
	                ngettext("%zu of %zu recipients was refused; nothing was sent",
	                         "%zu of %zu recipients were refused; nothing was sent", count - accepted),
	                count - accepted, count);
}

/* RFC 2920 §3.1: MAIL and all RCPT in one group, or one by one. */
static bool envelope(struct dialogue *d, struct smtp_result *results, struct fail **fail)
{
	size_t count = d->submission->recipient_count, accepted = 0;
	bool pipelined = d->offered.extensions & SMTP_PIPELINING;
	send_mail(d);
	for (size_t i = 0; pipelined && i < count; i++)
		send_recipient(d, i);
	if (!expect(d, N_("sender"), fail))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!pipelined)
			send_recipient(d, i);
		if (!take_result(d, &results[i], &accepted, fail))
			return false;
	}
	return judge(d, results, accepted, fail);
}

static bool send_data(struct dialogue *d, struct fail **fail)
{
	CLEANUP(buf_release) struct buf stuffed = BUF_WITH_LIMIT(2 * PIECE + 100);
	struct smtp_stuffer stuffer = {};
	send_text(d, "DATA\r\n");
	if (!read_reply(d, fail))
		return false;
	if (d->reply.code < 400 && d->reply.code != 354)
		return fail_set(fail, FAIL_CORRUPT, _("the server answers DATA with %d"), d->reply.code);
	if (d->reply.code != 354)
		return refused(d, "DATA", fail);
	for (struct str rest = d->submission->content; rest.length; rest = str_from_index(rest, PIECE)) {
		buf_clear(&stuffed);
		smtp_stuff_add(&stuffer, str_first(rest, PIECE), &stuffed);
		stream_write(d->connection.stream, buf_str(&stuffed));
	}
	buf_clear(&stuffed);
	smtp_stuff_end(&stuffer, &stuffed);
	stream_write(d->connection.stream, buf_str(&stuffed));
	return true;
}

static bool send_chunk(struct dialogue *d)
{
	stream_printf(d->connection.stream, "BDAT %zu LAST\r\n", d->submission->content.length);
	stream_write(d->connection.stream, d->submission->content);
	return true;
}

static bool content(struct dialogue *d, struct fail **fail)
{
	if (!(d->offered.extensions & SMTP_CHUNKING ? send_chunk(d) : send_data(d, fail)))
		return false;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!read_reply(d, &why))
		return fail_set(fail, why->kind, _("%s before it answered to the message: it may or may not have been sent"),
		                why->text);
	return is_positive(d) || refused(d, N_("message"), fail);
}

bool smtp_client_submit(const struct smtp_client_options *options, const struct smtp_submission *submission,
                        struct smtp_result *results, struct fail **fail)
{
	CLEANUP(end) struct dialogue d = { .options = options, .submission = submission };
	smtp_reply_reader_init(&d.reply);
	if (!connection_open(&d.connection, &options->server, options->ca_file, options->timeout_ms, fail) ||
	    !expect(&d, N_("greeting"), fail) || !say_hello(&d, fail))
		return false;
	if (options->server.tls == SERVER_TLS_STARTTLS && !start_tls(&d, fail))
		return false;
	if (!log_in(&d, fail) || !check_offer(&d, fail) || !envelope(&d, results, fail) || !content(&d, fail))
		return false;
	/* It is sent whatever becomes of the farewell. */
	send_text(&d, "QUIT\r\n");
	(void)read_reply(&d, NULL);
	return true;
}
