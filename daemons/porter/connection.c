/* One client's connection: reading, writing, TLS, and its end. */
#include "porter.h"

#include "log.h"
#include "mem.h"
#include "socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_PIECE = 16384, READS_AT_ONCE = 2, SILENCE_BEFORE_LOGIN_MS = 60000, CLOSING_PATIENCE_MS = 10000 };

static void on_ready(void *owner, uint32_t events);

const struct dialogue *connection_dialogue(enum service service)
{
	switch (service) {
	case SERVICE_SMTP:
	case SERVICE_LMTP:
	case SERVICE_SUBMISSION:
	case SERVICE_SUBMISSIONS: return &smtp_dialogue;
	case SERVICE_IMAP:
	case SERVICE_IMAPS: return &imap_dialogue;
	default: return &pop3_dialogue;
	}
}

static void note_addresses(struct connection *c)
{
	struct endpoint peer = {}, local = {};
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(sizeof c->peer - 1);
	if (endpoint_of_peer(c->descriptor, &peer, NULL))
		endpoint_print_ip(&text, &peer);
	memcpy(c->peer, buf_text(&text), text.length);
	buf_clear(&text);
	if (endpoint_of_local(c->descriptor, &local, NULL))
		endpoint_print_ip(&text, &local);
	memcpy(c->local, buf_text(&text), text.length);
	c->peer_port = endpoint_port(&peer);
	c->loopback = !endpoint_is_ip(&peer) || endpoint_is_loopback(&peer);
}

void connection_new(struct porter *porter, enum service service, int descriptor)
{
	struct connection *c = mem_alloc(sizeof *c);
	c->porter = porter;
	c->service = service;
	c->dialogue = connection_dialogue(service);
	c->descriptor = descriptor;
	c->inner = -1;
	c->id = ipc_number_make();
	buf_init(&c->input, INPUT_MAX);
	buf_init(&c->output, OUTPUT_MAX);
	buf_init(&c->to_inner, PUMP_PIECE);
	note_addresses(c);
	socket_set_nodelay(descriptor);
	socket_set_user_timeout(descriptor, 60000);
	map_set(porter->connections, MAP_KEY(c->id), c);
	loop_watch(porter->daemon.loop, &c->watch, descriptor, 0, on_ready, c);
	log_event(LOG_DEBUG, c->id, "connected", LOG_TEXT("service", str_of(service_name(service))),
	          LOG_TEXT("peer", str_of(c->peer)));
	c->phase = PHASE_OPENING;
	connection_set_timer(c, GREETING_PATIENCE_MS, connection_on_silence);
	link_opened(c);
}

static void free_gone(void *owner)
{
	struct porter *porter = owner;
	while (porter->gone) {
		struct connection *c = porter->gone;
		porter->gone = c->next_gone;
		imap_dialogue_end(c);
		buf_release(&c->input);
		buf_release(&c->output);
		buf_release(&c->to_inner);
		mem_wipe(c, sizeof *c);
		free(c);
	}
}

void connection_end(struct connection *c)
{
	struct porter *porter = c->porter;
	if (c->phase == PHASE_GONE)
		return;
	c->phase = PHASE_GONE;
	pump_stop(c);
	loop_stop_timer(porter->daemon.loop, &c->timer);
	loop_stop_timer(porter->daemon.loop, &c->turn);
	loop_unwatch(porter->daemon.loop, &c->watch);
	if (c->tls && !c->tls_handshake)
		tls_shutdown(c->tls);
	tls_cleanup(&c->tls);
	if (c->descriptor >= 0)
		close(c->descriptor);
	c->descriptor = -1;
	link_closed(c);
	map_remove(porter->connections, MAP_KEY(c->id));
	c->next_gone = porter->gone;
	porter->gone = c;
	loop_start_timer(porter->daemon.loop, &porter->gone_timer, 0, free_gone, porter);
	porter_check_done(porter);
}

void connection_on_silence(void *connection)
{
	struct connection *c = connection;
	if (c->phase == PHASE_CLOSING || c->phase == PHASE_HANDED || c->tls_handshake) {
		connection_end(c);
		return;
	}
	log_event(LOG_INFO, c->id, "silent", LOG_TEXT("peer", str_of(c->peer)));
	c->dialogue->farewell(c, FAIL_TIMEOUT);
	connection_close_after_output(c);
}

