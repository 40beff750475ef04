/*
 * Opening sockets, and the few options that Posthorn sets on them.
 *
 * Descriptors made here are close-on-exec and owned by the caller. -1 means failure with *fail set.
 * The options are about TCP: on a Unix socket they do nothing and succeed, so that sessions behind a
 * socketpair need no other code.
 */
#ifndef POSTHORN_NET_SOCKET_H
#define POSTHORN_NET_SOCKET_H

#include "endpoint.h"

/* A non-blocking listener. "*" listens for IPv6 and IPv4, an IPv6 address for IPv6 only. A Unix socket file that
 * nobody listens on any more is replaced; one in use, or another kind of file, is left alone. */
int socket_listen(const struct endpoint *a, int backlog, struct fail **fail);

/* The same at a path for SOCK_SEQPACKET, whose connections keep the borders of what is sent: the frames of our own
 * programs. */
int socket_listen_frames(const struct endpoint *a, int backlog, struct fail **fail);

/* A connected blocking socket with TCP_NODELAY. FAIL_TIMEOUT after timeout_ms, FAIL_UNAVAILABLE when refused
 * or unreachable. */
int socket_connect(const struct endpoint *a, int timeout_ms, struct fail **fail);

/* A non-blocking socket whose connection is under way: when it can be written to, SO_ERROR says how it went. */
int socket_begin_connect(const struct endpoint *a, struct fail **fail);

/* A connected blocking SOCK_SEQPACKET socket to a path. */
int socket_connect_frames(const struct endpoint *a, int timeout_ms, struct fail **fail);

/* Answers leave at once: each goes out in one write, so there is nothing to gather. */
bool socket_set_nodelay(int fd);

/* How long sent bytes may stay unacknowledged before the connection is dead (RFC 5482): a phone
 * out of reach must not hold its maildrop for a quarter of an hour. */
bool socket_set_user_timeout(int fd, unsigned timeout_ms);

#endif
