/* One client's session: reading commands, checking them against the table, answering. */
#include "smtpd.h"

#include "clock.h"
#include "host.h"
#include "log.h"
#include "file.h"
#include "milter.h"
#include "smtp_helo.h"
#include "smtp_session.h"

#include <stdlib.h>
#include <unistd.h>

enum { INPUT_SIZE = LIMIT_LEFTOVER_MAX + 4096, OUTPUT_HIGH = 65536 };

const struct config *session_config(const struct session *s)
{
	return &s->smtpd->daemon.config;
}

void session_say(struct session *s, const struct smtp_reply *reply)
{
	buf_clear(&s->reply);
	smtp_reply_add(&s->reply, reply);
	stream_write(s->stream, buf_str(&s->reply));
}

/* What queue decided, as the client hears it. */
const struct smtp_reply *verdict_reply(enum verdict_kind kind)
{
	static const struct smtp_reply replies[VERDICT_COUNT] = {
		[VERDICT_OK] = { 250, "2.0.0", "Ok" },
		[VERDICT_UNKNOWN_USER] = { 550, "5.1.1", "No such user here" },
		[VERDICT_RELAY_DENIED] = { 550, "5.7.1", "We do not relay mail to that domain for you" },
		[VERDICT_DISABLED] = { 550, "5.2.1", "That mailbox is disabled" },
		[VERDICT_OVER_QUOTA] = { 452, "4.2.2", "That mailbox is full" },
		[VERDICT_TOO_BIG_FOR_ACCOUNT] = { 552, "5.2.2", "The message is larger than that mailbox may become" },
		[VERDICT_TOO_BIG] = { 552, "5.3.4", "The message is too big" },
		[VERDICT_NO_SPACE] = { 452, "4.3.1", "Not enough disk space, try again later" },
		[VERDICT_TOO_MANY] = { 452, "4.5.3", "Too many recipients" }, /* RFC 5321 §4.5.3.1.10 */
		[VERDICT_TEMPORARY] = { 451, "4.3.0", "Not possible for the moment, try again later" },
		[VERDICT_SENDER_DENIED] = { 550, "5.7.1", "You may not send from that address" },
		[VERDICT_LOOP] = { 554, "5.4.6", "Too many Received fields: the message goes in a circle" },
		[VERDICT_GREYLISTED] = { 451, "4.7.1", "Greylisted: please try again in a few minutes" },
		[VERDICT_LIMIT] = { 450, "4.7.1", "Too much mail for now: please try again later" },
	};
	must((unsigned)kind < VERDICT_COUNT);
	return &replies[kind];
}

void session_say_verdict(struct session *s, enum verdict_kind kind)
{
	session_say(s, verdict_reply(kind));
}

static enum smtp_phase phase_of(const struct session *s)
{
	const struct transaction *txn = s->txn;
	return smtp_phase_of(s->helo[0] != '\0', txn != NULL, txn ? txn->recipients.count : 0, txn && txn->has_content);
}

static unsigned facts_of(const struct session *s)
{
	unsigned facts = SMTP_HANDED_OVER | SMTP_CLEAR_LOGIN_OK;
	if (s->flags & SESSION_TLS)
		facts |= SMTP_TLS_ACTIVE;
	if (s->flags & SESSION_LOGGED_IN)
		facts |= SMTP_LOGGED_IN;
	if (s->txn && s->txn->mail.body == SMTP_BODY_BINARYMIME)
		facts |= SMTP_BINARY_MAIL;
	if (stream_buffered(s->stream).length)
		facts |= SMTP_BYTES_BEHIND;
	return facts;
}

static struct smtp_ehlo session_offer(const struct session *s)
{
	const struct config *config = session_config(s);
	const struct smtp_offer offer = {
		.protocol = s->protocol, .tls = s->flags & SESSION_TLS, .size = config->message_size_max,
		.recipient_max = config->recipients_max, .hold_max = config->future_release_max_seconds,
		.now = clock_wall_seconds(), .by_min = config->deliver_by_minimum_seconds,
	};
	return smtp_session_offer(&offer);
}

