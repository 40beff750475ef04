#include "tls_stream.h"
#include "translate.h"

#include <errno.h>

enum { RECORD_SIZE = 16384 };

static ssize_t read_some(void *state, int fd, void *room, size_t size)
{
	(void)fd;
	size_t got;
	switch (tls_read(state, room, size, &got)) {
	case TLS_DONE:
		return (ssize_t)got;
	case TLS_CLOSED:
		return 0;
	case TLS_FAILED:
		errno = ECONNRESET;
		return -1;
	default:
		errno = EAGAIN;
		return -1;
	}
}

/* Small parts share a record, as they would share a packet. */
static size_t gather(char record[RECORD_SIZE], const struct iovec *parts, int count)
{
	size_t length = 0;
	for (int i = 0; i < count && length < RECORD_SIZE; i++) {
		size_t room = RECORD_SIZE - length;
		size_t taken = parts[i].iov_len < room ? parts[i].iov_len : room;
		memcpy(record + length, parts[i].iov_base, taken);
		length += taken;
	}
	return length;
}

static ssize_t write_some(void *state, int fd, const struct iovec *parts, int count)
{
	(void)fd;
	char record[RECORD_SIZE];
	size_t written, length = gather(record, parts, count);
	if (length == 0)
		return 0;
	switch (tls_write(state, record, length, &written)) {
	case TLS_DONE:
		return (ssize_t)written;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	default:
		errno = EPIPE;
		return -1;
	}
}

static size_t buffered(void *state)
{
	return tls_buffered(state);
}

static bool shake_hands(struct tls_connection *connection, struct fail **fail)
{
	switch (tls_handshake(connection)) {
	case TLS_DONE:
		return true;
	case TLS_CLOSED:
		return fail_set(fail, FAIL_UNAVAILABLE, N_("the peer ended TLS during the handshake"));
	case TLS_FAILED:
		return fail_set(fail, FAIL_UNAVAILABLE, "TLS: %s", tls_failure(connection));
	default:
		return fail_set(fail, FAIL_TIMEOUT, N_("TLS: the handshake took too long"));
	}
}

bool tls_stream_start(struct stream *stream, struct tls_connection *connection, struct fail **fail)
{
	const struct stream_transport transport = { read_some, write_some, buffered, connection };
	if (!stream_flush(stream))
		return fail_set(fail, FAIL_UNAVAILABLE, N_("the connection is lost"));
	/* RFC 3207 §4, RFC 2595 §4: what came in the clear behind STARTTLS may be an attacker's. */
	if (!stream_set_transport(stream, &transport))
		return fail_set(fail, FAIL_INVALID, N_("the peer sent something in the clear before TLS"));
	return shake_hands(connection, fail);
}
