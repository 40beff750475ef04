#include "connection.h"

#include "file.h"
#include "log.h"
#include "mem.h"
#include "socket.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUT_MAX = 65536, READ_SIZE = 16384, ROUNDS_MAX = 32, HANDSHAKE_SECONDS = 60, GOODBYE_SECONDS = 5,
	MAILS_MAX = 1000 };
enum { GREETING_LOOK_SECONDS = 30, GREETING_LOOKS_MAX = 9 };

/* ---- those that rest ---- */

static void stop_rest(struct connection *c)
{
	struct relay *r = c->relay;
	if (!c->rests)
		return;
	c->rests = false;
	c->host->resting--;
	*(c->previous ? &c->previous->next : &r->newest_resting) = c->next;
	*(c->next ? &c->next->previous : &r->oldest_resting) = c->previous;
}

static void begin_rest(struct connection *c)
{
	struct relay *r = c->relay;
	c->rests = true;
	c->rested_ms = loop_now_ms(r->daemon.loop);
	c->host->resting++;
	c->previous = NULL;
	c->next = r->newest_resting;
	*(c->next ? &c->next->previous : &r->oldest_resting) = c;
	r->newest_resting = c;
}

static bool is_same_demand(const struct demand *a, const struct demand *b)
{
	return strcmp(a->name, b->name) == 0 && a->tls == b->tls && a->lmtp == b->lmtp && a->login == b->login &&
	       policy_is_same_demand(&a->policy, &b->policy);
}

struct connection *connection_take(struct host *host, const struct demand *demand, struct attempt *attempt)
{
	struct relay *r = host->relay;
	for (struct connection *c = r->newest_resting; c; c = c->next) {
		if (c->host != host || !is_same_demand(&c->demand, demand))
			continue;
		stop_rest(c);
		loop_stop_timer(r->daemon.loop, &c->timer);
		c->attempt = attempt;
		c->heard = false;
		return c;
	}
	return NULL;
}

/* ---- the end ---- */

static void connection_free(struct connection *c)
{
	struct relay *r = c->relay;
	stop_rest(c);
	if (c->socket_request)
		map_remove(r->socket_requests, MAP_KEY(c->socket_request));
	loop_stop_timer(r->daemon.loop, &c->timer);
	loop_unwatch(r->daemon.loop, &c->watch);
	if (c->tls)
		tls_shutdown(c->tls);
	tls_free(c->tls);
	smtp_sender_free(c->sender);
	login_release(&c->login);
	buf_release(&c->in);
	buf_release(&c->out);
	if (c->descriptor >= 0)
		close(c->descriptor);
	c->host->connections--;
	host_let_go(c->host);
	r->connection_count--;
	free(c);
	attempt_wake_waiting(r);
}

/* The attempt hears it once. */
static void tell_over(struct connection *c, const struct failure *failure)
{
	struct attempt *attempt = TAKE(c->attempt);
	c->over = true;
	if (attempt)
		attempt_over(attempt, failure);
}

static void fail_tls(struct connection *c, const char *status, struct str text)
{
	tell_over(c, &(struct failure){ .kind = FAILURE_TLS, .status = status, .text = text });
}

static void fail_connect(struct connection *c, int error)
{
	const char *why = error == ETIMEDOUT ? "no answer" : strerror(error);
	host_failed(c->host, "4.4.1", str_of(why));
	tell_over(c, &(struct failure){ .kind = FAILURE_CONNECT, .status = "4.4.1", .text = str_of(why) });
}

/* ---- TLS ---- */

static struct tls_connection *new_tls(struct connection *c, struct fail **fail)
{
	struct tls_client *client = c->relay->tls;
	if (c->demand.policy.level == POLICY_DANE)
		return policy_connect(&c->demand.policy, client, c->descriptor, fail);
	if (c->demand.policy.observed && c->demand.tls < CONFIG_RELAY_TLS_VERIFY)
		return tls_connect_observed(client, c->descriptor, c->demand.name, fail);
	if (c->demand.tls >= CONFIG_RELAY_TLS_VERIFY)
		return tls_connect(client, c->descriptor, c->demand.name, fail);
	return tls_connect_unverified(client, c->descriptor, c->demand.name);
}

