/* The connections to filters, and what is asked before the message. */
#include "milter.h"

#include "clock.h"
#include "file.h"
#include "host.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { CONNECT_PATIENCE_MS = 5000, READ_SIZE = 65536, SEND_HIGH = 65536, TIMES_ALL_TOGETHER = 10 };

static bool is_for(const struct session *s, const struct config_milter *milter)
{
	return s->protocol == SMTP_ON_SUBMISSION ? milter->for_submission : milter->for_smtp;
}

bool milter_is_wanted(const struct session *s)
{
	const struct config_milters *milters = &session_config(s)->milters;
	for (size_t i = 0; i < milters->count; i++)
		if (is_for(s, &milters->items[i]))
			return true;
	return false;
}

static void link_close(struct milter_link *link)
{
	if (link->descriptor >= 0) {
		milter_client_release(&link->client);
		buf_release(&link->input);
	}
	file_close(&link->descriptor);
	link->greeted = link->in_mail = false;
	link->helo[0] = '\0';
}

/* What holds now is its default, which the log tells the reason of. */
static enum milter_outcome away(struct session *s, struct milter_link *link, const char *why)
{
	CLEANUP(buf_release) struct buf address = BUF_WITH_LIMIT(200);
	endpoint_print(&address, &link->config->address);
	log_event(LOG_WARNING, s->connection, "milter-away", LOG_TEXT("milter", buf_str(&address)),
	          LOG_TEXT("why", str_of(why)));
	link_close(link);
	link->is_away = true;
	return MILTER_AWAY;
}

/* ---- bytes ---- */

static int64_t deadline(const struct session *s)
{
	int64_t silence = clock_monotonic_ms() + (int64_t)session_config(s)->milter_timeout_seconds * 1000;
	return silence < s->milters->until_ms ? silence : s->milters->until_ms;
}

static bool wait_until(int descriptor, short events, int64_t until)
{
	struct pollfd one = { .fd = descriptor, .events = events };
	for (;;) {
		int64_t left = until - clock_monotonic_ms();
		int ready = left > 0 ? poll(&one, 1, (int)left) : 0;
		if (ready >= 0 || errno != EINTR)
			return ready > 0;
	}
}

