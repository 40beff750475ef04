/*
 * struct connection: a TCP connection of a client to a server, with TLS from the start, from STARTTLS on, or none.
 *
 * The name is resolved and each of its addresses tried. TLS always verifies the certificate for the host that the user
 * named; there is no way around it. Every wait is bounded by timeout_ms, a slow drip by a minimum rate. One thread uses
 * a connection; stream_interrupt may come from another.
 */
#ifndef POSTHORN_COMMON_CONNECTION_H
#define POSTHORN_COMMON_CONNECTION_H

#include "server.h"
#include "stream.h"
#include "tls.h"

struct connection {
	struct server server;
	const char *ca_file;
	struct stream *stream;
	struct tls_client *tls_client;
	struct tls_connection *tls;
	bool is_protected;      /* the handshake is done */
	struct tls_facts facts; /* then */
	struct tls_certificate certificate;
	int timeout_ms;
};

/* Connects and, with SERVER_TLS_IMPLICIT, begins TLS. ca_file: PEM, NULL for the authorities of the system; not copied.
 * Failures: UNAVAILABLE, TIMEOUT; CORRUPT when the server can't prove to be who it should be. The caller closes the
 * connection in any case. */
bool connection_open(struct connection *c, const struct server *server, const char *ca_file, int timeout_ms,
                     struct fail **fail);

/* After the server has agreed to STLS or STARTTLS. FAIL_CORRUPT also when it has sent more than its agreement (RFC 3207
 * §4, RFC 2595 §4): that could be anybody's. */
bool connection_start_tls(struct connection *c, struct fail **fail);

/* The protection in one sentence for people: version, cipher, and whose certificate it is. After the handshake. */
void connection_describe_tls(const struct connection *c, struct buf *out);

/* Says good-bye to TLS; output that was not flushed is dropped. Nothing for one that was not opened. */
void connection_close(struct connection *c);

/* What has come, without waiting for more, when the descriptor is readable: that may be nothing, because TLS has
 * records of its own. False at the end of the connection; *fail says how it came. Not to be mixed with reads of the
 * stream inside TLS. */
bool connection_read_now(struct connection *c, void *room, size_t size, size_t *got, struct fail **fail);

/* Why a read gave nothing; returns false. */
bool connection_lost(const struct connection *c, struct fail **fail);

/* The address of this end as EHLO takes it, "[127.0.0.1]" (RFC 5321 §4.1.4). */
void connection_own_literal(const struct connection *c, struct buf *out);

#endif
