#include "endpoint.h"

#include <arpa/inet.h>
#include <stddef.h>

enum { PATH_OFFSET = offsetof(struct sockaddr_un, sun_path) };

static void set_v4(struct endpoint *a, const void *ip, uint16_t port)
{
	*a = (struct endpoint){ .length = sizeof a->v4 };
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons(port);
	memcpy(&a->v4.sin_addr, ip, sizeof a->v4.sin_addr);
}

static void set_v6(struct endpoint *a, const struct in6_addr *ip, uint16_t port, uint32_t scope)
{
	if (IN6_IS_ADDR_V4MAPPED(ip)) {
		set_v4(a, ip->s6_addr + 12, port);
		return;
	}
	*a = (struct endpoint){ .length = sizeof a->v6 };
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(port);
	a->v6.sin6_addr = *ip;
	a->v6.sin6_scope_id = scope;
}

static bool set_path(struct endpoint *a, struct str path, struct fail **fail)
{
	*a = (struct endpoint){ .length = sizeof a->path };
	if (path.length >= sizeof a->path.sun_path)
		return fail_set(fail, FAIL_INVALID, "socket path longer than %zu octets", sizeof a->path.sun_path - 1);
	if (str_find_char(path, '\0') < path.length)
		return fail_set(fail, FAIL_INVALID, "socket path with a NUL in it");
	a->path.sun_family = AF_UNIX;
	memcpy(a->path.sun_path, path.data, path.length);
	a->length = (socklen_t)(PATH_OFFSET + path.length + 1);
	return true;
}

bool endpoint_parse_ip(struct str text, uint16_t port, struct endpoint *a, struct fail **fail)
{
	char copy[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;
	if (text.length > 0 && text.length < sizeof copy && str_is_printable(text)) {
		memcpy(copy, text.data, text.length);
		copy[text.length] = '\0';
		if (inet_pton(AF_INET, copy, &v4) == 1) {
			set_v4(a, &v4, port);
			return true;
		}
		if (inet_pton(AF_INET6, copy, &v6) == 1) {
			set_v6(a, &v6, port, 0);
			return true;
		}
	}
	return fail_set(fail, FAIL_INVALID, "not an IP address");
}

static bool is_bracketed(struct str host)
{
	return host.length >= 2 && host.data[0] == '[' && host.data[host.length - 1] == ']';
}

static bool parse_host(struct str host, uint16_t port, struct endpoint *a, struct fail **fail)
{
	if (str_equal(host, STR("*"))) {
		set_v6(a, &in6addr_any, port, 0);
		a->every_family = true;
		return true;
	}
	bool colons = str_find_char(host, ':') < host.length;
	if (is_bracketed(host) != colons)
		return fail_set(fail, FAIL_INVALID, "IPv6 addresses, and only they, stand in brackets: [::1]:25");
	if (colons)
		host = str_from(host.data + 1, host.length - 2);
	return endpoint_parse_ip(host, port, a, fail);
}

bool endpoint_parse(struct str text, struct endpoint *a, struct fail **fail)
{
	uint64_t port;
	if (text.length && text.data[0] == '/')
		return set_path(a, text, fail);
	size_t colon = str_find_last_char(text, ':');
	if (colon == text.length || !str_to_u64(str_from_index(text, colon + 1), UINT16_MAX, &port))
		return fail_set(fail, FAIL_INVALID, "no port (0 to 65535) behind a colon at the end");
	return parse_host(str_first(text, colon), (uint16_t)port, a, fail);
}

void endpoint_from_socket(struct endpoint *a, const struct sockaddr *from, socklen_t length)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;
	*a = (struct endpoint){ .length = 0 };
	if (from->sa_family == AF_INET && length >= sizeof v4) {
		memcpy(&v4, from, sizeof v4);
		set_v4(a, &v4.sin_addr, ntohs(v4.sin_port));
	} else if (from->sa_family == AF_INET6 && length >= sizeof v6) {
		memcpy(&v6, from, sizeof v6);
		set_v6(a, &v6.sin6_addr, ntohs(v6.sin6_port), v6.sin6_scope_id);
	} else if (from->sa_family == AF_UNIX && length <= sizeof a->path) {
		memcpy(&a->path, from, length);
		a->length = length;
	}
}

bool endpoint_of_peer(int fd, struct endpoint *a, struct fail **fail)
{
	struct sockaddr_storage storage = {};
	socklen_t length = sizeof storage;
	if (getpeername(fd, (struct sockaddr *)&storage, &length) < 0)
		return fail_set_errno(fail, FAIL_IO, "address of the peer");
	endpoint_from_socket(a, (struct sockaddr *)&storage, length);
	return true;
}

bool endpoint_of_local(int fd, struct endpoint *a, struct fail **fail)
{
	struct sockaddr_storage storage = {};
	socklen_t length = sizeof storage;
	if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0)
		return fail_set_errno(fail, FAIL_IO, "address of the socket");
	endpoint_from_socket(a, (struct sockaddr *)&storage, length);
	return true;
}

bool endpoint_is_ip(const struct endpoint *a)
{
	return a->length && (a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6);
}

bool endpoint_is_loopback(const struct endpoint *a)
{
	if (!endpoint_is_ip(a))
		return false;
	if (a->any.sa_family == AF_INET)
		return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

bool endpoint_is_unspecified(const struct endpoint *a)
{
	if (!endpoint_is_ip(a))
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

uint16_t endpoint_port(const struct endpoint *a)
{
	if (!endpoint_is_ip(a))
		return 0;
	return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

void endpoint_set_port(struct endpoint *a, uint16_t port)
{
	must(endpoint_is_ip(a));
	if (a->any.sa_family == AF_INET)
		a->v4.sin_port = htons(port);
	else
		a->v6.sin6_port = htons(port);
}

/* Empty for an unnamed socket; an abstract name begins with a NUL and is all of the rest. */
static struct str path_of(const struct endpoint *a)
{
	if (a->length <= PATH_OFFSET)
		return (struct str){};
	struct str path = str_from(a->path.sun_path, a->length - PATH_OFFSET);
	return path.data[0] ? str_first(path, str_find_char(path, '\0')) : path;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	if (!a->length || !b->length || a->any.sa_family != b->any.sa_family)
		return a->length == b->length;
	if (a->any.sa_family == AF_UNIX)
		return str_equal(path_of(a), path_of(b));
	if (endpoint_port(a) != endpoint_port(b))
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) && a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}

void endpoint_print_ip(struct buf *out, const struct endpoint *a)
{
	char text[INET6_ADDRSTRLEN];
	struct str path = endpoint_is_ip(a) ? (struct str){} : path_of(a);
	if (!endpoint_is_ip(a)) {
		buf_add_str(out, path.length && path.data[0] == '/' ? path : STR("local"));
		return;
	}
	const void *ip = a->any.sa_family == AF_INET ? (const void *)&a->v4.sin_addr : &a->v6.sin6_addr;
	must(inet_ntop(a->any.sa_family, ip, text, sizeof text) != NULL);
	buf_add_str(out, str_of(text));
}

void endpoint_print(struct buf *out, const struct endpoint *a)
{
	bool bracket = a->length && a->any.sa_family == AF_INET6 && !a->every_family;
	if (bracket)
		buf_add_char(out, '[');
	if (a->every_family)
		buf_add_char(out, '*');
	else
		endpoint_print_ip(out, a);
	if (bracket)
		buf_add_char(out, ']');
	if (endpoint_is_ip(a)) {
		buf_add_char(out, ':');
		buf_add_u64(out, endpoint_port(a));
	}
}
