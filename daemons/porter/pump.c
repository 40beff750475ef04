/* Bytes between a TLS connection, which stays here, and the process that speaks to the client. */
#include "porter.h"

#include "log.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* False when the connection is gone. */
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
	return true;
}

static void read_from_client(struct connection *c)
{
	while (c->to_inner.length < c->to_inner.limit && !c->hung_up) {
		size_t size = c->to_inner.limit - c->to_inner.length;
		char *room = buf_reserve(&c->to_inner, size);
		ssize_t got = connection_read(c, room, size);
		if (got < 0)
			return;
		if (got == 0) {
			c->hung_up = true;
			return;
		}
		buf_claim(&c->to_inner, (size_t)got);
	}
}

static void read_from_inner(struct connection *c)
{
	char *room = buf_reserve(&c->output, PUMP_PIECE);
	if (!room)
		return;
	ssize_t got = recv(c->inner, room, PUMP_PIECE, MSG_DONTWAIT);
	if (got > 0)
		buf_claim(&c->output, (size_t)got);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		c->inner_ended = true;
}

static void move(struct connection *c)
{
	if (c->to_inner.length == 0)
		read_from_client(c);
	bool inner_alive = write_to_inner(c);
	if (c->hung_up && c->to_inner.length == 0)
		shutdown(c->inner, SHUT_WR);
	if (c->output.length == 0 && !c->inner_ended)
		read_from_inner(c);
	if (!write_to_client(c) || !inner_alive) {
		connection_end(c);
		return;
	}
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
	c->inner = inner;
	c->inner_ended = false;
	loop_stop_timer(c->porter->daemon.loop, &c->timer); /* silence is the session's matter now */
	move(c);
}

void pump_stop(struct connection *c)
{
	loop_unwatch(c->porter->daemon.loop, &c->inner_watch);
	if (c->inner >= 0)
		close(c->inner);
	c->inner = -1;
}
