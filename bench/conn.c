#include "conn.h"

#include "generate.h"
#include "mem.h"
#include "options.h"
#include "stats.h"
#include "task.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

static SSL_CTX *tls_context;

static ssize_t tls_result(struct conn *c, int n)
{
	if (n > 0)
		return n;
	int e = SSL_get_error(c->ssl, n);
	if (e == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
	return -1;
}

static ssize_t raw_read(struct conn *c, void *p, size_t n)
{
	if (c->ssl)
		return tls_result(c, SSL_read(c->ssl, p, (int)n));
	return read(c->fd, p, n);
}

static ssize_t raw_write(struct conn *c, const void *p, size_t n)
{
	if (c->ssl)
		return tls_result(c, SSL_write(c->ssl, p, (int)n));
	return send(c->fd, p, n, MSG_NOSIGNAL);
}

bool conn_fail(struct conn *c, const char *why)
{
	if (!c->failed)
		stats_error("%s", why);
	c->failed = true;
	return false;
}

/* Yields until the socket has something for us; false when --timeout has passed. */
static bool conn_wait(struct conn *c)
{
	task_wait(c->deadline);
	return stats_now_ns() < c->deadline ? true : conn_fail(c, "timeout");
}

static void conn_arm(struct conn *c)
{
	c->deadline = stats_now_ns() + (uint64_t)opt.timeout_s * 1000000000u;
}

static void conn_make_room(struct conn *c)
{
	if (c->in_start == c->in_end)
		c->in_start = c->in_end = 0;
	if (c->in_end + 1 < c->in_capacity)
		return;
	if (c->in_start > c->in_capacity / 2) {
		memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
		c->in_end -= c->in_start;
		c->in_start = 0;
		return;
	}
	c->in_capacity = c->in_capacity ? c->in_capacity * 4 : 2048;
	if (c->in_capacity > (64u << 20))
		c->in_capacity = c->in_end + (64u << 20);
	c->in = mem_resize(c->in, c->in_capacity, 1);
}

/* Reads once without waiting: >0 data, 0 nothing now, <0 closed or failed. */
int conn_try_fill(struct conn *c)
{
	conn_make_room(c);
	ssize_t n = raw_read(c, c->in + c->in_end, c->in_capacity - c->in_end - 1);
	if (n > 0) {
		c->in_end += (size_t)n;
		c->received += (uint64_t)n;
		return 1;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static bool conn_fill(struct conn *c)
{
	for (;;) {
		int r = conn_try_fill(c);
		if (r > 0)
			return true;
		if (r < 0)
			return conn_fail(c, "connection closed by server");
		if (!conn_wait(c))
			return false;
	}
}

/* Sends all queued output; keeps reading meanwhile, so that two full pipes cannot deadlock. */
bool conn_flush(struct conn *c)
{
	size_t done = 0;
	if (c->out.overflowed)
		return conn_fail(c, "more to send than --batch may hold");
	conn_arm(c);
	while (done < c->out.length) {
		ssize_t n = raw_write(c, c->out.data + done, c->out.length - done);
		if (n > 0) {
			done += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (conn_try_fill(c) < 0)
				return conn_fail(c, "connection closed while sending");
			if (!conn_wait(c))
				return false;
		} else {
			return conn_fail(c, "write failed");
		}
	}
	buf_clear(&c->out);
	conn_arm(c);
	return true;
}

void conn_printf(struct conn *c, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	buf_vprintf(&c->out, format, ap);
	va_end(ap);
}

/* One line without its CRLF, NUL-terminated in place; valid until the next read. NULL on failure. */
char *conn_line(struct conn *c, size_t *length)
{
	size_t scanned = 0;
	for (;;) {
		char *start = c->in + c->in_start;
		size_t have = c->in_end - c->in_start;
		char *lf = have > scanned ? memchr(start + scanned, '\n', have - scanned) : NULL;
		if (lf) {
			size_t n = (size_t)(lf - start);
			c->in_start += n + 1;
			if (n && start[n - 1] == '\r')
				n--;
			start[n] = 0;
			if (length)
				*length = n;
			return start;
		}
		scanned = have;
		if (!conn_fill(c))
			return NULL;
	}
}

bool conn_skip(struct conn *c, uint64_t n)
{
	while (n) {
		uint64_t have = c->in_end - c->in_start;
		uint64_t take = have < n ? have : n;
		c->in_start += take;
		n -= take;
		if (n && !conn_fill(c))
			return false;
	}
	return true;
}

bool conn_start_tls(struct conn *c)
{
	if (!tls_context)
		tls_context = SSL_CTX_new(TLS_client_method());
	c->ssl = SSL_new(tls_context);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_connect_state(c->ssl);
	for (;;) {
		ssize_t r = tls_result(c, SSL_do_handshake(c->ssl));
		if (r > 0)
			return true;
		if (r == 0 || errno != EAGAIN)
			return conn_fail(c, "TLS handshake failed");
		if (!conn_wait(c))
			return false;
	}
}

static bool connect_socket(struct conn *c, int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1, error = 0;
	socklen_t size = sizeof error;
	inet_pton(AF_INET, opt.host, &addr.sin_addr);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return conn_fail(c, "socket() failed");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof addr) < 0 && errno != EINPROGRESS)
		return conn_fail(c, strerror(errno));
	task_watch(c->fd);
	struct sockaddr_in peer;
	socklen_t peer_size = sizeof peer;
	while (getpeername(c->fd, (struct sockaddr *)&peer, &peer_size) < 0) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error)
			return conn_fail(c, strerror(error));
		if (!conn_wait(c))
			return false;
	}
	return true;
}

bool conn_open(struct conn *c, int port)
{
	*c = (struct conn){ .fd = -1, .out = BUF_WITH_LIMIT(GENERATE_MESSAGE_MAX) };
	conn_arm(c);
	return connect_socket(c, port) && (!opt.tls || port != opt.port || conn_start_tls(c));
}

void conn_close(struct conn *c)
{
	if (c->ssl)
		SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	free(c->in);
	buf_release(&c->out);
	stats.bytes += c->received;
	*c = (struct conn){ .fd = -1 };
}

bool conn_has_line(const struct conn *c)
{
	return c->in_end > c->in_start && memchr(c->in + c->in_start, '\n', c->in_end - c->in_start);
}