/* For logs and results. */
static const char *how_verified(const struct connection *c)
{
	return c->demand.policy.level == POLICY_DANE      ? "dane"
	       : c->demand.tls >= CONFIG_RELAY_TLS_VERIFY ? "verified"
	                                                  : "opportunistic";
}

static void begin_tls(struct connection *c)
{
	struct relay *r = c->relay;
	CLEANUP(fail_free) struct fail *fail = NULL;
	c->tls = new_tls(c, &fail);
	if (!c->tls) {
		fail_tls(c, "4.7.5", str_of(fail_text(fail)));
		return;
	}
	c->state = CONNECTION_IN_HANDSHAKE;
	loop_start_timer(r->daemon.loop, &c->timer, relay_scale_ms(r, HANDSHAKE_SECONDS), c->timer.fire, c);
}

static void note_tls(struct connection *c)
{
	struct tls_facts facts;
	tls_get_facts(c->tls, &facts);
	snprintf(c->tls_text, sizeof c->tls_text, "%s %s %s", facts.version, facts.cipher, how_verified(c));
}

static void tell_tls(struct connection *c, enum tlsrpt_result result, struct str reason)
{
	if (c->attempt && !c->tls_told)
		attempt_tls(c->attempt, result, reason);
	c->tls_told = true;
}

/* RFC 8460 §4.3 */
static enum tlsrpt_result result_of(const struct connection *c, bool failed)
{
	static const enum tlsrpt_result results[] = {
		[TLS_PROBLEM_NAME] = TLSRPT_CERTIFICATE_HOST_MISMATCH,     [TLS_PROBLEM_EXPIRED] = TLSRPT_CERTIFICATE_EXPIRED,
		[TLS_PROBLEM_UNTRUSTED] = TLSRPT_CERTIFICATE_NOT_TRUSTED, [TLS_PROBLEM_OTHER] = TLSRPT_VALIDATION_FAILURE,
	};
	bool looked = c->demand.policy.level == POLICY_DANE || c->demand.tls >= CONFIG_RELAY_TLS_VERIFY ||
	              c->demand.policy.observed;
	enum tls_problem problem = looked ? tls_certificate_problem(c->tls) : TLS_PROBLEM_NONE;
	if (problem != TLS_PROBLEM_NONE)
		return results[problem];
	return failed ? TLSRPT_VALIDATION_FAILURE : TLSRPT_SUCCESS;
}

/* False while it is under way, or when it failed. */
static bool shake_hands(struct connection *c)
{
	enum tls_result result = tls_handshake(c->tls);
	c->write_waits_for_input = result == TLS_WANT_READ;
	c->read_waits_for_room = result == TLS_WANT_WRITE;
	if (result == TLS_WANT_READ || result == TLS_WANT_WRITE)
		return false;
	tell_tls(c, result_of(c, result != TLS_DONE), str_of(tls_failure(c->tls)));
	if (result != TLS_DONE) {
		if (c->demand.tls == CONFIG_RELAY_TLS_MAY)
			host_tls_failed(c->host);
		fail_tls(c, "4.7.5",
		         result == TLS_CLOSED ? STR("the host closed the connection in the TLS handshake")
		                              : str_of(tls_failure(c->tls)));
		return false;
	}
	note_tls(c);
	c->state = CONNECTION_IN_DIALOGUE;
	if (c->demand.tls == CONFIG_RELAY_TLS_FIRST)
		smtp_sender_set_tls(c->sender);
	else
		smtp_sender_tls_started(c->sender);
	c->clock_seconds = 0;
	return true;
}

/* ---- log-in at the smarthost ---- */

/* again: the mechanism that was tried is refused. */
static bool log_in(struct connection *c, bool again)
{
	struct tls_facts facts;
	const struct login_credentials credentials = { str_of(c->relay->daemon.config.smarthost_user),
		str_of(c->relay->password) };
	c->login_begun = true;
	if (c->tls)
		tls_get_facts(c->tls, &facts);
	return login_begin(&c->login, c->relay->sasl, c->sender, c->tls ? &facts : NULL, &credentials, again);
}

