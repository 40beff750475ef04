/* Reaching anybody over a socket. */
#include "escape.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in loopback(const struct scene *s)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static struct sockaddr_un at_path(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	memcpy(address.sun_path, path, strnlen(path, sizeof address.sun_path - 1));
	return address;
}

static int make_inet(const struct scene *s)
{
	(void)s;
	return outcome(socket(AF_INET, SOCK_STREAM, 0));
}

static int make_inet6_datagram(const struct scene *s)
{
	(void)s;
	return outcome(socket(AF_INET6, SOCK_DGRAM, 0));
}

static int make_unix(const struct scene *s)
{
	(void)s;
	return outcome(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int make_netlink(const struct scene *s)
{
	(void)s;
	return outcome(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int make_stream_pair(const struct scene *s)
{
	int pair[2];
	(void)s;
	return outcome(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
}

static int connect_tcp(const struct scene *s)
{
	struct sockaddr_in to = loopback(s);
	return outcome(connect(s->tcp, (struct sockaddr *)&to, sizeof to));
}

static int connect_unix(const struct scene *s)
{
	struct sockaddr_un to = at_path(s->socket_path);
	return outcome(connect(s->unix_stream, (struct sockaddr *)&to, sizeof to));
}

static int connect_abstract(const struct scene *s)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t length = strlen(s->abstract_name);
	memcpy(to.sun_path + 1, s->abstract_name, length);
	return outcome(connect(s->unix_stream, (struct sockaddr *)&to,
	                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)));
}

static int bind_tcp(const struct scene *s)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	return outcome(bind(s->tcp, (struct sockaddr *)&any, sizeof any));
}

static int bind_unix(const struct scene *s)
{
	struct sockaddr_un here = at_path(below(s->own, "new"));
	return outcome(bind(s->unix_stream, (struct sockaddr *)&here, sizeof here));
}

static int listen_tcp(const struct scene *s)
{
	return outcome(listen(s->tcp, 1));
}

static int send_udp(const struct scene *s)
{
	struct sockaddr_in to = loopback(s);
	return outcome(sendto(s->udp, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to));
}

static int send_unix_datagram(const struct scene *s)
{
	struct sockaddr_un to = at_path(s->datagram_path);
	return outcome(sendto(s->unix_datagram, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to));
}

/* The way round sendto's check: sendmsg's address lies behind a pointer, so no datagram socket may come into being. */
static int send_by_datagram_pair(const struct scene *s)
{
	struct sockaddr_un to = at_path(s->datagram_path);
	struct iovec part = { (void *)"x", 1 };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1 };
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
		return errno;
	return outcome(sendmsg(pair[0], &message, MSG_NOSIGNAL));
}

static int send_many(const struct scene *s)
{
	struct iovec part = { (void *)"x", 1 };
	struct mmsghdr messages[1] = { { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } } };
	return outcome(sendmmsg(s->pair[0], messages, 1, MSG_NOSIGNAL));
}

static int connected(ssize_t result)
{
	return result < 0 && errno == EINPROGRESS ? 0 : outcome(result);
}

/* A listening socket that is shut down can connect, without connect. */
static int fast_open_by_sendto(const struct scene *s)
{
	struct sockaddr_in to = loopback(s);
	shutdown(s->listener, SHUT_RDWR);
	return connected(sendto(s->listener, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to));
}

static int fast_open_by_sendmsg(const struct scene *s)
{
	struct sockaddr_in to = loopback(s);
	struct iovec part = { (void *)"x", 1 };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1 };
	shutdown(s->listener, SHUT_RDWR);
	return connected(sendmsg(s->listener, &message, MSG_FASTOPEN | MSG_NOSIGNAL));
}

static int attach_filter(const struct scene *s)
{
	struct sock_filter code = { 0x06, 0, 0, 0xffff };
	struct sock_fprog program = { 1, &code };
	return outcome(setsockopt(s->pair[0], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

static int ask_interfaces(const struct scene *s)
{
	int waiting;
	return outcome(ioctl(s->pair[0], FIONREAD, &waiting));
}

const struct attempt network_attempts[] = {
	{ "socket(AF_INET)", make_inet, BY_INTERNET },
	{ "socket(AF_INET6), datagrams", make_inet6_datagram, BY_INTERNET },
	{ "socket(AF_UNIX)", make_unix, BY_NOBODY },
	{ "socket(AF_NETLINK)", make_netlink, BY_NOBODY },
	{ "socketpair", make_stream_pair, BY_PORTER },
	{ "connect to TCP", connect_tcp, BY_INTERNET },
	/* seccomp cannot see to whom: what keeps resolver and relay away is that they have no Unix socket that is not
	 * connected, and can make none */
	{ "connect to a Unix socket", connect_unix, BY_INTERNET },
	{ "connect to an abstract socket", connect_abstract, BY_INTERNET },
	{ "bind to TCP", bind_tcp, BY_INTERNET },
	{ "bind in the own folder", bind_unix, BY_NOBODY },
	{ "listen", listen_tcp, BY_NOBODY },
	{ "sendto with a UDP address", send_udp, BY_INTERNET },
	{ "sendto with a Unix address", send_unix_datagram, BY_INTERNET },
	{ "sendmsg with a Unix address on a pair", send_by_datagram_pair, BY_NOBODY },
	{ "sendmmsg", send_many, BY_INTERNET },
	{ "connect by MSG_FASTOPEN of sendto", fast_open_by_sendto, BY_INTERNET },
	{ "connect by MSG_FASTOPEN of sendmsg", fast_open_by_sendmsg, BY_INTERNET },
	{ "attach a socket filter", attach_filter, BY_NOBODY },
	{ "ioctl on a socket", ask_interfaces, BY_NOBODY },
	{},
};
