#include "stream.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { OUTPUT_FIRST = 1024, FINISH_DROPPED_MAX = 262144 };

struct stream {
	int fd;
	enum stream_status status; /* the first thing that went wrong */
	bool output_lost;
	bool bulk;
	atomic_bool interrupted;
	struct stream_transport transport;
	struct stream_times times;
	int receive_timeout_ms, send_timeout_ms; /* as the socket has them now */
	int64_t (*clock_ms)(void);

	char *input; /* input[start..end) is read but not taken */
	size_t input_size, start, end;
	size_t searched; /* no line end in input[start..start + searched) */
	int64_t bulk_began_ms;
	uint64_t bulk_bytes;

	char *output; /* output[0..output_length) is gathered */
	size_t output_length, output_capacity, output_high;
	uint64_t bytes_read, bytes_written;
};

static ssize_t plain_read(void *state UNUSED, int fd, void *room, size_t size)
{
	return recv(fd, room, size, 0);
}

static ssize_t plain_write(void *state UNUSED, int fd, const struct iovec *parts, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void set_socket_timeout(int fd, int option, int timeout_ms, int *now_set)
{
	must(timeout_ms > 0);
	if (timeout_ms == *now_set)
		return;
	struct timeval time = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	must(setsockopt(fd, SOL_SOCKET, option, &time, sizeof time) == 0);
	*now_set = timeout_ms;
}

static void set_times(struct stream *s, const struct stream_times *times)
{
	must(times->command_ms > 0);
	s->times = *times;
	set_socket_timeout(s->fd, SO_RCVTIMEO, times->idle_ms, &s->receive_timeout_ms);
	set_socket_timeout(s->fd, SO_SNDTIMEO, times->write_ms, &s->send_timeout_ms);
}

struct stream *stream_new(int fd, const struct stream_options *options)
{
	must(options->leftover.length <= options->input_size && options->input_size >= 2);
	struct stream *s = mem_alloc(sizeof *s);
	s->fd = fd;
	s->transport = (struct stream_transport){ .read = plain_read, .write = plain_write };
	s->clock_ms = options->clock_ms ? options->clock_ms : clock_monotonic_ms;
	s->input_size = options->input_size;
	s->input = mem_resize(NULL, options->input_size, 1);
	s->output_high = options->output_high;
	if (options->leftover.length)
		memcpy(s->input, options->leftover.data, options->leftover.length);
	s->end = options->leftover.length;
	int flags = fcntl(fd, F_GETFL);
	must(flags >= 0 && (!(flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0));
	set_times(s, &options->times);
	return s;
}

int stream_detach(struct stream **stream)
{
	struct stream *s = TAKE(*stream);
	int fd = s->fd;
	free(s->input);
	free(s->output);
	free(s);
	return fd;
}

void stream_free(struct stream *s)
{
	if (s)
		close(stream_detach(&s));
}

void stream_cleanup(struct stream **s)
{
	stream_free(*s);
	*s = NULL;
}

int stream_descriptor(const struct stream *s)
{
	return s->fd;
}

bool stream_set_transport(struct stream *s, const struct stream_transport *transport)
{
	must(s->output_length == 0);
	if (s->start < s->end)
		return false;
	s->transport = *transport;
	return true;
}

enum stream_status stream_status(const struct stream *s)
{
	return s->status;
}

const char *stream_status_name(enum stream_status status)
{
	static const char *const names[STREAM_STATUS_COUNT] = {
		[STREAM_OPEN] = "open", [STREAM_END] = "end",   [STREAM_IDLE] = "idle",
		[STREAM_SLOW] = "slow", [STREAM_LOST] = "lost", [STREAM_INTERRUPTED] = "interrupted",
	};
	must((unsigned)status < STREAM_STATUS_COUNT);
	return names[status];
}

uint64_t stream_bytes_read(const struct stream *s)
{
	return s->bytes_read;
}

uint64_t stream_bytes_written(const struct stream *s)
{
	return s->bytes_written;
}

uint64_t stream_bytes_given(const struct stream *s)
{
	return s->bytes_written + s->output_length;
}

/* Shutting the reading side down wakes a waiting recv, so that no read has to watch a second descriptor. */
void stream_interrupt(struct stream *s)
{
	atomic_store(&s->interrupted, true);
	shutdown(s->fd, SHUT_RD);
}

static void set_status(struct stream *s, enum stream_status status)
{
	if (s->status == STREAM_OPEN)
		s->status = status;
}

static bool lose_output(struct stream *s, enum stream_status status)
{
	set_status(s, status);
	s->output_lost = true;
	s->output_length = 0;
	return false;
}

static bool too_slow(const struct stream *s, int64_t began_ms, uint64_t bytes)
{
	if (s->times.bulk_rate_min == 0)
		return false;
	int64_t allowed_ms = s->times.bulk_grace_ms + (int64_t)(bytes * 1000 / s->times.bulk_rate_min);
	return s->clock_ms() - began_ms > allowed_ms;
}

/* ---- output ---- */

/* Drops the first bytes of what is still to be sent. */
static void advance(struct iovec *parts, int count, size_t bytes)
{
	for (int i = 0; i < count; i++) {
		size_t gone = bytes < parts[i].iov_len ? bytes : parts[i].iov_len;
		parts[i].iov_base = (char *)parts[i].iov_base + gone;
		parts[i].iov_len -= gone;
		bytes -= gone;
	}
}

static bool send_all(struct stream *s, struct iovec *parts, int count, size_t left)
{
	int64_t began_ms = -1;
	uint64_t sent = 0;
	while (left > 0) {
		ssize_t written = s->transport.write(s->transport.state, s->fd, parts, count);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return lose_output(s, written < 0 && errno == EAGAIN ? STREAM_SLOW : STREAM_LOST);
		must((size_t)written <= left);
		left -= (size_t)written;
		sent += (uint64_t)written;
		s->bytes_written += (uint64_t)written;
		if (left == 0)
			break;
		/* The usual write is taken whole; only one that was not looks at the clock. */
		if (began_ms < 0)
			began_ms = s->clock_ms();
		else if (too_slow(s, began_ms, sent))
			return lose_output(s, STREAM_SLOW);
		advance(parts, count, (size_t)written);
	}
	return true;
}

static bool send_with(struct stream *s, struct str more)
{
	if (s->output_lost)
		return false;
	struct iovec parts[2] = {
		{ .iov_base = s->output, .iov_len = s->output_length },
		{ .iov_base = (char *)more.data, .iov_len = more.length },
	};
	size_t gathered = s->output_length;
	s->output_length = 0;
	if (gathered == 0)
		return send_all(s, parts + 1, 1, more.length);
	return send_all(s, parts, more.length ? 2 : 1, gathered + more.length);
}

bool stream_flush(struct stream *s)
{
	return send_with(s, (struct str){});
}

static void gather(struct stream *s, struct str data)
{
	size_t needed = s->output_length + data.length;
	if (needed > s->output_capacity) {
		size_t capacity = s->output_capacity ? s->output_capacity : OUTPUT_FIRST;
		while (capacity < needed)
			capacity *= 2;
		s->output_capacity = capacity < s->output_high ? capacity : s->output_high;
		s->output = mem_resize(s->output, s->output_capacity, 1);
	}
	if (data.length)
		memcpy(s->output + s->output_length, data.data, data.length);
	s->output_length = needed;
}

void stream_write(struct stream *s, struct str data)
{
	if (s->output_lost)
		return;
	if (data.length <= s->output_high - s->output_length)
		gather(s, data);
	else
		send_with(s, data);
}

void stream_printf(struct stream *s, const char *format, ...)
{
	char small[1024];
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	int length = vsnprintf(small, sizeof small, format, arguments);
	must(length >= 0);
	if ((size_t)length < sizeof small) {
		stream_write(s, str_from(small, (size_t)length));
	} else {
		CLEANUP(mem_free) char *large = mem_resize(NULL, (size_t)length + 1, 1);
		vsnprintf(large, (size_t)length + 1, format, again);
		stream_write(s, str_from(large, (size_t)length));
	}
	va_end(again);
	va_end(arguments);
}

void stream_finish(struct stream *s)
{
	char dropped[4096];
	size_t total = 0;
	ssize_t got = 1;
	stream_flush(s);
	shutdown(s->fd, SHUT_WR);
	while (got > 0 && total < FINISH_DROPPED_MAX) {
		got = recv(s->fd, dropped, sizeof dropped, MSG_DONTWAIT);
		total += got > 0 ? (size_t)got : 0;
	}
}

/* ---- input ---- */

static bool can_read(struct stream *s)
{
	if (s->output_lost)
		return false;
	if (atomic_load_explicit(&s->interrupted, memory_order_relaxed))
		set_status(s, STREAM_INTERRUPTED);
	return s->status != STREAM_INTERRUPTED;
}

/* Why a read of the transport gave no bytes. */
static enum stream_status read_failure(struct stream *s, ssize_t got)
{
	if (atomic_load(&s->interrupted))
		return STREAM_INTERRUPTED;
	if (got == 0)
		return STREAM_END;
	return errno == EAGAIN ? STREAM_IDLE : STREAM_LOST;
}

/* At least one byte into room, or 0 with the status set. Waits; output leaves before. */
static size_t receive(struct stream *s, void *room, size_t size)
{
	ssize_t got;
	if (s->status != STREAM_OPEN || !stream_flush(s))
		return 0;
	do {
		got = s->transport.read(s->transport.state, s->fd, room, size);
	} while (got < 0 && errno == EINTR && !atomic_load(&s->interrupted));
	if (got <= 0) {
		set_status(s, read_failure(s, got));
		return 0;
	}
	s->bytes_read += (uint64_t)got;
	if (!s->bulk)
		return (size_t)got;
	s->bulk_bytes += (uint64_t)got;
	if (too_slow(s, s->bulk_began_ms, s->bulk_bytes)) {
		set_status(s, STREAM_SLOW);
		return 0;
	}
	return (size_t)got;
}

static void take(struct stream *s, size_t length)
{
	must(length <= s->end - s->start);
	s->start += length;
	s->searched = 0;
	if (s->start == s->end)
		s->start = s->end = 0;
}

/* Reads more behind what is there. The caller knows that there is less than input_size. */
static bool fill(struct stream *s)
{
	if (s->start > 0 && s->input_size - s->end < s->input_size / 2) {
		memmove(s->input, s->input + s->start, s->end - s->start);
		s->end -= s->start;
		s->start = 0;
	}
	must(s->end < s->input_size);
	size_t got = receive(s, s->input + s->end, s->input_size - s->end);
	s->end += got;
	return got > 0;
}

struct str stream_buffered(const struct stream *s)
{
	return str_from(s->input + s->start, s->end - s->start);
}

/* Length of the first line with its end, 0 when there is none yet. Looks at each byte once. */
static size_t find_line(struct stream *s, enum stream_line_end end)
{
	struct str input = stream_buffered(s);
	while (s->searched < input.length) {
		size_t at = s->searched + str_find_char(str_from_index(input, s->searched), '\n');
		s->searched = at < input.length ? at + 1 : input.length;
		if (at < input.length && (end != STREAM_CRLF_ONLY || (at > 0 && input.data[at - 1] == '\r')))
			return at + 1;
	}
	return 0;
}

static bool command_too_late(struct stream *s, int64_t began_ms)
{
	if (s->clock_ms() - began_ms <= s->times.command_ms)
		return false;
	set_status(s, STREAM_SLOW);
	return true;
}

/* Drops the buffered part of a line that has no end yet; a CR that may be half of its end stays. */
static void drop_unfinished(struct stream *s)
{
	struct str input = stream_buffered(s);
	bool half_end = input.length && input.data[input.length - 1] == '\r';
	take(s, input.length - (half_end ? 1 : 0));
}

/* Takes the line of that length, which begins in the buffer. */
static struct str take_line(struct stream *s, size_t length, enum stream_line_end end)
{
	struct str line = str_from(s->input + s->start, length - 1);
	if (line.length && line.data[line.length - 1] == '\r')
		line.length--;
	else if (end == STREAM_LF_SHOWN)
		line.length++;
	take(s, length);
	return line;
}

enum stream_line stream_read_line(struct stream *s, size_t limit, enum stream_line_end end, struct str *line)
{
	must(limit >= 2 && limit <= s->input_size);
	int64_t began_ms = -1;
	bool too_long = false;
	s->bulk = false;
	s->searched = 0; /* another policy may have searched before */
	while (can_read(s)) {
		size_t length = find_line(s, end);
		if (length) {
			*line = take_line(s, length, end);
			return too_long || length > limit ? STREAM_LINE_TOO_LONG : STREAM_LINE;
		}
		if (s->end - s->start >= limit) {
			too_long = true;
			drop_unfinished(s);
		}
		if (began_ms < 0 && (s->end > s->start || too_long))
			began_ms = s->clock_ms();
		if (!fill(s))
			break;
		if (began_ms >= 0 && command_too_late(s, began_ms))
			break;
	}
	return STREAM_NO_LINE;
}

void stream_begin_bulk(struct stream *s)
{
	s->bulk = true;
	s->bulk_began_ms = s->clock_ms();
	s->bulk_bytes = 0;
}

void stream_end_bulk(struct stream *s)
{
	s->bulk = false;
}

struct str stream_peek(struct stream *s)
{
	if (!can_read(s) || (s->start == s->end && !fill(s)))
		return (struct str){};
	return stream_buffered(s);
}

void stream_consume(struct stream *s, size_t length)
{
	take(s, length);
}

size_t stream_read_some(struct stream *s, void *room, size_t size)
{
	must(size > 0);
	if (!can_read(s))
		return 0;
	struct str input = str_first(stream_buffered(s), size);
	if (input.length == 0)
		return receive(s, room, size);
	memcpy(room, input.data, input.length);
	take(s, input.length);
	return input.length;
}

bool stream_read_exact(struct stream *s, void *room, size_t size)
{
	size_t done = 0;
	while (done < size) {
		size_t got = stream_read_some(s, (char *)room + done, size - done);
		if (got == 0)
			return false;
		done += got;
	}
	return true;
}

static bool has_input(struct stream *s)
{
	if (s->start < s->end || s->status != STREAM_OPEN || atomic_load(&s->interrupted))
		return true;
	return s->transport.buffered && s->transport.buffered(s->transport.state) > 0;
}

enum stream_event stream_wait_readable_or(struct stream *s, int wake, int timeout_ms)
{
	struct pollfd waits[2] = { { .fd = s->fd, .events = POLLIN }, { .fd = wake, .events = POLLIN } };
	int64_t deadline_ms = timeout_ms < 0 ? 0 : s->clock_ms() + timeout_ms;
	int left_ms = timeout_ms, ready;
	stream_flush(s);
	if (has_input(s))
		return STREAM_READABLE;
	while ((ready = poll(waits, 2, left_ms)) < 0 && errno == EINTR) {
		if (timeout_ms < 0)
			continue;
		int64_t left = deadline_ms - s->clock_ms();
		left_ms = left > 0 ? (int)left : 0;
	}
	must(ready >= 0);
	return waits[0].revents ? STREAM_READABLE : ready > 0 ? STREAM_WOKEN : STREAM_TIMED_OUT;
}