static void fail_login(struct connection *c, struct str text)
{
	tell_over(c,
		&(struct failure){ .kind = FAILURE_DIALOGUE, .stage = SMTP_SENDER_AT_AUTH, .status = "4.7.0", .text = text });
}

/* Once for a connection. */
static void tell_login(struct connection *c)
{
	if (c->demand.login && !c->login_told)
		log_event(LOG_INFO, 0, "logged-in", LOG_TEXT("host", str_of(c->demand.name)),
		          LOG_TEXT("mechanism", str_of(c->login.mechanism)), LOG_TEXT("tls", str_of(c->tls_text)));
	c->login_told = true;
}

/* A server that goes away at STARTTLS fails at TLS: where that is not needed it is done without. */
static void fail_dialogue(struct connection *c, const struct smtp_sender_event *event)
{
	if (event->stage == SMTP_SENDER_AT_STARTTLS && c->input_ended) {
		tell_tls(c, TLSRPT_VALIDATION_FAILURE, event->text);
		if (c->demand.tls == CONFIG_RELAY_TLS_MAY)
			host_tls_failed(c->host);
		fail_tls(c, event->status, event->text);
		return;
	}
	tell_over(c, &(struct failure){ .kind = FAILURE_DIALOGUE, .stage = event->stage, .by_server = event->by_server,
	                                .code = event->code, .status = event->status, .text = event->text });
}

/* ---- the dialogue ---- */

static void on_ready(struct connection *c)
{
	enum config_relay_tls tls = c->demand.tls;
	bool offered = smtp_sender_offers(c->sender)->extensions & SMTP_STARTTLS;
	bool wanted = !c->tls && tls != CONFIG_RELAY_TLS_NO && !(tls == CONFIG_RELAY_TLS_MAY && host_is_plain(c->host));
	if (wanted && (c->tls_tried || !offered))
		tell_tls(c, TLSRPT_STARTTLS_NOT_SUPPORTED, STR(""));
	if (wanted && !c->tls_tried && offered) {
		c->tls_tried = true;
		smtp_sender_start_tls(c->sender);
	} else if (wanted && tls >= CONFIG_RELAY_TLS_MUST) {
		fail_tls(c, "4.7.4",
		         c->tls_tried ? STR("the host refused STARTTLS, which is needed")
		                      : STR("the host does not offer STARTTLS, which is needed"));
	} else if (c->demand.login && !c->login_begun && !c->tls && tls != CONFIG_RELAY_TLS_NO) {
		fail_tls(c, "4.7.4", STR("without TLS no password is sent"));
	} else if (c->demand.login && !c->login_begun) {
		if (!log_in(c, false))
			fail_login(c, STR("the host offers no way to log in that is known here"));
	} else if (c->demand.login && !login_is_proven(&c->login)) {
		fail_login(c, STR("the host took the log-in without proving that it knows the password"));
	} else if (c->attempt) {
		tell_login(c);
		host_works(c->host);
		attempt_ready(c->attempt);
	}
}

static void on_event(struct connection *c, const struct smtp_sender_event *event)
{
	switch (event->kind) {
	case SMTP_SENDER_NOTHING:
		return;
	case SMTP_SENDER_READY:
	case SMTP_SENDER_TLS_REFUSED:
		on_ready(c);
		return;
	case SMTP_SENDER_HANDSHAKE:
		begin_tls(c);
		return;
	case SMTP_SENDER_CHALLENGE:
		login_answer(&c->login, c->sender, event->challenge);
		return;
	case SMTP_SENDER_RESULT:
		if (c->attempt)
			attempt_result(c->attempt, event);
		return;
	case SMTP_SENDER_LOGIN_REFUSED: /* a wrong password is ours to mend: the mail waits */
		if (!log_in(c, true))
			fail_dialogue(c, event);
		return;
	case SMTP_SENDER_OVER:
		fail_dialogue(c, event);
		return;
	}
}

