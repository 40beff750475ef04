#include "https.h"

#include "mem.h"
#include "socket.h"
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 16384, REQUEST_MAX = 4 << 20, ROUNDS_MAX = 16 };

static void next_address(struct https *h);

static void disconnect(struct https *h)
{
	loop_unwatch(h->relay->daemon.loop, &h->watch);
	tls_cleanup(&h->tls);
	if (h->descriptor >= 0)
		close(h->descriptor);
	h->descriptor = -1;
}

static void finish(struct https *h)
{
	struct relay *r = h->relay;
	disconnect(h);
	ask_stop(&h->v4);
	ask_stop(&h->v6);
	loop_stop_timer(r->daemon.loop, &h->timer);
	loop_stop_timer(r->daemon.loop, &h->deadline);
	r->https_count--;
	h->done(h->owner, h);
	http_response_release(&h->response);
	buf_release(&h->request);
	free(h);
}

static void give_up(struct https *h, const char *why)
{
	if (why != h->why)
		snprintf(h->why, sizeof h->why, "%s", why);
	finish(h);
}

/* ---- the dialogue ---- */

static void settle(struct https *h, enum http_state state)
{
	if (state == HTTP_DONE) {
		h->answered = true;
		finish(h);
	} else {
		give_up(h, "what the server sent is no HTTP response, or is too big");
	}
}

static void wait_for(struct https *h, enum tls_result result)
{
	loop_change(h->relay->daemon.loop, &h->watch, result == TLS_WANT_WRITE ? EPOLLOUT : EPOLLIN);
}

static bool waits(enum tls_result result)
{
	return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

/* True when the request is gone out. */
static bool send_request(struct https *h)
{
	while (h->sent < h->request.length) {
		size_t written = 0;
		enum tls_result result = tls_write(h->tls, h->request.data + h->sent, h->request.length - h->sent, &written);
		if (waits(result)) {
			wait_for(h, result);
			return false;
		}
		if (result != TLS_DONE) {
			give_up(h, "the server broke off the connection");
			return false;
		}
		h->sent += written;
	}
	return true;
}

static void read_response(struct https *h)
{
	char room[READ_SIZE];
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		size_t got = 0;
		enum tls_result result = tls_read(h->tls, room, sizeof room, &got);
		if (waits(result)) {
			wait_for(h, result);
			return;
		}
		enum http_state state = result == TLS_DONE     ? http_response_read(&h->response, str_from(room, got))
		                        : result == TLS_CLOSED ? http_response_end(&h->response)
		                                               : HTTP_BAD;
		if (state != HTTP_MORE) {
			settle(h, state);
			return;
		}
	}
	/* more lies in TLS's own buffer, of which the descriptor knows nothing: it is writable at once */
	wait_for(h, TLS_WANT_WRITE);
}

static void shake_hands(struct https *h)
{
	enum tls_result result = tls_handshake(h->tls);
	if (waits(result)) {
		wait_for(h, result);
	} else if (result == TLS_DONE) {
		h->state = HTTPS_TALKS;
		if (send_request(h))
			read_response(h);
	} else {
		h->is_untrusted = tls_certificate_problem(h->tls) != TLS_PROBLEM_NONE;
		give_up(h, result == TLS_CLOSED ? "the server ended the TLS handshake" : tls_failure(h->tls));
	}
}

static void on_connected(struct https *h)
{
	int error = 0;
	socklen_t length = sizeof error;
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (getsockopt(h->descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error) {
		snprintf(h->why, sizeof h->why, "%s", strerror(error ? error : errno));
		next_address(h);
		return;
	}
	h->tls = tls_connect(h->relay->tls, h->descriptor, h->host, &fail);
	if (!h->tls) {
		give_up(h, fail_text(fail));
		return;
	}
	loop_stop_timer(h->relay->daemon.loop, &h->timer);
	h->state = HTTPS_SHAKES_HANDS;
	shake_hands(h);
}

static void on_socket(void *owner, uint32_t events)
{
	struct https *h = owner;
	(void)events;
	if (h->state == HTTPS_CONNECTS)
		on_connected(h);
	else if (h->state == HTTPS_SHAKES_HANDS)
		shake_hands(h);
	else if (send_request(h))
		read_response(h);
}

/* ---- connections ---- */

static void next_address_later(void *owner)
{
	next_address(owner);
}

static bool connect_to(struct https *h, const struct endpoint *to)
{
	h->descriptor = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->descriptor < 0)
		return false;
	socket_set_nodelay(h->descriptor);
	return connect(h->descriptor, &to->any, to->length) == 0 || errno == EINPROGRESS;
}

static void next_address(struct https *h)
{
	struct relay *r = h->relay;
	disconnect(h);
	if (h->address == h->address_count) {
		give_up(h, h->why[0] ? h->why : "the server has no address");
		return;
	}
	bool connecting = connect_to(h, &h->addresses[h->address++]);
	if (connecting) {
		h->state = HTTPS_CONNECTS;
		loop_watch(r->daemon.loop, &h->watch, h->descriptor, EPOLLOUT, on_socket, h);
	} else {
		snprintf(h->why, sizeof h->why, "%s", strerror(errno));
	}
	/* a silent address leaves time for the others */
	loop_start_timer(r->daemon.loop, &h->timer, connecting ? relay_scale_ms(r, HTTPS_SECONDS_MAX) / 3 : 0,
	                 next_address_later, h);
}

/* ---- addresses ---- */

static void on_address(struct ask *ask, const struct dns_answer *answer)
{
	struct https *h = ask->owner;
	route_add_addresses(answer, ask->type, h->port, relay_random, h->addresses, &h->address_count);
	if (--h->asked == 0)
		next_address(h);
}

static void ask_addresses(struct https *h)
{
	struct relay *r = h->relay;
	const struct config *config = &r->daemon.config;
	h->asked = (size_t)config->relay_ipv4 + (size_t)config->relay_ipv6;
	if (config->relay_ipv6)
		ask_start(&r->asker, &h->v6, str_of(h->host), DNS_AAAA, on_address, h);
	if (config->relay_ipv4)
		ask_start(&r->asker, &h->v4, str_of(h->host), DNS_A, on_address, h);
}

static void on_deadline(void *owner)
{
	struct https *h = owner;
	give_up(h, h->asked == 0 && h->address_count == 0 ? "too many requests are under way" : "it took too long");
}

struct https *https_begin(struct relay *r, struct str host, unsigned port, struct str request, size_t body_max,
                          void (*done)(void *owner, struct https *https), void *owner)
{
	struct https *h = mem_alloc(sizeof *h);
	*h = (struct https){ .relay = r, .port = port, .descriptor = -1, .request = BUF_WITH_LIMIT(REQUEST_MAX), .done = done, .owner = owner };
	str_copy_to_array(host, h->host, sizeof h->host);
	must(buf_add_str(&h->request, request));
	http_response_init(&h->response, body_max);
	bool may = ++r->https_count <= HTTPS_UNDER_WAY_MAX;
	loop_start_timer(r->daemon.loop, &h->deadline, may ? relay_scale_ms(r, HTTPS_SECONDS_MAX) : 0, on_deadline, h);
	if (may)
		ask_addresses(h);
	return h;
}
