#include "imap_compress.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <zlib.h>

enum {
	RAW = -1,                 /* RFC 1951 without a frame, RFC 4978 §4 */
	OUT_WINDOW = 13,
	OUT_MEMORY = 6,
	IN_WINDOW = 15,           /* what a client may use */
	TAKEN_MAX = 65536,        /* of one write, so that the stream sees how fast it goes */
	PATIENCE_MS = 60000,      /* for so much */
	FRUITLESS_MAX = 100,      /* reads that brought blocks with nothing in them */
	GROWTH_FREE = 64 << 20,   /* octets that may come out of nothing, */
	GROWTH_RATIO = 128,       /* for each that came, */
	GROWTH_PER_MS = 8 << 10,  /* and with time */
};

struct imap_deflate {
	z_stream out, in;
	ARRAY(uint64_t) boundaries; /* positions still to come, from next on */
	size_t next;
	uint64_t taken;             /* octets that went out, before deflating */
	uint64_t arrived_octets, inflated_octets;
	int64_t began_ms;
	bool in_more;               /* inflate may have more without new input */
	bool broken;                /* what came is not deflated data, or too much of it */
	bool ended;
	size_t start, end;          /* of decoded */
	unsigned char sealed[16384], arrived[8192], decoded[4096];
};

struct imap_deflate *imap_deflate_new(void)
{
	struct imap_deflate *d = mem_alloc(sizeof *d);
	d->began_ms = clock_monotonic_ms();
	int out = deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, RAW * OUT_WINDOW, OUT_MEMORY,
	                       Z_DEFAULT_STRATEGY);
	int in = inflateInit2(&d->in, RAW * IN_WINDOW);
	must(out == Z_OK && in == Z_OK);
	return d;
}

void imap_deflate_free(struct imap_deflate **deflate)
{
	struct imap_deflate *d = *deflate;
	*deflate = NULL;
	if (!d)
		return;
	deflateEnd(&d->out);
	inflateEnd(&d->in);
	array_release(&d->boundaries);
	free(d);
}

void imap_deflate_boundary(struct imap_deflate *d, uint64_t position)
{
	if (d->next == d->boundaries.count)
		d->next = d->boundaries.count = 0;
	if (!d->boundaries.count || d->boundaries.items[d->boundaries.count - 1] < position)
		*array_add(&d->boundaries) = position;
}

/* ---- output ---- */

static bool send_sealed(struct imap_deflate *d, int fd, int64_t until_ms)
{
	size_t left = sizeof d->sealed - d->out.avail_out;
	const unsigned char *at = d->sealed;
	while (left) {
		ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return false;
		if (sent > 0) {
			at += sent;
			left -= (size_t)sent;
		}
		if (left && clock_monotonic_ms() > until_ms) {
			errno = EAGAIN;
			return false;
		}
	}
	d->out.next_out = d->sealed;
	d->out.avail_out = sizeof d->sealed;
	return true;
}

/* Deflates a piece; what fills the room is sent. */
static bool seal(struct imap_deflate *d, int fd, struct str piece, int flush, int64_t until_ms)
{
	d->out.next_in = (Bytef *)(uintptr_t)piece.data;
	d->out.avail_in = (uInt)piece.length;
	do {
		if (d->out.avail_out == 0 && !send_sealed(d, fd, until_ms))
			return false;
		int result = deflate(&d->out, flush);
		must(result == Z_OK || result == Z_BUF_ERROR);
	} while (d->out.avail_out == 0 || d->out.avail_in);
	d->taken += piece.length;
	return true;
}

/* Up to the next boundary, and over it if it lies at the very beginning. */
static bool seal_next(struct imap_deflate *d, int fd, struct str *rest, int64_t until_ms)
{
	uint64_t boundary = d->next < d->boundaries.count ? d->boundaries.items[d->next] : UINT64_MAX;
	if (boundary <= d->taken) {
		d->next++;
		return seal(d, fd, (struct str){}, Z_FULL_FLUSH, until_ms);
	}
	uint64_t until = boundary - d->taken;
	struct str piece = str_first(*rest, until < rest->length ? (size_t)until : rest->length);
	*rest = str_from_index(*rest, piece.length);
	return seal(d, fd, piece, Z_NO_FLUSH, until_ms);
}

