/* A response is read alike in any pieces and within bounds. */
#include "http_response.h"

static enum http_state read_in_pieces(struct http_response *r, struct str text, size_t piece)
{
	enum http_state state = HTTP_MORE;
	http_response_init(r, 1000);
	for (struct str rest = text; rest.length && state == HTTP_MORE; rest = str_from_index(rest, piece))
		state = http_response_read(r, str_first(rest, piece));
	return state == HTTP_MORE ? http_response_end(r) : state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_response a, b;
	if (size < 2 || size > 1 << 17)
		return 0;
	struct str text = str_from((const char *)data + 1, size - 1);
	enum http_state state = read_in_pieces(&a, text, text.length);
	must(state != HTTP_MORE && read_in_pieces(&b, text, 1 + data[0] % 16) == state);
	must(a.body.length <= 1000 && a.status <= 999);
	if (state == HTTP_DONE)
		must(a.status >= 200 && a.status == b.status && str_equal(buf_str(&a.body), buf_str(&b.body)) &&
		     strcmp(a.type, b.type) == 0);
	http_response_release(&a);
	http_response_release(&b);
	return 0;
}
