/*
 * A TLS connection as the transport of a struct stream, for blocking clients and tests.
 */
#ifndef POSTHORN_TLS_TLS_STREAM_H
#define POSTHORN_TLS_TLS_STREAM_H

#include "stream.h"
#include "tls.h"

/* Switches the stream to the connection (made with stream_descriptor), which the caller keeps alive for as long as the
 * stream, and runs the handshake; the stream's idle time bounds each wait. After a failure the stream is of no use,
 * except that nothing has happened when input was buffered (FAIL_INVALID). */
bool tls_stream_start(struct stream *stream, struct tls_connection *connection, struct fail **fail);

#endif