static ssize_t deflate_write(void *state, int fd, const struct iovec *parts, int count)
{
	struct imap_deflate *d = state;
	int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
	size_t room = TAKEN_MAX;
	bool all = true;
	d->out.next_out = d->sealed;
	d->out.avail_out = sizeof d->sealed;
	for (int i = 0; i < count; i++) {
		struct str part = str_first(str_from(parts[i].iov_base, parts[i].iov_len), room);
		all = all && part.length == parts[i].iov_len;
		room -= part.length;
		while (part.length)
			if (!seal_next(d, fd, &part, until_ms))
				return -1;
	}
	/* RFC 4978 §4: the client must be able to read all that was said */
	if (all && !seal(d, fd, (struct str){}, Z_SYNC_FLUSH, until_ms))
		return -1;
	return send_sealed(d, fd, until_ms) ? (ssize_t)(TAKEN_MAX - room) : -1;
}

/* ---- input ---- */

static bool grew_too_much(const struct imap_deflate *d)
{
	uint64_t allowed = GROWTH_FREE + GROWTH_RATIO * d->arrived_octets;
	if (d->inflated_octets <= allowed)
		return false;
	return d->inflated_octets > allowed + GROWTH_PER_MS * (uint64_t)(clock_monotonic_ms() - d->began_ms);
}

/* How much came out of what is there. */
static size_t inflate_some(struct imap_deflate *d, void *room, size_t size)
{
	if ((!d->in.avail_in && !d->in_more) || d->broken || d->ended)
		return 0;
	d->in.next_out = room;
	d->in.avail_out = size < UINT32_MAX ? (uInt)size : UINT32_MAX;
	size_t offered = d->in.avail_out;
	int result = inflate(&d->in, Z_SYNC_FLUSH);
	size_t got = offered - d->in.avail_out;
	d->in_more = d->in.avail_out == 0;
	d->ended = result == Z_STREAM_END;
	d->inflated_octets += got;
	d->broken = (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) || grew_too_much(d);
	return got;
}

static bool receive(struct imap_deflate *d, int fd, ssize_t *got)
{
	*got = recv(fd, d->arrived, sizeof d->arrived, 0);
	if (*got <= 0)
		return false;
	d->in.next_in = d->arrived;
	d->in.avail_in = (uInt)*got;
	d->arrived_octets += (uint64_t)*got;
	return true;
}

static ssize_t take_decoded(struct imap_deflate *d, void *room, size_t size)
{
	size_t length = d->end - d->start < size ? d->end - d->start : size;
	memcpy(room, d->decoded + d->start, length);
	d->start += length;
	return (ssize_t)length;
}

static ssize_t deflate_read(void *state, int fd, void *room, size_t size)
{
	struct imap_deflate *d = state;
	ssize_t got;
	if (d->start < d->end)
		return take_decoded(d, room, size);
	for (int i = 0; i < FRUITLESS_MAX; i++) {
		size_t inflated = inflate_some(d, room, size);
		if (inflated)
			return (ssize_t)inflated;
		if (d->ended)
			return 0;
		if (d->broken) {
			errno = EPROTO;
			return -1;
		}
		if (!receive(d, fd, &got))
			return got;
	}
	errno = EAGAIN;
	return -1;
}

/* Whether something can be read is only known by inflating it. */
bool imap_deflate_is_idle(const struct imap_deflate *d)
{
	return d->in.avail_in == 0 && !d->in_more && d->start == d->end;
}

static size_t deflate_buffered(void *state)
{
	struct imap_deflate *d = state;
	if (d->start == d->end) {
		d->start = 0;
		d->end = inflate_some(d, d->decoded, sizeof d->decoded);
	}
	return d->end - d->start + (d->broken || d->ended);
}

struct stream_transport imap_deflate_transport(struct imap_deflate *d)
{
	return (struct stream_transport){ deflate_read, deflate_write, deflate_buffered, d };
}