unsigned session_extensions(const struct session *s)
{
	return session_offer(s).extensions | (s->protocol == SMTP_ON_SUBMISSION ? SMTP_AUTH : 0u);
}

/* RFC 5321 §4.1.4: EHLO in mid-session resets like RSET. After the hand-over neither STARTTLS nor AUTH is listed. */
static void greet_again(struct session *s, const struct smtp_request *request)
{
	const struct config *config = session_config(s);
	struct smtp_helo helo;
	const struct smtp_reply *refusal = smtp_helo_parse(request->argument, &helo);
	if (refusal) {
		session_say(s, refusal);
		return;
	}
	transaction_drop(s);
	memcpy(s->helo, helo.name, sizeof s->helo);
	buf_clear(&s->reply);
	if (request->command->id == SMTP_COMMAND_HELO) {
		s->flags &= ~(unsigned)SESSION_ESMTP;
		smtp_reply_printf(&s->reply, 250, NULL, "%s", config->hostname);
	} else {
		struct smtp_ehlo ehlo = session_offer(s);
		s->flags |= SESSION_ESMTP;
		smtp_ehlo_write(&s->reply, &ehlo, str_of(config->hostname), str_of(s->helo));
	}
	stream_write(s->stream, buf_str(&s->reply));
}

static void carry_out(struct session *s, const struct smtp_request *request)
{
	const struct smtp_reply *simple = smtp_simple_reply(s->protocol, request->command->id);
	if (simple)
		session_say(s, simple);
	switch (request->command->id) {
	case SMTP_COMMAND_EHLO:
	case SMTP_COMMAND_HELO:
	case SMTP_COMMAND_LHLO: greet_again(s, request); break;
	case SMTP_COMMAND_MAIL: smtp_mail(s, request); break;
	case SMTP_COMMAND_RCPT: smtp_rcpt(s, request); break;
	case SMTP_COMMAND_DATA: smtp_data_command(s); break;
	case SMTP_COMMAND_BDAT: smtp_bdat_command(s, request); break;
	case SMTP_COMMAND_RSET: transaction_drop(s); break;
	case SMTP_COMMAND_QUIT: s->over = true; break;
	default: break;
	}
}

static void refuse(struct session *s, const struct smtp_reply *refusal, const struct smtp_request *request)
{
	session_say(s, refusal);
	if (++s->errors > LIMIT_SMTP_ERRORS_MAX) {
		session_say(s, &(struct smtp_reply){ 421, "4.7.0", "Too many errors" });
		s->over = true;
	}
	if (request->must_close)
		s->over = true;
	else if (request->octets_behind)
		content_skip(s, request->octets_behind);
}

static void take_line(struct session *s, struct str line)
{
	/* The line dies with the next read, which DATA does at once: only its handler needs it, and copies what it
	 * keeps. */
	struct smtp_request request = {};
	const struct smtp_reply *refusal = smtp_command_check(s->protocol, phase_of(s), facts_of(s), line, &request);
	const struct smtp_reply *filtered = refusal && !request.command ? milter_unknown(s, line) : NULL;
	if (refusal)
		refuse(s, filtered ? filtered : refusal, &request);
	else
		carry_out(s, &request);
}

/* A line with bytes that SMTP forbids is never a command (RFC 5321 §2.3.8). */
static bool line_is_bad(struct str line)
{
	return str_find_char(line, '\n') < line.length || str_find_char(line, '\r') < line.length ||
	       str_find_char(line, '\0') < line.length;
}

/* True when the client is silent between transactions: the session goes back to porter and this process is free. */
static bool client_is_idle(struct session *s)
{
	return !s->txn && stream_buffered(s->stream).length == 0 &&
	       stream_wait_readable_or(s->stream, -1, RETURN_AFTER_MS) == STREAM_TIMED_OUT;
}

static void give_back(struct session *s)
{
	struct msg_session_return back = {
		.porter = s->porter, .flags = s->flags | SESSION_POOL_WAIT, .errors = s->errors,
		.transactions = s->transactions, .helo = str_of(s->helo), .leftover = stream_buffered(s->stream),
	};
	if (!stream_flush(s->stream))
		return;
	int descriptor = dup(stream_descriptor(s->stream));
	if (descriptor >= 0)
		msg_session_return_send(&s->smtpd->daemon.master.channel, s->connection, &back, descriptor);
}

