/*
 * struct endpoint: where a socket listens, connects or has its peer: IPv4, IPv6 or Unix path.
 *
 * IPv4 addresses mapped into IPv6 (RFC 4291 §2.5.5.2) are always turned into IPv4, so that one peer
 * has one form in logs, limits and lists. Plain value: copy it freely, nothing to release.
 * Text forms: 127.0.0.1:25, [::1]:25, *:25 (every address of both families), /path/of.sock.
 * Names are never resolved here.
 */
#ifndef POSTHORN_NET_ENDPOINT_H
#define POSTHORN_NET_ENDPOINT_H

#include "buf.h"
#include "fail.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct endpoint {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un path;
	};
	socklen_t length;    /* 0: no address */
	bool every_family;   /* made from "*": listen for IPv4 too */
};

/* With a port (1 to 65535; 0 lets the kernel choose one to listen on) or a path. */
bool endpoint_parse(struct str text, struct endpoint *a, struct fail **fail);

/* An IP address alone, IPv6 without brackets. */
bool endpoint_parse_ip(struct str text, uint16_t port, struct endpoint *a, struct fail **fail);

/* From the kernel's form; what is neither IP nor Unix becomes "no address". */
void endpoint_from_socket(struct endpoint *a, const struct sockaddr *from, socklen_t length);

/* The two ends of a socket; an unnamed Unix peer has an empty path. */
bool endpoint_of_peer(int fd, struct endpoint *a, struct fail **fail);
bool endpoint_of_local(int fd, struct endpoint *a, struct fail **fail);

bool endpoint_is_ip(const struct endpoint *a);
bool endpoint_is_loopback(const struct endpoint *a);

/* 0.0.0.0 or ::, every address of the host where it listens. */
bool endpoint_is_unspecified(const struct endpoint *a);

/* 0 for a path. */
uint16_t endpoint_port(const struct endpoint *a);
void endpoint_set_port(struct endpoint *a, uint16_t port);

/* Same host and port, or same path. */
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* As endpoint_parse reads it. An unnamed or absent address prints as "local". */
void endpoint_print(struct buf *out, const struct endpoint *a);

/* Without the port: "::1", for logs and trace fields. */
void endpoint_print_ip(struct buf *out, const struct endpoint *a);

#endif
