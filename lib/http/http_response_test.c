#include "http_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { BODY_MAX = 100 };

static enum http_state read_in_pieces(struct http_response *r, const char *text, size_t piece)
{
	enum http_state state = HTTP_MORE;
	http_response_init(r, BODY_MAX);
	for (struct str rest = str_of(text); rest.length && state == HTTP_MORE; rest = str_from_index(rest, piece))
		state = http_response_read(r, str_first(rest, piece));
	return state == HTTP_MORE ? http_response_end(r) : state;
}

static void responses(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum http_state state;
		unsigned status;
		const char *type, *body;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhelloREST", HTTP_DONE, 200, "text/plain", "hello" },
		{ "HTTP/1.0 200\n\nto the end", HTTP_DONE, 200, "", "to the end" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", HTTP_DONE, 200, "",
		  "abc0123456789" },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", HTTP_DONE, 204, "", "" },
		{ "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", HTTP_DONE, 404, "", "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", HTTP_DONE, 200, "", "hello" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", HTTP_BAD, 200, "", "hell" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
		  "0123456789012345678901234567890", HTTP_BAD, 200, "", NULL },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", HTTP_BAD, 200, "", "abc" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nno field\r\n\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", HTTP_BAD, 200, "", "" },
		{ "HTTP/2 200\r\n\r\n", HTTP_BAD, 0, "", "" },
		{ "HTTP/1.1 20x OK\r\n\r\n", HTTP_BAD, 0, "", "" },
		{ "HTTP/1.1 101 Switching\r\n\r\n", HTTP_BAD, 101, "", "" },
		{ "220 smtp.example\r\n", HTTP_BAD, 0, "", "" },
		{ "", HTTP_BAD, 0, "", "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (size_t piece = 1; piece < 80; piece += piece < 5 ? 1 : 37) {
			struct http_response r;
			assert_int_equal(read_in_pieces(&r, cases[i].text, piece), cases[i].state);
			assert_int_equal(r.status, cases[i].status);
			assert_string_equal(r.type, cases[i].type);
			if (cases[i].body)
				assert_string_equal(buf_text(&r.body), cases[i].body);
			http_response_release(&r);
		}
	}
}

/* A server that never comes to an end is cut off. */
static void endless(void **state)
{
	(void)state;
	static const char *const lines[] = { "A: b\r\n", "x" };
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct http_response r;
		http_response_init(&r, BODY_MAX);
		enum http_state got = http_response_read(&r, STR("HTTP/1.1 200 OK\r\n"));
		for (int k = 0; k <= HTTP_HEADER_MAX && got == HTTP_MORE; k++)
			got = http_response_read(&r, str_of(lines[i]));
		assert_int_equal(got, HTTP_BAD);
		http_response_release(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(responses), cmocka_unit_test(endless) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