static void say_why_it_ends(struct session *s)
{
	enum stream_status status = stream_status(s->stream);
	if (status == STREAM_IDLE || status == STREAM_SLOW)
		session_say(s, &(struct smtp_reply){ 421, "4.4.2", "Silent or slow for too long" });
	if (status != STREAM_OPEN)
		log_event(LOG_INFO, s->connection, "connection-ended", LOG_TEXT("peer", str_of(s->peer)),
		          LOG_TEXT("why", str_of(stream_status_name(status))));
}

static void serve_commands(struct session *s)
{
	static const struct smtp_reply too_long = { 500, "5.5.6", "Line too long" },
		bad_bytes = { 500, "5.5.2", "Lines end with CRLF only and hold no NUL" };
	struct smtp_request none = {};
	while (!s->over) {
		struct str line;
		if (client_is_idle(s)) {
			give_back(s);
			return;
		}
		enum stream_line got = stream_read_line(s->stream, LIMIT_SMTP_LINE_MAX, STREAM_LF_SHOWN, &line);
		if (got == STREAM_NO_LINE)
			break;
		if (got == STREAM_LINE_TOO_LONG)
			refuse(s, &too_long, &none);
		else if (line_is_bad(line))
			refuse(s, &bad_bytes, &none);
		else
			take_line(s, line);
	}
	say_why_it_ends(s);
	stream_finish(s->stream);
}

static enum smtp_protocol protocol_of(enum service service)
{
	return service == SERVICE_SMTP ? SMTP_ON_MX : service == SERVICE_LMTP ? SMTP_ON_LMTP : SMTP_ON_SUBMISSION;
}

static bool open_session(struct session *s, struct ipc_frame *frame)
{
	const struct config *config = session_config(s);
	struct msg_session message;
	int descriptor = ipc_take_descriptor(frame);
	if (!msg_session_read(frame, &message) || descriptor < 0 || message.service > SERVICE_SUBMISSIONS) {
		file_close(&descriptor);
		return false;
	}
	s->service = (enum service)message.service;
	s->protocol = protocol_of(s->service);
	s->flags = message.flags;
	s->connection = message.connection;
	s->porter = message.porter;
	s->token = message.token;
	s->errors = message.errors;
	s->transactions = message.transactions;
	str_copy_to_array(message.account, s->account, sizeof s->account);
	str_copy_to_array(message.peer, s->peer, sizeof s->peer);
	str_copy_to_array(message.helo, s->helo, sizeof s->helo);
	str_copy_to_array(message.tls_version, s->tls_version, sizeof s->tls_version);
	str_copy_to_array(message.tls_cipher, s->tls_cipher, sizeof s->tls_cipher);
	struct stream_options options = {
		.input_size = INPUT_SIZE, .output_high = OUTPUT_HIGH, .leftover = message.leftover,
		.times = {
			.idle_ms = (int)config->command_timeout_seconds * 1000,
			.command_ms = (int)config->command_timeout_seconds * 1000,
			.write_ms = (int)config->command_timeout_seconds * 1000, .bulk_grace_ms = 60000,
			.bulk_rate_min = config->data_rate_minimum,
		},
	};
	s->stream = stream_new(descriptor, &options);
	return true;
}

static void tell_load(struct session *s, bool busy)
{
	struct msg_load load = { .busy = busy, .porter = s->porter, .connection = s->connection };
	msg_load_send(&s->smtpd->daemon.master.channel, 0, &load, -1);
}

void session_serve(struct smtpd *smtpd, struct ipc_frame *frame)
{
	struct session s = { .smtpd = smtpd, .reply = BUF_WITH_LIMIT(65536) };
	if (!open_session(&s, frame))
		return;
	tell_load(&s, true);
	serve_commands(&s);
	transaction_drop(&s);
	milter_end(&s);
	host_free(s.host);
	tell_load(&s, false);
	stream_free(s.stream);
	buf_release(&s.reply);
}