static void take_steps(struct connection *c)
{
	struct str input = buf_str(&c->in);
	struct smtp_sender_event event;
	do {
		smtp_sender_step(c->sender, &input, &c->out, &event);
		on_event(c, &event);
	} while (event.kind != SMTP_SENDER_NOTHING && !c->over && c->state == CONNECTION_IN_DIALOGUE);
	buf_consume(&c->in, c->in.length - input.length);
}

/* ---- octets ---- */

static void end_input(struct connection *c, const char *why)
{
	c->input_ended = true;
	take_steps(c);
	if (!c->over) {
		smtp_sender_lost(c->sender, "4.4.2", why);
		take_steps(c);
	}
}

static bool receive_tls(struct connection *c, char *room, size_t *got)
{
	enum tls_result result = tls_read(c->tls, room, READ_SIZE, got);
	c->read_waits_for_room = result == TLS_WANT_WRITE;
	if (result == TLS_CLOSED || result == TLS_FAILED)
		end_input(c, result == TLS_CLOSED ? "the host closed the connection" : "TLS broke off");
	return result == TLS_DONE;
}

static bool receive_plain(struct connection *c, char *room, size_t *got)
{
	ssize_t length = recv(c->descriptor, room, READ_SIZE, 0);
	if (length > 0) {
		*got = (size_t)length;
		return true;
	}
	if (length == 0)
		end_input(c, "the host closed the connection");
	else if (errno != EAGAIN && errno != EINTR)
		end_input(c, strerror(errno));
	return false;
}

/* False: no more now. A socket that gave less than it might have is empty; asking it again would cost a system call
 * for each reply. */
static bool receive(struct connection *c)
{
	size_t got = 0;
	char *room = c->input_ended ? NULL : buf_reserve(&c->in, READ_SIZE);
	if (!room)
		return false;
	if (!(c->tls ? receive_tls(c, room, &got) : receive_plain(c, room, &got)))
		return false;
	buf_claim(&c->in, got);
	c->heard = true;
	return c->tls || got == READ_SIZE;
}

/* False: none was taken. */
static bool send_some(struct connection *c, size_t *sent)
{
	if (c->tls) {
		enum tls_result result = tls_write(c->tls, c->out.data, c->out.length, sent);
		c->write_waits_for_input = result == TLS_WANT_READ;
		if (result == TLS_CLOSED || result == TLS_FAILED)
			end_input(c, "TLS broke off");
		return result == TLS_DONE;
	}
	ssize_t length = send(c->descriptor, c->out.data, c->out.length, MSG_NOSIGNAL);
	*sent = length > 0 ? (size_t)length : 0;
	/* What the host said before it closed is still to be read: that tells. */
	return length > 0;
}

/* True when all was sent and there is more to come. */
static bool transmit(struct connection *c)
{
	bool any = false;
	while (!c->over && c->out.length) {
		size_t sent = 0;
		if (!send_some(c, &sent))
			return false;
		buf_consume(&c->out, sent);
		any = true;
	}
	return any && !c->over && smtp_sender_wants_room(c->sender);
}

/* ---- the clock ---- */

static void on_time(void *owner);

/* Who says nothing has the five minutes of RFC 5321 §4.5.3.2.1 as long as there is room for others: that is looked at
 * now and then. */
static bool awaits_greeting(const struct connection *c)
{
	return c->state == CONNECTION_IN_DIALOGUE && smtp_sender_stage(c->sender) == SMTP_SENDER_AT_GREETING;
}

static bool is_crowded(const struct relay *r)
{
	return r->connection_count >= r->daemon.config.relay_connections_max / 2;
}

static void set_clock(struct connection *c)
{
	uint64_t number;
	unsigned seconds = smtp_sender_timeout(c->sender, &number);
	if (awaits_greeting(c))
		seconds = GREETING_LOOK_SECONDS;
	if (c->state != CONNECTION_IN_DIALOGUE || c->rests || seconds == 0)
		return;
	if (c->ends && seconds > GOODBYE_SECONDS)
		seconds = GOODBYE_SECONDS;
	if (number == c->clock_number && seconds == c->clock_seconds && c->timer.place)
		return;
	c->clock_number = number;
	c->clock_seconds = seconds;
	loop_start_timer(c->relay->daemon.loop, &c->timer, relay_scale_ms(c->relay, seconds), on_time, c);
}