void connection_set_timer(struct connection *c, int64_t ms, void (*fire)(void *owner))
{
	loop_start_timer(c->porter->daemon.loop, &c->timer, ms, fire, c);
}

bool connection_is_secure(const struct connection *c)
{
	return c->tls != NULL && !c->tls_handshake;
}

/* RFC 2595 §2.3, RFC 4954 §4 */
bool connection_allows_password(const struct connection *c)
{
	enum config_plaintext_login allowed = c->porter->daemon.config.allow_plaintext_login;
	return connection_is_secure(c) || allowed == CONFIG_PLAINTEXT_YES ||
	       (allowed == CONFIG_PLAINTEXT_LOOPBACK && c->loopback);
}

/* ---- bytes ---------------------------------------------------------------------------------------- */

/* As recv and send tell it: octets, 0 for the end, -1 for nothing now. */
static ssize_t from_tls(enum tls_result result, size_t moved)
{
	if (result == TLS_DONE)
		return (ssize_t)moved;
	return result == TLS_WANT_READ || result == TLS_WANT_WRITE ? -1 : 0;
}

ssize_t connection_read(struct connection *c, char *room, size_t size)
{
	size_t moved = 0;
	if (c->tls) {
		enum tls_result result = tls_read(c->tls, room, size, &moved);
		return from_tls(result, moved);
	}
	ssize_t got = recv(c->descriptor, room, size, MSG_DONTWAIT);
	return got >= 0 ? got : errno == EAGAIN || errno == EINTR ? -1 : 0;
}

