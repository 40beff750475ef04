#include "http_response.h"

enum { CHUNK_DIGITS_MAX = 8 };

void http_response_init(struct http_response *r, size_t body_max)
{
	*r = (struct http_response){ .body = BUF_WITH_LIMIT(body_max), .line = BUF_WITH_LIMIT(HTTP_LINE_MAX) };
}

void http_response_release(struct http_response *r)
{
	buf_release(&r->body);
	buf_release(&r->line);
}

/* ---- lines ---- */

/* RFC 9112 §4: HTTP-version SP status-code SP [reason-phrase] */
static bool read_status_line(struct http_response *r, struct str line)
{
	uint64_t status;
	if (!str_starts(line, STR("HTTP/1.")) || line.length < 12 || !char_is_digit(line.data[7]) || line.data[8] != ' ' ||
	    !str_to_u64(str_first(str_from_index(line, 9), 3), 999, &status) || status < 100 ||
	    (line.length > 12 && line.data[12] != ' '))
		return false;
	r->status = (unsigned)status;
	r->part = HTTP_HEADER;
	return true;
}

static void read_type(struct http_response *r, struct str value)
{
	struct str type = str_trim(str_first(value, str_find_char(value, ';')));
	str_copy_to_array(type, r->type, sizeof r->type);
	for (char *c = r->type; *c; c++)
		*c = char_lower(*c);
}

static bool read_length(struct http_response *r, struct str value)
{
	uint64_t length;
	if (!str_to_u64(value, INT64_MAX, &length) || (r->has_length && r->left != length))
		return false;
	r->has_length = true;
	r->left = length;
	return true;
}

static bool read_field(struct http_response *r, struct str line)
{
	size_t colon = str_find_char(line, ':');
	struct str name = str_first(line, colon), value = str_trim(str_from_index(line, colon + 1));
	if (colon == 0 || colon == line.length || str_find_char(name, ' ') < colon || str_find_char(name, '\t') < colon)
		return false;
	if (str_equal_nocase(name, STR("content-type")))
		read_type(r, value);
	if (str_equal_nocase(name, STR("content-length")))
		return read_length(r, value);
	if (str_equal_nocase(name, STR("transfer-encoding"))) {
		r->chunked = true;
		return str_equal_nocase(value, STR("chunked"));
	}
	return true;
}

/* RFC 9112 §6.3. 304 has no body, and a client that sends no condition gets none. */
static bool end_header(struct http_response *r)
{
	if (r->chunked && r->has_length)
		return false;
	if (r->status / 100 == 1) {
		bool switched = r->status == 101;
		r->part = HTTP_STATUS_LINE;
		r->has_length = r->chunked = false;
		return !switched;
	}
	if (r->status == 204 || r->status == 304 || (r->has_length && r->left == 0))
		r->part = HTTP_WHOLE;
	else
		r->part = r->chunked ? HTTP_CHUNK_SIZE : r->has_length ? HTTP_BODY_LENGTH : HTTP_BODY_TO_END;
	return true;
}

/* RFC 9112 §7.1: chunk-size [ chunk-ext ] */
static bool read_chunk_size(struct http_response *r, struct str line)
{
	struct str digits = str_trim(str_first(line, str_find_char(line, ';')));
	if (digits.length == 0 || digits.length > CHUNK_DIGITS_MAX)
		return false;
	r->left = 0;
	for (size_t i = 0; i < digits.length; i++) {
		char c = char_lower(digits.data[i]);
		if (!char_is_digit(c) && (c < 'a' || c > 'f'))
			return false;
		r->left = r->left * 16 + (uint64_t)(char_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	r->part = r->left ? HTTP_CHUNK_DATA : HTTP_TRAILER;
	return true;
}

static bool take_line(struct http_response *r, struct str line)
{
	r->header_octets += line.length + 2;
	if (r->header_octets > HTTP_HEADER_MAX)
		return false;
	switch (r->part) {
	case HTTP_STATUS_LINE:
		return read_status_line(r, line);
	case HTTP_HEADER:
		return line.length ? read_field(r, line) : end_header(r);
	case HTTP_CHUNK_SIZE:
		return read_chunk_size(r, line);
	case HTTP_CHUNK_END:
		r->part = HTTP_CHUNK_SIZE;
		return line.length == 0;
	default: /* HTTP_TRAILER */
		if (line.length == 0)
			r->part = HTTP_WHOLE;
		return true;
	}
}

/* How much of the input was used; false when it makes no sense. */
static bool read_line(struct http_response *r, struct str input, size_t *used)
{
	size_t end = str_find_char(input, '\n');
	*used = end < input.length ? end + 1 : end;
	if (!buf_append(&r->line, input.data, *used) || memchr(input.data, '\0', *used))
		return false;
	if (end == input.length)
		return true;
	struct str line = str_first(buf_str(&r->line), r->line.length - 1);
	if (line.length && line.data[line.length - 1] == '\r')
		line.length--;
	bool good = take_line(r, line);
	buf_clear(&r->line);
	return good;
}

/* ---- the body ---- */

static bool read_body(struct http_response *r, struct str input, size_t *used)
{
	bool to_end = r->part == HTTP_BODY_TO_END;
	*used = to_end || input.length < r->left ? input.length : (size_t)r->left;
	if (!buf_append(&r->body, input.data, *used))
		return false;
	if (to_end)
		return true;
	r->left -= *used;
	if (r->left == 0)
		r->part = r->part == HTTP_CHUNK_DATA ? HTTP_CHUNK_END : HTTP_WHOLE;
	return true;
}

static enum http_state state_of(const struct http_response *r)
{
	return r->part == HTTP_WHOLE ? HTTP_DONE : r->part == HTTP_BROKEN ? HTTP_BAD : HTTP_MORE;
}

enum http_state http_response_read(struct http_response *r, struct str input)
{
	while (input.length && state_of(r) == HTTP_MORE) {
		size_t used;
		bool in_body = r->part == HTTP_BODY_LENGTH || r->part == HTTP_BODY_TO_END || r->part == HTTP_CHUNK_DATA;
		if (!(in_body ? read_body(r, input, &used) : read_line(r, input, &used)))
			r->part = HTTP_BROKEN;
		input = str_from_index(input, used);
	}
	return state_of(r);
}

enum http_state http_response_end(struct http_response *r)
{
	if (r->part == HTTP_BODY_TO_END)
		r->part = HTTP_WHOLE;
	else if (r->part != HTTP_WHOLE)
		r->part = HTTP_BROKEN;
	return state_of(r);
}