static void watch_for(struct connection *c, bool more)
{
	bool write = c->out.length ? !c->write_waits_for_input
	                           : smtp_sender_wants_room(c->sender) && c->state == CONNECTION_IN_DIALOGUE;
	uint32_t events = (c->input_ended ? 0 : (uint32_t)EPOLLIN) |
	                  (write || more || c->read_waits_for_room ? (uint32_t)EPOLLOUT : 0);
	if (events != c->watch.events)
		loop_change(c->relay->daemon.loop, &c->watch, events);
}

/* All that can be done now; heard: there may be something to receive. The connection may be gone after it. */
static void work(struct connection *c, bool heard)
{
	bool more = true;
	if (c->at_work)
		return;
	c->at_work = true;
	for (unsigned round = 0; more && round < ROUNDS_MAX && !c->over; round++) {
		if (c->state == CONNECTION_IN_HANDSHAKE && !shake_hands(c)) {
			more = false;
			break;
		}
		more = (heard || c->tls) && receive(c);
		if (!c->over)
			take_steps(c);
		more = (!c->over && transmit(c)) || more || (c->state == CONNECTION_IN_HANDSHAKE && !c->over);
	}
	c->at_work = false;
	if (c->over) {
		connection_free(c);
		return;
	}
	watch_for(c, more);
	set_clock(c);
}

static void on_time(void *owner)
{
	struct connection *c = owner;
	if (c->descriptor < 0 && c->error) {
		tell_over(c, &(struct failure){ .kind = FAILURE_LOCAL, .status = "4.3.0", .text = str_of(strerror(c->error)) });
	} else if (c->state == CONNECTION_BEGINS) {
		fail_connect(c, c->error ? c->error : ETIMEDOUT);
	} else if (c->state == CONNECTION_IN_HANDSHAKE) {
		fail_tls(c, "4.7.5", STR("the TLS handshake took too long"));
	} else if (c->rests) {
		stop_rest(c);
		c->ends = true;
		smtp_sender_quit(c->sender);
	} else if (awaits_greeting(c) && !is_crowded(c->relay) && c->looks < GREETING_LOOKS_MAX) {
		c->looks++;
	} else {
		smtp_sender_lost(c->sender, "4.4.2", "the host took too long to answer");
		c->input_ended = c->heard = true;
	}
	if (c->over)
		connection_free(c);
	else
		work(c, true);
}

/* ---- the beginning ---- */

