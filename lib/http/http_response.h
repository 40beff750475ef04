/*
 * HTTP responses as a client reads them (RFC 9112), without input and output: octets in any pieces go in, status and
 * body come out.
 *
 * For one request on a connection of its own ("Connection: close"): whatever follows the response is not looked at.
 * Interim responses (1xx) are passed over. Lines, the header and the body are bounded; folded fields and fields
 * without a name make the response bad, as does a length that is given in two ways (RFC 9112 §6.3). Bodies end by
 * Content-Length, by chunks, or by the end of the connection.
 */
#ifndef POSTHORN_HTTP_RESPONSE_H
#define POSTHORN_HTTP_RESPONSE_H

#include "buf.h"

enum { HTTP_LINE_MAX = 8192, HTTP_HEADER_MAX = 65536, HTTP_TYPE_MAX = 100 };

enum http_state { HTTP_MORE, HTTP_DONE, HTTP_BAD };

struct http_response {
	unsigned status;              /* 200; 0 before it is known */
	char type[HTTP_TYPE_MAX + 1]; /* Content-Type without parameters, lower case; "" for none */
	struct buf body;              /* too big for its limit: HTTP_BAD */
	/* private */
	enum http_part { HTTP_STATUS_LINE, HTTP_HEADER, HTTP_BODY_LENGTH, HTTP_BODY_TO_END, HTTP_CHUNK_SIZE,
	                 HTTP_CHUNK_DATA, HTTP_CHUNK_END,
		             HTTP_TRAILER, HTTP_WHOLE, HTTP_BROKEN } part;
	struct buf line;
	size_t header_octets;
	bool has_length, chunked;
	uint64_t left;                /* octets of the body or chunk that are to come */
};

void http_response_init(struct http_response *r, size_t body_max);
void http_response_release(struct http_response *r);

enum http_state http_response_read(struct http_response *r, struct str input);

/* The connection has ended. */
enum http_state http_response_end(struct http_response *r);

#endif