ssize_t connection_write(struct connection *c, const char *data, size_t size)
{
	size_t moved = 0;
	if (c->tls) {
		enum tls_result result = tls_write(c->tls, data, size, &moved);
		return from_tls(result, moved);
	}
	ssize_t put = send(c->descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	return put >= 0 ? put : errno == EAGAIN || errno == EINTR ? -1 : 0;
}

/* The events that matter now: input only where it is looked at, output only where some waits. */
static void watch_what_matters(struct connection *c)
{
	uint32_t events = 0;
	if (c->phase == PHASE_HANDED || c->descriptor < 0)
		return;
	if (c->tls_handshake)
		events = c->tls_wants_write ? EPOLLOUT : EPOLLIN;
	else {
		if (c->phase == PHASE_GREETING || connection_takes_input(c))
			events |= EPOLLIN;
		if (c->output.length)
			events |= EPOLLOUT;
	}
	loop_change(c->porter->daemon.loop, &c->watch, events);
}

void connection_flush(struct connection *c)
{
	if (c->phase == PHASE_GONE || c->phase == PHASE_HANDED || c->phase == PHASE_PUMPING)
		return;
	while (c->output.length && !c->tls_handshake) {
		ssize_t put = connection_write(c, c->output.data, c->output.length);
		if (put == 0) {
			connection_end(c);
			return;
		}
		if (put < 0)
			break;
		buf_consume(&c->output, (size_t)put);
	}
	if (c->phase == PHASE_CLOSING && c->output.length == 0)
		connection_end(c);
	else
		watch_what_matters(c);
}

/* The unread rest is read and dropped first, since closing with unread input resets TCP and may lose the last
 * answer. */
void connection_close_after_output(struct connection *c)
{
	char dropped[READ_PIECE];
	if (c->phase == PHASE_GONE)
		return;
	c->phase = PHASE_CLOSING;
	c->waits_for = WAITS_FOR_NOTHING;
	connection_set_timer(c, CLOSING_PATIENCE_MS, connection_on_silence);
	for (int i = 0; i < 16 && !c->tls_handshake && connection_read(c, dropped, sizeof dropped) > 0; i++)
		;
	connection_flush(c);
}

bool connection_begin_tls(struct connection *c)
{
	if (!c->porter->tls)
		return false;
	must(c->input.length == 0 && !c->tls);
	c->tls = tls_accept(c->porter->tls, c->descriptor);
	c->tls_handshake = true;
	return true;
}

static void continue_handshake(struct connection *c)
{
	enum tls_result result = tls_handshake(c->tls);
	c->tls_wants_write = result == TLS_WANT_WRITE;
	if (result == TLS_WANT_READ || result == TLS_WANT_WRITE) {
		watch_what_matters(c);
		return;
	}
	if (result != TLS_DONE) {
		log_event(LOG_INFO, c->id, "tls-failed", LOG_TEXT("peer", str_of(c->peer)),
		          LOG_TEXT("why", str_of(tls_failure(c->tls))));
		connection_end(c);
		return;
	}
	c->tls_handshake = false;
	c->flags |= SESSION_TLS;
	c->dialogue->tls_began(c);
}

void connection_greet(struct connection *c)
{
	bool implicit = service_is_tls(c->service) && !c->tls;
	if (implicit && !connection_begin_tls(c)) {
		log_event(LOG_ERROR, c->id, "no-certificate", LOG_TEXT("service", str_of(service_name(c->service))));
		connection_end(c);
		return;
	}
	connection_set_timer(c, SILENCE_BEFORE_LOGIN_MS, connection_on_silence);
	c->phase = PHASE_DIALOGUE;
	if (implicit)
		watch_what_matters(c);
	else
		c->dialogue->greet(c);
}

void connection_take_descriptor(struct connection *c, int descriptor)
{
	c->descriptor = descriptor;
	loop_watch(c->porter->daemon.loop, &c->watch, descriptor, 0, on_ready, c);
}

bool connection_takes_input(const struct connection *c)
{
	return c->phase == PHASE_DIALOGUE && !c->tls_handshake && c->output.length < OUTPUT_PAUSE;
}

/* One piece of input, as connection_read tells it. */
static ssize_t read_piece(struct connection *c)
{
	size_t room = c->input.limit - c->input.length;
	must(room > 0); /* a dialogue leaves less than its longest line */
	char *at = buf_reserve(&c->input, room < READ_PIECE ? room : READ_PIECE);
	ssize_t got = connection_read(c, at, room < READ_PIECE ? room : READ_PIECE);
	if (got > 0)
		buf_claim(&c->input, (size_t)got);
	return got;
}

static void read_and_take(struct connection *c);

static void take_turn(void *owner)
{
	read_and_take(owner);
}

/* The input that is there is read and taken; a dialogue that waits for a word from elsewhere stops it, and so do many
 * unread answers. */
static void read_and_take(struct connection *c)
{
	ssize_t got = 1;
	int left = READS_AT_ONCE;
	for (; left > 0 && got > 0 && connection_takes_input(c); left--) {
		if (c->input.length)
			c->dialogue->input(c);
		if (c->output.length >= OUTPUT_PAUSE)
			connection_flush(c);
		else if (connection_takes_input(c))
			got = read_piece(c);
	}
	/* Who sends no more may still read. */
	if (got == 0)
		connection_close_after_output(c);
	else
		connection_flush(c);
	/* Lines may wait in the buffer, which no event tells of. */
	if (got > 0 && connection_takes_input(c))
		loop_start_timer(c->porter->daemon.loop, &c->turn, 0, take_turn, c);
}

static void flush_and_read(struct connection *c)
{
	connection_flush(c);
	read_and_take(c);
}

void connection_resume(struct connection *c)
{
	int64_t silence_ms = c->flags & SESSION_POOL_WAIT ? (int64_t)c->porter->daemon.config.command_timeout_seconds * 1000
	                                                  : SILENCE_BEFORE_LOGIN_MS;
	if (c->phase == PHASE_GONE || c->phase == PHASE_CLOSING)
		return;
	c->phase = PHASE_DIALOGUE;
	c->waits_for = WAITS_FOR_NOTHING;
	connection_set_timer(c, silence_ms, connection_on_silence);
	read_and_take(c);
}

static void on_ready(void *owner, uint32_t events)
{
	struct connection *c = owner;
	if (c->tls_handshake)
		continue_handshake(c);
	else if (c->phase == PHASE_PUMPING)
		pump_client_ready(c);
	else if (c->phase == PHASE_GREETING && events & EPOLLIN)
		c->dialogue->input(c); /* it spoke before the greeting */
	else if (c->phase == PHASE_DIALOGUE)
		flush_and_read(c);
	else if (events & (EPOLLHUP | EPOLLERR))
		connection_end(c);
	else
		connection_flush(c);
}
