/*
 * struct stream: a blocking two-way byte stream over a connected socket, buffered both ways, with time-outs.
 *
 * One thread uses a stream; only stream_interrupt may come from another. Memory is bounded: an input buffer of
 * fixed size and an output buffer up to its high-water mark.
 *
 * Output is gathered and leaves in one system call: when stream_flush is called, when the high-water mark is
 * passed, and by itself before a read that has to wait. So answers to pipelined commands go out together, a
 * single answer goes out in one write, and a session loop never deadlocks by forgetting to flush.
 *
 * Errors are sticky and differ by direction. When output is lost (reset, peer does not take it), all later
 * writes and reads do nothing. When input ends (peer closed, too long idle, too slow, interrupted), reads
 * give nothing more but a farewell can still be written. The session loop looks at stream_status once, when
 * a read gave nothing. No function sets errno for the caller.
 *
 * Time-outs cost no system call per read: the idle time is the socket's SO_RCVTIMEO; the deadline of a command
 * and the minimum rate are looked at whenever bytes arrive or the idle time ends, so a dripping peer is cut
 * off at most idle_ms later than they say.
 */
#ifndef POSTHORN_NET_STREAM_H
#define POSTHORN_NET_STREAM_H

#include "str.h"
#include "check.h"

#include <sys/types.h>
#include <sys/uio.h>

struct stream;

enum stream_status {
	STREAM_OPEN,
	STREAM_END,         /* the peer closed its side */
	STREAM_IDLE,        /* nothing came for idle_ms */
	STREAM_SLOW,        /* a command or bulk input came too slowly, or output was not taken */
	STREAM_LOST,        /* the connection failed */
	STREAM_INTERRUPTED, /* stream_interrupt was called */
	STREAM_STATUS_COUNT
};

/* All must be above 0 but for the two of bulk input, where a rate of 0 means any. */
struct stream_times {
	int idle_ms;             /* longest silence */
	int command_ms;          /* longest time from a line's first byte to its end */
	int write_ms;            /* longest time in which none of the output is taken */
	int bulk_grace_ms;       /* bulk input and output may take this long, */
	unsigned bulk_rate_min;  /* plus one second for so many bytes */
};

/*
 * What carries the bytes. The descriptor is blocking and has SO_RCVTIMEO and SO_SNDTIMEO set, so these two work
 * as recv and sendmsg on it do: the number of bytes, 0 at the end of input, -1 with errno (EAGAIN: time is up,
 * EINTR: try again). buffered says how many decoded bytes can be read without waiting; NULL for none ever.
 */
struct stream_transport {
	ssize_t (*read)(void *state, int fd, void *room, size_t size);
	ssize_t (*write)(void *state, int fd, const struct iovec *parts, int count);
	size_t (*buffered)(void *state);
	void *state;
};

struct stream_options {
	size_t input_size;    /* bytes of input buffer, at least 2: the longest line that can be asked for */
	size_t output_high;   /* gathered output beyond this is written */
	struct stream_times times;
	struct str leftover;  /* input read earlier by somebody else; copied; at most input_size */
	int64_t (*clock_ms)(void); /* NULL for clock_monotonic_ms */
};

/* Takes the descriptor, which may be inherited, and makes it blocking. Every socket will do. */
struct stream *stream_new(int fd, const struct stream_options *options);

/* Closes the descriptor; output that was not flushed is dropped. */
void stream_free(struct stream *s);
void stream_cleanup(struct stream **s);

/* Frees the stream but leaves the connection open: the descriptor is the caller's again. Look at stream_buffered and
 * stream_flush before. */
int stream_detach(struct stream **s);

int stream_descriptor(const struct stream *s);

/* For TLS begun in the middle: from now on bytes go through the transport, whose state the caller keeps alive. False,
 * and nothing changed, when input is buffered: what came before TLS must not be taken for what came inside it, so end
 * the connection. Output must have been flushed. */
NODISCARD bool stream_set_transport(struct stream *s, const struct stream_transport *transport);

enum stream_status stream_status(const struct stream *s);

/* "end", "idle" and so on, for logs. */
const char *stream_status_name(enum stream_status status);

/* Bytes moved since stream_new, for logs. */
uint64_t stream_bytes_read(const struct stream *s);
uint64_t stream_bytes_written(const struct stream *s);

/* Bytes that were given to be written, sent or still gathered. */
uint64_t stream_bytes_given(const struct stream *s);

/* Makes reads of the session's thread end soon with STREAM_INTERRUPTED, at once if one is waiting. May be called
 * from any thread while the stream lives. */
void stream_interrupt(struct stream *s);

/* ---- input ---- */

enum stream_line_end {
	STREAM_CRLF_ONLY,  /* a bare LF is a byte of the line like any other */
	STREAM_LF_TOO,     /* a bare LF ends a line as well */
	STREAM_LF_SHOWN,   /* the same, but it stays at the end of the line, so that the caller sees what was wrong with it */
};

enum stream_line {
	STREAM_LINE,          /* *line is the line without its end; it dies with the next read */
	STREAM_LINE_TOO_LONG, /* longer than limit: it was dropped up to and with its end, reading can go on */
	STREAM_NO_LINE,       /* nothing more: see stream_status; an unfinished last line is not given */
};

/* limit counts the line with its end; it is at least 2 and at most input_size. */
NODISCARD enum stream_line stream_read_line(struct stream *s, size_t limit, enum stream_line_end end, struct str *line);

/* Starts the clock of bulk input (a message, a literal): until the next stream_read_line the minimum rate holds. */
void stream_begin_bulk(struct stream *s);

/* The same end without reading a line. */
void stream_end_bulk(struct stream *s);

/* A view of at least one byte of input, waiting if there is none; empty when there will be none. It dies with the next
 * read. Take what was used with stream_consume. */
struct str stream_peek(struct stream *s);
void stream_consume(struct stream *s, size_t length);

/* Between 1 and size bytes, straight into the caller's memory where nothing is buffered; 0 when there are no more. */
NODISCARD size_t stream_read_some(struct stream *s, void *room, size_t size);

/* All of size bytes, or false. */
NODISCARD bool stream_read_exact(struct stream *s, void *room, size_t size);

/* Input that was read but not yet taken: pipelined commands, or the leftover for a hand-over. */
struct str stream_buffered(const struct stream *s);

enum stream_event { STREAM_READABLE, STREAM_WOKEN, STREAM_TIMED_OUT };

/* Flushes, then waits for input, for descriptor wake (an eventfd; -1 for none) or for the end of timeout_ms (-1:
 * never). Input comes first when there are several. A connection that ended counts as readable: the next read tells. */
enum stream_event stream_wait_readable_or(struct stream *s, int wake, int timeout_ms);

/* ---- output ---- */

/* Copies short data; data beyond the high-water mark goes out from the caller's memory, with what is gathered, in
 * one write. */
void stream_write(struct stream *s, struct str data);
void stream_printf(struct stream *s, const char *format, ...) FORMAT(2, 3);

/* False when output is lost. */
bool stream_flush(struct stream *s);

/* Flushes and says that no more will come; input that lies around is read and dropped, because closing with
 * unread input resets a TCP connection and may take the farewell with it (RFC 1122 §4.2.2.13). Does not wait. */
void stream_finish(struct stream *s);

#endif
