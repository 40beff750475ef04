#include "socket.h"

#include "clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static bool set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static bool set_tcp_option(int fd, int name, int value)
{
	return set_option(fd, IPPROTO_TCP, name, value) || errno == EOPNOTSUPP || errno == ENOPROTOOPT;
}

bool socket_set_nodelay(int fd)
{
	return set_tcp_option(fd, TCP_NODELAY, 1);
}

bool socket_set_user_timeout(int fd, unsigned timeout_ms)
{
	must(timeout_ms <= INT32_MAX);
	return set_tcp_option(fd, TCP_USER_TIMEOUT, (int)timeout_ms);
}

/* Removes the file of a socket whose listener is gone. */
static void remove_stale(const struct endpoint *a)
{
	struct stat file;
	if (lstat(a->path.sun_path, &file) < 0 || !S_ISSOCK(file.st_mode))
		return;
	CLEANUP(close_fd) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe >= 0 && connect(probe, &a->any, a->length) < 0 && errno == ECONNREFUSED)
		unlink(a->path.sun_path);
}

static int fail_address(struct fail **fail, enum fail_kind kind, const char *verb, const struct endpoint *a)
{
	int error = errno;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(256);
	endpoint_print(&text, a);
	errno = error;
	fail_set_errno(fail, kind, "%s %s", verb, buf_text(&text));
	return -1;
}

static int open_socket(const struct endpoint *a, int type)
{
	return socket(a->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A kernel without IPv6 still serves "*". */
static int open_listener(struct endpoint *a, int type)
{
	int fd = open_socket(a, type);
	if (fd < 0 && errno == EAFNOSUPPORT && a->every_family) {
		struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = a->v6.sin6_port };
		endpoint_from_socket(a, (const struct sockaddr *)&v4, sizeof v4);
		fd = open_socket(a, type);
	}
	return fd;
}

static int listen_on(const struct endpoint *wanted, int type, int backlog, struct fail **fail)
{
	struct endpoint a = *wanted;
	must(a.length > 0);
	CLEANUP(close_fd) int fd = open_listener(&a, type);
	if (fd < 0)
		return fail_address(fail, FAIL_IO, "socket for", wanted);
	if (a.any.sa_family == AF_UNIX)
		remove_stale(&a);
	else if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1))
		return fail_address(fail, FAIL_IO, "SO_REUSEADDR for", wanted);
	if (a.any.sa_family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !a.every_family))
		return fail_address(fail, FAIL_IO, "IPV6_V6ONLY for", wanted);
	if (bind(fd, &a.any, a.length) < 0)
		return fail_address(fail, errno == EADDRINUSE ? FAIL_BUSY : FAIL_IO, "bind to", wanted);
	if (listen(fd, backlog) < 0)
		return fail_address(fail, errno == EADDRINUSE ? FAIL_BUSY : FAIL_IO, "listen on", wanted);
	int listener = fd;
	fd = -1;
	return listener;
}

int socket_listen(const struct endpoint *wanted, int backlog, struct fail **fail)
{
	return listen_on(wanted, SOCK_STREAM, backlog, fail);
}

int socket_listen_frames(const struct endpoint *wanted, int backlog, struct fail **fail)
{
	must(wanted->any.sa_family == AF_UNIX);
	return listen_on(wanted, SOCK_SEQPACKET, backlog, fail);
}

/* Waits until a connect that is under way has an end; errno tells the end. */
static bool await_connect(int fd, int timeout_ms)
{
	int64_t deadline = clock_monotonic_ms() + timeout_ms;
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	int ready = -1;
	do {
		int64_t left = deadline - clock_monotonic_ms();
		ready = poll(&wait, 1, left > 0 ? (int)left : 0);
	} while (ready < 0 && errno == EINTR);
	int error = ETIMEDOUT;
	socklen_t length = sizeof error;
	if (ready < 0 || (ready > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0))
		return false;
	errno = error;
	return error == 0;
}

static int fail_connect(struct fail **fail, const struct endpoint *a)
{
	return fail_address(fail, errno == ETIMEDOUT ? FAIL_TIMEOUT : FAIL_UNAVAILABLE, "connect to", a);
}

static int connect_to(const struct endpoint *a, int type, int timeout_ms, struct fail **fail)
{
	must(a->length > 0);
	CLEANUP(close_fd) int fd = open_socket(a, type);
	if (fd < 0)
		return fail_address(fail, FAIL_IO, "socket for", a);
	if (connect(fd, &a->any, a->length) < 0 && (errno != EINPROGRESS || !await_connect(fd, timeout_ms)))
		return fail_connect(fail, a);
	int blocking = 0;
	if (ioctl(fd, FIONBIO, &blocking) < 0 || !socket_set_nodelay(fd))
		return fail_address(fail, FAIL_IO, "options for", a);
	int connected = fd;
	fd = -1;
	return connected;
}

int socket_connect(const struct endpoint *a, int timeout_ms, struct fail **fail)
{
	return connect_to(a, SOCK_STREAM, timeout_ms, fail);
}

int socket_begin_connect(const struct endpoint *a, struct fail **fail)
{
	must(a->length > 0);
	CLEANUP(close_fd) int fd = open_socket(a, SOCK_STREAM);
	if (fd < 0)
		return fail_address(fail, FAIL_IO, "socket for", a);
	if ((connect(fd, &a->any, a->length) < 0 && errno != EINPROGRESS) || !socket_set_nodelay(fd))
		return fail_connect(fail, a);
	int connecting = fd;
	fd = -1;
	return connecting;
}

int socket_connect_frames(const struct endpoint *a, int timeout_ms, struct fail **fail)
{
	must(a->any.sa_family == AF_UNIX);
	return connect_to(a, SOCK_SEQPACKET, timeout_ms, fail);
}
