/*
 * A client connection, plain or TLS, read by lines and written in whole batches by a
 * coroutine. A failure is sticky: it is counted once, failed is set, and the caller only has
 * to close. conn_close also adds what was received to the statistics.
 */
#ifndef POSTHORN_BENCH_CONN_H
#define POSTHORN_BENCH_CONN_H

#include "buf.h"

#include <openssl/ssl.h>

struct conn {
	int fd;
	char *in;
	size_t in_start, in_end, in_capacity;
	struct buf out;
	uint64_t received, deadline;
	bool failed;
	SSL *ssl;
};

/* Connects; with --tls and the main port also shakes hands. */
bool conn_open(struct conn *c, int port);
bool conn_start_tls(struct conn *c);
void conn_close(struct conn *c);

/* Marks it failed and counts the error; returns false. */
bool conn_fail(struct conn *c, const char *why);

/* Adds to what the next flush sends. */
void conn_printf(struct conn *c, const char *format, ...) FORMAT(2, 3);

/* Sends all queued output. */
bool conn_flush(struct conn *c);

/* One line without its CRLF, NUL-terminated in place; valid until the next read. NULL on failure. */
char *conn_line(struct conn *c, size_t *length);

/* Drops n octets of input. */
bool conn_skip(struct conn *c, uint64_t n);

/* Reads once without waiting: > 0 data, 0 nothing now, < 0 closed or failed. */
int conn_try_fill(struct conn *c);

/* There is a whole line in what was read. */
bool conn_has_line(const struct conn *c);

#endif
