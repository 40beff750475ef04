#include "doctor_check.h"

#include "clock.h"
#include "http_response.h"
#include "socket.h"
#include "tls_stream.h"

enum { INPUT_SIZE = 16384, ANSWER_MS = 10000, RATE_MIN = 1000, STATUS_FOUND = 200 };

/* The first address that takes the connection. */
static int dial(struct doctor *d, struct str host, struct fail **fail)
{
	CLEANUP(doctor_addresses_release) struct doctor_addresses found = {};
	int fd = -1;
	doctor_ask_addresses(d, host, &found);
	if (found.list.count == 0)
		return fail_set(fail, FAIL_UNAVAILABLE, "%.*s has no address", STR_ARG(host)), -1;
	for (size_t i = 0; i < found.list.count && fd < 0 && clock_monotonic_ms() < d->deadline_ms; i++) {
		endpoint_set_port(&found.list.items[i], (uint16_t)d->config.relay_https_port);
		fd = socket_connect(&found.list.items[i], DOCTOR_CONNECT_MS, fail);
	}
	return fd;
}

static void read_response(struct stream *stream, struct http_response *response, enum http_state *state)
{
	*state = HTTP_MORE;
	while (*state == HTTP_MORE) {
		struct str piece = stream_peek(stream);
		if (piece.length == 0)
			break;
		*state = http_response_read(response, piece);
		stream_consume(stream, piece.length);
	}
	/* A connection that did not end as TLS does may have been cut. */
	if (*state == HTTP_MORE && stream_status(stream) == STREAM_END)
		*state = http_response_end(response);
}

static bool get(struct stream *stream, struct str host, const char *path, struct buf *out, struct fail **fail)
{
	CLEANUP(http_response_release) struct http_response response;
	enum http_state state;
	http_response_init(&response, out->limit);
	stream_printf(stream, "GET %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: posthornctl\r\nConnection: close\r\n\r\n", path,
	              STR_ARG(host));
	stream_begin_bulk(stream);
	read_response(stream, &response, &state);
	if (state != HTTP_DONE)
		return fail_set(fail, FAIL_CORRUPT, "what it sends is no HTTP response, too large, or cut");
	if (response.status != STATUS_FOUND)
		return fail_set(fail, FAIL_NOT_FOUND, "it answers %u", response.status);
	return buf_add_str(out, buf_str(&response.body));
}

bool doctor_https_get(struct doctor *d, struct str host, const char *path, struct buf *out, struct fail **fail)
{
	CLEANUP(tls_client_cleanup) struct tls_client *client = tls_client_new(TLS_MINIMUM_1_2,
		doctor_authorities(d), fail);
	CLEANUP(mem_free) char *name = str_copy(host);
	int fd = client ? dial(d, host, fail) : -1;
	if (fd < 0)
		return false;
	const struct stream_options options = { .input_size = INPUT_SIZE, .output_high = INPUT_SIZE,
		.times = { .idle_ms = DOCTOR_CONNECT_MS, .command_ms = ANSWER_MS, .write_ms = DOCTOR_CONNECT_MS,
			.bulk_grace_ms = ANSWER_MS,
		           .bulk_rate_min = RATE_MIN } };
	CLEANUP(stream_cleanup) struct stream *stream = stream_new(fd, &options);
	CLEANUP(tls_cleanup) struct tls_connection *tls = tls_connect(client, fd, name, fail);
	return tls && tls_stream_start(stream, tls, fail) && get(stream, host, path, out, fail);
}