static void on_connected(struct connection *c)
{
	int error = 0;
	socklen_t length = sizeof error;
	if (getsockopt(c->descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
		error = errno;
	if (error) {
		fail_connect(c, error);
		return;
	}
	c->state = CONNECTION_IN_DIALOGUE;
	if (c->demand.tls == CONFIG_RELAY_TLS_FIRST)
		begin_tls(c);
}

static void on_event_of_socket(void *owner, uint32_t events)
{
	struct connection *c = owner;
	if (c->state == CONNECTION_BEGINS)
		on_connected(c);
	if (c->over)
		connection_free(c);
	else
		work(c, events & ~(uint32_t)EPOLLOUT);
}

/* relay has sockets of the Internet only: master connects to a path, by its place in the configuration. */
static int ask_for_socket(struct connection *c)
{
	struct relay *r = c->relay;
	const struct config_transports *transports = &r->daemon.config.transport;
	uint32_t index = 0;
	while (index < transports->count && strcmp(transports->items[index].to.host, c->demand.name) != 0)
		index++;
	c->socket_request = ++r->last_socket_request;
	map_set(r->socket_requests, MAP_KEY(c->socket_request), c);
	msg_transport_connect_send(&r->daemon.master.channel, c->socket_request,
		&(struct msg_transport_connect){ .index = index }, -1);
	return 0;
}

static int connect_socket(struct connection *c)
{
	const struct endpoint *to = &c->host->address;
	const struct config *config = &c->relay->daemon.config;
	if (!endpoint_is_ip(to))
		return ask_for_socket(c);
	c->descriptor = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->descriptor < 0)
		return errno;
	socket_set_nodelay(c->descriptor);
	for (size_t i = 0; i < config->relay_source_address.count; i++) {
		const struct endpoint *from = &config->relay_source_address.items[i];
		if (from->any.sa_family == to->any.sa_family && bind(c->descriptor, &from->any, from->length) != 0)
			return errno;
	}
	return connect(c->descriptor, &to->any, to->length) == 0 || errno == EINPROGRESS ? 0 : errno;
}

struct connection *connection_open(struct host *host, const struct demand *demand, struct attempt *attempt)
{
	struct relay *r = host->relay;
	const struct config *config = &r->daemon.config;
	struct connection *c = mem_alloc(sizeof *c);
	*c = (struct connection){ .relay = r, .host = host, .attempt = attempt, .demand = *demand, .descriptor = -1 };
	c->in = BUF_WITH_LIMIT(INPUT_MAX);
	c->out = BUF_WITH_LIMIT(SMTP_SENDER_OUT_MAX);
	c->sender = smtp_sender_new(demand->lmtp, str_of(config->hostname));
	host->users++;
	host->connections++;
	r->connection_count++;
	c->error = connect_socket(c);
	if (c->error == 0 && c->descriptor >= 0)
		loop_watch(r->daemon.loop, &c->watch, c->descriptor, EPOLLOUT, on_event_of_socket, c);
	loop_start_timer(r->daemon.loop, &c->timer, c->error ? 0 : relay_scale_ms(r, config->relay_connect_seconds),
	                 on_time, c);
	return c;
}

void connection_take_socket(struct relay *r, uint64_t request, int descriptor)
{
	struct connection *c = map_get(r->socket_requests, MAP_KEY(request));
	if (!c) {
		file_close(&descriptor);
		return;
	}
	map_remove(r->socket_requests, MAP_KEY(request));
	c->socket_request = 0;
	c->descriptor = descriptor;
	if (descriptor >= 0) {
		loop_watch(r->daemon.loop, &c->watch, descriptor, EPOLLOUT, on_event_of_socket, c);
	} else {
		fail_connect(c, ECONNREFUSED);
		connection_free(c);
	}
}

/* ---- for its attempt ---- */

void connection_mail(struct connection *c, const struct smtp_sender_mail *mail)
{
	c->mails++;
	smtp_sender_mail(c->sender, mail);
	work(c, false);
}

void connection_leave(struct connection *c)
{
	struct relay *r = c->relay;
	unsigned idle_seconds = r->daemon.config.relay_idle_seconds;
	c->attempt = NULL;
	if (idle_seconds && !r->draining && c->mails < MAILS_MAX && smtp_sender_may_mail(c->sender)) {
		begin_rest(c);
		c->clock_seconds = 0;
		loop_start_timer(r->daemon.loop, &c->timer, 1000 * (int64_t)idle_seconds, on_time, c);
		attempt_wake_waiting(r);
	} else {
		c->ends = true;
		smtp_sender_quit(c->sender);
		work(c, false);
	}
}

void connection_break(struct connection *c, const char *status, const char *text)
{
	if (c->state != CONNECTION_IN_DIALOGUE) {
		tell_over(c, &(struct failure){ .kind = FAILURE_DIALOGUE, .status = status, .text = str_of(text) });
		connection_free(c);
		return;
	}
	smtp_sender_lost(c->sender, status, text);
	c->input_ended = true;
	work(c, false);
}

bool connection_end_oldest(struct relay *r, const struct host *host)
{
	struct connection *c = r->oldest_resting;
	while (c && host && c->host != host)
		c = c->previous;
	if (!c || (host && loop_now_ms(r->daemon.loop) - c->rested_ms < CONNECTION_REST_MS))
		return false;
	connection_free(c);
	return true;
}
