/* Bytes between a TLS connection, which stays here, and the process that speaks to the client. */
#include "porter.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECES_AT_ONCE = 16 };

static void on_inner(void *owner, uint32_t events);

/* Each direction reads only while the other side has taken what was read before. */
static void watch_both(struct connection *c)
{
	struct loop *loop = c->porter->daemon.loop;
	uint32_t client = 0, inner = 0;
	if (c->to_inner.length == 0 && !c->hung_up)
		client |= EPOLLIN;
	if (c->output.length)
		client |= EPOLLOUT;
	if (c->output.length == 0 && !c->inner_ended)
		inner |= EPOLLIN;
	if (c->to_inner.length)
		inner |= EPOLLOUT;
	loop_change(loop, &c->watch, client);
	if (c->inner_watch.added && inner == 0)
		loop_unwatch(loop, &c->inner_watch); /* a closed pair reports EPOLLHUP without end */
	else if (c->inner_watch.added)
		loop_change(loop, &c->inner_watch, inner);
	else if (inner)
		loop_watch(loop, &c->inner_watch, c->inner, inner, on_inner, c);
}

/* Sends what did not go at once. Its memory is given back: most sessions are idle, and there are many. False: the
 * client is gone, or has all that was left for it. */
static bool write_to_client(struct connection *c)
{
	while (c->output.length) {
		ssize_t put = connection_write(c, c->output.data, c->output.length);
		if (put == 0)
			return false;
		if (put < 0)
			return true;
		buf_consume(&c->output, (size_t)put);
	}
	buf_release(&c->output);
	return !c->inner_ended;
}

static bool write_to_inner(struct connection *c)
{
	while (c->to_inner.length) {
		ssize_t put = send(c->inner, c->to_inner.data, c->to_inner.length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_consume(&c->to_inner, (size_t)put);
	}
	buf_release(&c->to_inner);
	return true;
}

/* One piece; false when there is none now, or the other side does not take it. */
static bool move_from_client(struct connection *c)
{
	char *piece = c->porter->piece;
	ssize_t got = connection_read(c, piece, sizeof c->porter->piece);
	c->hung_up = got == 0;
	if (got <= 0)
		return false;
	ssize_t put = send(c->inner, piece, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
	size_t sent = put < 0 ? 0 : (size_t)put;
	buf_append(&c->to_inner, piece + sent, (size_t)got - sent);
	return c->to_inner.length == 0;
}

static bool move_from_inner(struct connection *c)
{
	char *piece = c->porter->piece;
	ssize_t got = recv(c->inner, piece, sizeof c->porter->piece, MSG_DONTWAIT);
	c->inner_ended = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
	if (got <= 0)
		return false;
	ssize_t put = connection_write(c, piece, (size_t)got);
	size_t sent = put < 0 ? 0 : (size_t)put;
	buf_append(&c->output, piece + sent, (size_t)got - sent);
	return c->output.length == 0;
}

static void move(void *owner)
{
	struct connection *c = owner;
	int left = PIECES_AT_ONCE;
	bool inner_alive = write_to_inner(c);
	while (inner_alive && c->to_inner.length == 0 && !c->hung_up && left > 0 && move_from_client(c))
		left--;
	if (c->hung_up && c->to_inner.length == 0)
		shutdown(c->inner, SHUT_WR);
	bool client_alive = write_to_client(c);
	while (client_alive && c->output.length == 0 && !c->inner_ended && left > 0 && move_from_inner(c))
		left--;
	if (!inner_alive || !client_alive || (c->inner_ended && c->output.length == 0)) {
		connection_end(c);
		return;
	}
	/* others have their turn; TLS may hold input that no event tells of */
	if (left == 0)
		connection_set_timer(c, 0, move);
	watch_both(c);
}

static void on_inner(void *owner, uint32_t events)
{
	(void)events;
	move(owner);
}

void pump_client_ready(struct connection *c)
{
	move(c);
}

void pump_begin(struct connection *c, int inner)
{
	c->phase = PHASE_PUMPING;
	buf_release(&c->input);
	c->inner = inner;
	c->inner_ended = false;
	loop_stop_timer(c->porter->daemon.loop, &c->timer); /* silence is the session's matter now */
	move(c);
}

void pump_stop(struct connection *c)
{
	loop_unwatch(c->porter->daemon.loop, &c->inner_watch);
	if (c->phase == PHASE_PUMPING)
		loop_stop_timer(c->porter->daemon.loop, &c->timer);
	if (c->inner >= 0)
		close(c->inner);
	c->inner = -1;
}
