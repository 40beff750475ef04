/* Reports that queue has posted by HTTPS (RFC 8460 §5.4). */
#include "https.h"

#include "file.h"
#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

enum { REPORT_MAX = 1 << 20, ANSWER_MAX = 65536 };

struct post {
	struct relay *relay;
	uint64_t request;
};

static void answer(struct relay *r, uint64_t request, unsigned status)
{
	if (r->queue)
		msg_https_posted_send(&r->queue->peer.channel, request, &(struct msg_https_posted){ .status = status }, -1);
}

static void on_done(void *owner, struct https *https)
{
	struct post *post = owner;
	answer(post->relay, post->request, https->answered ? https->response.status : 0);
	free(post);
}

struct url {
	struct str host, path;
	uint64_t port;
};

/* https://host[:port]/path; RFC 9110 §4.2.2. No user, no fragment, no address literal. */
static bool parse_url(struct str text, struct url *url)
{
	struct str scheme = STR("https://");
	if (!str_starts_nocase(text, scheme) || !str_is_printable(text) || str_find_char(text, ' ') < text.length ||
	    str_find_char(text, '#') < text.length)
		return false;
	text = str_from_index(text, scheme.length);
	struct str authority = str_first(text, str_find_char(text, '/'));
	size_t colon = str_find_char(authority, ':');
	url->path = str_from_index(text, authority.length);
	url->host = str_first(authority, colon);
	url->port = 443;
	if (colon < authority.length && (!str_to_u64(str_from_index(authority, colon + 1), 65535, &url->port) ||
	                                 url->port == 0))
		return false;
	return dns_name_is_host(url->host);
}

void relay_post(struct relay *r, uint64_t request, const struct msg_https_post *message, int descriptor)
{
	CLEANUP(file_close) int content = descriptor;
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(REPORT_MAX), text = BUF_WITH_LIMIT(REPORT_MAX + 4000);
	struct url url;
	if (!file_read_all(content, &body, NULL) || !parse_url(message->url, &url)) {
		answer(r, request, 0);
		return;
	}
	buf_printf(&text, "POST %s%.*s HTTP/1.1\r\nHost: %.*s", url.path.length ? "" : "/", STR_ARG(url.path),
	           STR_ARG(url.host));
	if (url.port != 443)
		buf_printf(&text, ":%u", (unsigned)url.port);
	buf_printf(&text,
	           "\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\nUser-Agent: Posthorn\r\nConnection: close\r\n\r\n",
	           STR_ARG(message->type), body.length);
	buf_add_str(&text, buf_str(&body));
	struct post *post = mem_alloc(sizeof *post);
	*post = (struct post){ r, request };
	https_begin(r, url.host, (unsigned)url.port, buf_str(&text), ANSWER_MAX, on_done, post);
}