static bool send_all(const struct session *s, struct milter_link *link)
{
	struct buf *out = &link->client.out;
	size_t sent = 0;
	while (sent < out->length) {
		ssize_t length = send(link->descriptor, out->data + sent, out->length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (length < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (length > 0)
			sent += (size_t)length;
		else if (!wait_until(link->descriptor, POLLOUT, deadline(s)))
			return false;
	}
	bool good = !out->overflowed;
	buf_clear(out);
	return good;
}

static bool receive_more(const struct session *s, struct milter_link *link)
{
	int64_t until = deadline(s);
	for (;;) {
		char *room = buf_reserve(&link->input, READ_SIZE);
		ssize_t length = room ? recv(link->descriptor, room, READ_SIZE, MSG_DONTWAIT) : 0;
		if (length > 0) {
			buf_claim(&link->input, (size_t)length);
			return true;
		}
		if (length == 0 || (errno != EAGAIN && errno != EINTR) || !wait_until(link->descriptor, POLLIN, until))
			return false;
	}
}

/* ---- questions and answers ---- */

static enum milter_outcome refuse_with(struct milter_link *link, int code, const char *status, const char *text)
{
	link->code = code;
	str_copy_to_array(str_of(status), link->status, sizeof link->status);
	str_copy_to_array(str_of(text), link->text, sizeof link->text);
	return MILTER_REFUSES;
}

static enum milter_outcome refuse_with_answer(struct milter_link *link, const struct milter_answer *answer)
{
	refuse_with(link, answer->code, answer->code < 500 ? "4.7.1" : "5.7.1", "Refused by a filter");
	if (answer->status.length)
		str_copy_to_array(answer->status, link->status, sizeof link->status);
	if (answer->text.length)
		str_copy_to_array(answer->text, link->text, sizeof link->text);
	return MILTER_REFUSES;
}

static enum milter_outcome outcome_of(struct milter_link *link, const struct milter_answer *answer)
{
	switch (answer->kind) {
	case MILTER_ACCEPT: return MILTER_ACCEPTS;
	case MILTER_DISCARD: return MILTER_DISCARDS;
	case MILTER_SKIP: return MILTER_SKIPS;
	case MILTER_REJECT: return refuse_with(link, 550, "5.7.1", "Refused by a filter");
	case MILTER_CONNECTION_FAILED:
	case MILTER_TEMPFAIL: return refuse_with(link, 451, "4.7.1", "A filter wants it to be tried again later");
	case MILTER_SHUTDOWN: return refuse_with(link, 421, "4.7.0", "A filter wants no more of this connection");
	case MILTER_REPLY_CODE: return refuse_with_answer(link, answer);
	default: return MILTER_GOES_ON;
	}
}

static enum milter_outcome await(struct session *s, struct milter_link *link, const struct milter_taker *taker)
{
	enum milter_outcome outcome = MILTER_GOES_ON;
	while (link->client.awaits) {
		struct milter_answer answer;
		size_t used;
		enum milter_event event = milter_client_read(&link->client, buf_str(&link->input), &used, &answer);
		if (event == MILTER_BAD)
			return away(s, link, "it broke the protocol");
		if (event == MILTER_MORE) {
			if (!receive_more(s, link))
				return away(s, link, "it did not answer");
			continue;
		}
		if (!link->client.awaits)
			outcome = outcome_of(link, &answer);
		else if (answer.kind != MILTER_PROGRESS && taker && !taker->take(taker->owner, &answer))
			return away(s, link, "its changes could not be kept");
		buf_consume(&link->input, used);
	}
	return outcome;
}

enum milter_outcome milter_exchange(struct session *s, struct milter_link *link, const struct milter_request *request,
                                    const struct milter_taker *taker)
{
	bool awaits = milter_client_ask(&link->client, request);
	if ((awaits || link->client.out.length > SEND_HIGH) && !send_all(s, link))
		return away(s, link, "it took nothing");
	return awaits ? await(s, link, taker) : MILTER_GOES_ON;
}

enum milter_outcome milter_tell(struct session *s, struct milter_link *link, const struct milter_request *request,
                                const struct milter_taker *taker)
{
	milter_tell_macros(s, link, request);
	return milter_exchange(s, link, request, taker);
}

/* ---- the connection ---- */

/* Master's answer comes over the control channel; its loop handles that while we wait here. */
static int ask_master(struct session *s, uint32_t index)
{
	struct smtpd *smtpd = s->smtpd;
	int64_t now = clock_monotonic_ms(), until = now + CONNECT_PATIENCE_MS;
	smtpd->milter_answered = false;
	smtpd->milter_socket = -1;
	smtpd->milter_request++;
	msg_milter_connect_send(&smtpd->daemon.master.channel, smtpd->milter_request,
		&(struct msg_milter_connect){ .index = index }, -1);
	smtpd_pause_pool(smtpd);
	for (; !smtpd->milter_answered && now < until; now = clock_monotonic_ms())
		loop_step(smtpd->daemon.loop, (int)(until - now));
	smtpd_resume_pool(smtpd);
	smtpd->milter_answered = true;
	return smtpd->milter_socket;
}

static enum milter_outcome negotiate(struct session *s, struct milter_link *link)
{
	const struct milter_request options = {
		.command = MILTER_OPTIONS,
		.options = { MILTER_VERSION,
		             MILTER_MAY_ADD_HEADERS | MILTER_MAY_CHANGE_BODY | MILTER_MAY_ADD_RECIPIENTS | MILTER_MAY_DELETE_RECIPIENTS |
		                 MILTER_MAY_CHANGE_HEADERS | MILTER_MAY_QUARANTINE | MILTER_MAY_CHANGE_SENDER | MILTER_MAY_ADD_RECIPIENTS_WITH |
		                 MILTER_MAY_CHOOSE_MACROS,
		             MILTER_NO_CONNECT | MILTER_NO_HELO | MILTER_NO_MAIL | MILTER_NO_RCPT | MILTER_NO_BODY | MILTER_NO_HEADERS |
		                 MILTER_NO_END_OF_HEADER | MILTER_SILENT_HEADER | MILTER_NO_UNKNOWN | MILTER_NO_DATA | MILTER_CAN_SKIP |
		                 MILTER_SILENT_CONNECT | MILTER_SILENT_HELO | MILTER_SILENT_MAIL | MILTER_SILENT_RCPT | MILTER_SILENT_DATA | MILTER_SILENT_UNKNOWN |
		                 MILTER_SILENT_END_OF_HEADER | MILTER_SILENT_BODY | MILTER_LEADING_SPACE },
	};
	return milter_exchange(s, link, &options, NULL);
}

static enum milter_outcome open_link(struct session *s, struct milter_link *link)
{
	int error = 0;
	socklen_t size = sizeof error;
	link->descriptor = ask_master(s, link->index);
	if (link->descriptor < 0)
		return away(s, link, "no connection");
	milter_client_init(&link->client);
	buf_init(&link->input, 2 * LIMIT_MILTER_PACKET_MAX);
	if (!wait_until(link->descriptor, POLLOUT, deadline(s)) ||
	    getsockopt(link->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error)
		return away(s, link, "no connection");
	return negotiate(s, link);
}

static enum milter_outcome tell_connect(struct session *s, struct milter_link *link)
{
	struct milter_request request = { .command = MILTER_CONNECT, .family = 'U', .argument_count = 1 };
	struct endpoint client;
	struct str name;
	host_name(s, &name);
	request.arguments[0] = name.length ? name : STR("unknown");
	if (endpoint_parse_ip(str_of(s->peer), 0, &client, NULL)) {
		request.family = client.any.sa_family == AF_INET ? '4' : '6';
		request.arguments[request.argument_count++] = str_of(s->peer);
	}
	link->greeted = true;
	return milter_tell(s, link, &request, NULL);
}

static enum milter_outcome tell_helo(struct session *s, struct milter_link *link)
{
	const struct milter_request request = { .command = MILTER_HELO, .arguments = { str_of(s->helo) },
		.argument_count = 1 };
	memcpy(link->helo, s->helo, sizeof link->helo);
	return milter_tell(s, link, &request, NULL);
}

/* All that comes before MAIL, as far as it was not said yet. */
static enum milter_outcome greet(struct session *s, struct milter_link *link)
{
	enum milter_outcome outcome = MILTER_GOES_ON;
	if (link->descriptor < 0)
		outcome = open_link(s, link);
	if (outcome == MILTER_GOES_ON && !link->greeted)
		outcome = link->greeting = tell_connect(s, link);
	if (outcome == MILTER_GOES_ON && strcmp(link->helo, s->helo) != 0)
		outcome = link->greeting = tell_helo(s, link);
	link->has_enough = outcome == MILTER_ACCEPTS;
	return outcome;
}

/* ---- the dialogue ---- */

static struct milters *milters_of(struct session *s)
{
	const struct config_milters *configured = &session_config(s)->milters;
	if (s->milters)
		return s->milters;
	s->milters = mem_alloc(sizeof *s->milters);
	s->milters->links = mem_resize(NULL, configured->count, sizeof *s->milters->links);
	for (size_t i = 0; i < configured->count; i++)
		if (is_for(s, &configured->items[i]))
			s->milters->links[s->milters->count++] = (struct milter_link){ .config = &configured->items[i],
				.index = (uint32_t)i, .descriptor = -1 };
	return s->milters;
}

/* What the client hears, if anything. */
static const struct smtp_reply *reply_of(struct session *s, struct milter_link *link, enum milter_outcome outcome)
{
	static const struct smtp_reply later = { 451, "4.7.1", "A filter is away, try again later" };
	static const struct smtp_reply never = { 550, "5.7.1", "A filter is away" };
	struct milters *m = s->milters;
	if (outcome == MILTER_AWAY)
		return link->config->otherwise == CONFIG_MILTER_ACCEPT   ? NULL
		       : link->config->otherwise == CONFIG_MILTER_REJECT ? &never
		                                                         : &later;
	if (outcome != MILTER_REFUSES)
		return NULL;
	m->reply = (struct smtp_reply){ link->code, link->status, link->text };
	if (link->code == 421)
		s->over = true;
	return &m->reply;
}

/* ACCEPT is about the message from here on; DISCARD ends all talk of it. */
static const struct smtp_reply *take_outcome(struct session *s, struct milter_link *link, enum milter_outcome outcome)
{
	if (outcome == MILTER_ACCEPTS && link)
		link->is_done = true;
	if (outcome == MILTER_DISCARDS)
		s->milters->discards = true;
	return reply_of(s, link, outcome);
}

static const struct smtp_reply *begin_mail(struct session *s, struct milter_link *link)
{
	CLEANUP(buf_release) struct buf path = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 10), size = BUF_WITH_LIMIT(40);
	const struct smtp_mail *mail = &s->txn->mail;
	struct milter_request request = { .command = MILTER_MAIL, .argument_count = 1 };
	link->is_done = link->has_enough;
	link->is_away = false;
	if (link->is_done)
		return NULL;
	if (link->descriptor >= 0 && link->greeting == MILTER_REFUSES)
		return reply_of(s, link, MILTER_REFUSES);
	enum milter_outcome outcome = greet(s, link);
	if (outcome != MILTER_GOES_ON)
		return link->has_enough ? (link->is_done = true, NULL) : reply_of(s, link, outcome);
	buf_printf(&path, "<%.*s>", STR_ARG(mail->from.mailbox));
	request.arguments[0] = buf_str(&path);
	if (mail->size) {
		buf_printf(&size, "SIZE=%" PRIu64, mail->size);
		request.arguments[request.argument_count++] = buf_str(&size);
	}
	link->in_mail = true;
	return take_outcome(s, link, milter_tell(s, link, &request, NULL));
}

/* How long the client takes between its commands is not the filters' fault. */
static void give_time(struct session *s)
{
	s->milters->until_ms = clock_monotonic_ms() +
	                       (int64_t)session_config(s)->milter_timeout_seconds * 1000 * TIMES_ALL_TOGETHER;
}

const struct smtp_reply *milter_mail(struct session *s)
{
	if (!milter_is_wanted(s))
		return NULL;
	struct milters *m = milters_of(s);
	m->discards = false;
	give_time(s);
	const struct smtp_reply *refusal = NULL;
	for (size_t i = 0; i < m->count && !refusal && !m->discards; i++)
		refusal = begin_mail(s, &m->links[i]);
	return refusal;
}

const struct smtp_reply *milter_rcpt(struct session *s, struct str address)
{
	CLEANUP(buf_release) struct buf path = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 10);
	struct milters *m = s->milters;
	const struct smtp_reply *refusal = NULL;
	if (!m)
		return NULL;
	give_time(s);
	buf_printf(&path, "<%.*s>", STR_ARG(address));
	const struct milter_request request = { .command = MILTER_RCPT, .arguments = { buf_str(&path) },
		.argument_count = 1 };
	for (size_t i = 0; i < m->count && !refusal && !m->discards; i++) {
		struct milter_link *link = &m->links[i];
		if (link->is_away)
			refusal = reply_of(s, link, MILTER_AWAY);
		else if (!link->is_done)
			refusal = take_outcome(s, link, milter_tell(s, link, &request, NULL));
	}
	return refusal;
}

const struct smtp_reply *milter_unknown(struct session *s, struct str line)
{
	const struct milter_request request = { .command = MILTER_UNKNOWN, .arguments = { line }, .argument_count = 1 };
	struct milters *m = s->milters;
	const struct smtp_reply *reply = NULL;
	if (!m)
		return NULL;
	give_time(s);
	for (size_t i = 0; i < m->count && !reply; i++) {
		struct milter_link *link = &m->links[i];
		bool listens = link->greeted && !link->has_enough && !(link->in_mail && link->is_done);
		if (listens && milter_exchange(s, link, &request, NULL) == MILTER_REFUSES)
			reply = reply_of(s, link, MILTER_REFUSES);
	}
	return reply;
}

const struct smtp_reply *milter_message(struct session *s, struct content *content, bool *discard)
{
	struct milters *m = s->milters;
	struct milter_link *link = NULL;
	const struct smtp_reply *refusal = NULL;
	if (!m)
		return NULL;
	give_time(s);
	if (!m->discards) {
		enum milter_outcome outcome = milter_show(s, content, &link);
		refusal = take_outcome(s, link, outcome);
	}
	*discard = m->discards && !refusal;
	return refusal;
}

void milter_abort(struct session *s)
{
	static const struct milter_request abort = { .command = MILTER_ABORT };
	for (size_t i = 0; s->milters && i < s->milters->count; i++) {
		struct milter_link *link = &s->milters->links[i];
		if (link->in_mail && link->descriptor >= 0)
			milter_exchange(s, link, &abort, NULL); /* goes out with what comes next */
		link->in_mail = false;
	}
}

void milter_end(struct session *s)
{
	static const struct milter_request quit = { .command = MILTER_QUIT };
	struct milters *m = s->milters;
	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++) {
		struct milter_link *link = &m->links[i];
		if (link->descriptor >= 0) {
			milter_client_ask(&link->client, &quit);
			send(link->descriptor, link->client.out.data, link->client.out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		link_close(link);
	}
	free(m->links);
	free(m);
	s->milters = NULL;
}
