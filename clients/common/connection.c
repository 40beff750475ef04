#include "connection.h"

#include "display.h"
#include "endpoint.h"
#include "socket.h"
#include "tls_stream.h"
#include "words.h"

#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_SIZE = 65536, OUTPUT_HIGH = 65536, DRIP_GRACE_MS = 300000, DRIP_RATE = 64 };

static void release_addresses(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

static struct addrinfo *resolve(const struct server *server, struct fail **fail)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char port[8];
	snprintf(port, sizeof port, "%u", server_port(server));
	int code = getaddrinfo(server->host, port, &hints, &list);
	/* Without any address but those of loopback, ADDRCONFIG hides even these. */
	if (code != 0)
		code = getaddrinfo(server->host, port,
		                   &(struct addrinfo){ .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, &list);
	if (code == 0)
		return list;
	fail_set(fail, FAIL_UNAVAILABLE, _("no address for %s: %s"), server->host, gai_strerror(code));
	return NULL;
}

static int dial(const struct server *server, int timeout_ms, struct fail **fail)
{
	CLEANUP(release_addresses) struct addrinfo *list = resolve(server, fail);
	CLEANUP(fail_free) struct fail *why = NULL;
	int fd = -1;
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		struct endpoint endpoint;
		endpoint_from_socket(&endpoint, a->ai_addr, a->ai_addrlen);
		if (endpoint.length)
			fd = socket_connect(&endpoint, timeout_ms, &why);
	}
	if (fd < 0 && why)
		fail_set(fail, why->kind, "%s: %s", server->host, why->text);
	return fd;
}

bool connection_open(struct connection *c, const struct server *server, const char *ca_file, int timeout_ms,
                     struct fail **fail)
{
	*c = (struct connection){ .server = *server, .ca_file = ca_file, .timeout_ms = timeout_ms };
	const struct stream_options options = {
		.input_size = INPUT_SIZE,
		.output_high = OUTPUT_HIGH,
		.times = { .idle_ms = timeout_ms,
		           .command_ms = timeout_ms,
		           .write_ms = timeout_ms,
		           .bulk_grace_ms = DRIP_GRACE_MS,
		           .bulk_rate_min = DRIP_RATE },
	};
	int fd = dial(server, timeout_ms, fail);
	if (fd < 0)
		return false;
	c->stream = stream_new(fd, &options);
	return server->tls != SERVER_TLS_IMPLICIT || connection_start_tls(c, fail);
}

bool connection_start_tls(struct connection *c, struct fail **fail)
{
	must(c->stream && !c->tls);
	CLEANUP(fail_free) struct fail *why = NULL;
	c->tls_client = tls_client_new(TLS_MINIMUM_1_2, c->ca_file, &why);
	if (!c->tls_client)
		return fail_set(fail, FAIL_INVALID, "%s", fail_text(why));
	c->tls = tls_connect(c->tls_client, stream_descriptor(c->stream), c->server.host, fail);
	if (!c->tls)
		return false;
	if (!tls_stream_start(c->stream, c->tls, &why))
		return fail_set(fail, why->kind == FAIL_TIMEOUT ? FAIL_TIMEOUT : FAIL_CORRUPT,
		                *tls_failure(c->tls) ? "TLS: %s" : "%s",
		                _(*tls_failure(c->tls) ? tls_failure(c->tls) : why->text));
	c->is_protected = true;
	tls_get_facts(c->tls, &c->facts);
	must(tls_get_certificate(c->tls, &c->certificate));
	return true;
}

void connection_describe_tls(const struct connection *c, struct buf *out)
{
	CLEANUP(buf_release) struct buf subject = BUF_WITH_LIMIT(2000), issuer = BUF_WITH_LIMIT(2000);
	struct tm until;
	char day[16] = "?";
	display_text(&subject, str_of(c->certificate.subject));
	display_text(&issuer, str_of(c->certificate.issuer));
	if (gmtime_r(&(time_t){ c->certificate.valid_until }, &until))
		strftime(day, sizeof day, "%Y-%m-%d", &until);
	buf_printf(out,
		_("%s with %s, %d bits; the certificate is valid for %s: subject %s, issued by %s, until %s, SHA-256 %s."),
	           c->facts.version, c->facts.cipher, c->facts.bits, c->server.host, buf_text(&subject),
	           buf_text(&issuer), day,
	           c->certificate.sha256);
}

void connection_close(struct connection *c)
{
	if (c->is_protected && stream_status(c->stream) == STREAM_OPEN)
		tls_shutdown(c->tls);
	stream_cleanup(&c->stream);
	tls_cleanup(&c->tls);
	tls_client_cleanup(&c->tls_client);
	c->is_protected = false;
}

bool connection_lost(const struct connection *c, struct fail **fail)
{
	const char *tls = c->tls ? tls_failure(c->tls) : "";
	switch (stream_status(c->stream)) {
	case STREAM_IDLE:
		return fail_set(fail, FAIL_TIMEOUT, _("the server was silent for %d seconds"), c->timeout_ms / 1000);
	case STREAM_SLOW:
		return fail_set(fail, FAIL_TIMEOUT, _("the server is too slow"));
	case STREAM_END:
		return fail_set(fail, FAIL_UNAVAILABLE, _("the server closed the connection"));
	case STREAM_INTERRUPTED:
		return fail_set(fail, FAIL_UNAVAILABLE, _("cancelled"));
	default:
		return fail_set(fail, FAIL_UNAVAILABLE, "%s%s%s", _("the connection was lost"), *tls ? ": " : "",
		                *tls ? _(tls) : "");
	}
}

static void set_waiting(int fd, bool waits)
{
	int flags = fcntl(fd, F_GETFL);
	must(flags >= 0 && fcntl(fd, F_SETFL, waits ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0);
}

bool connection_read_now(struct connection *c, void *room, size_t size, size_t *got, struct fail **fail)
{
	int fd = stream_descriptor(c->stream);
	if (!c->is_protected) {
		*got = stream_read_some(c->stream, room, size);
		return *got > 0 || connection_lost(c, fail);
	}
	set_waiting(fd, false);
	enum tls_result result = tls_read(c->tls, room, size, got);
	set_waiting(fd, true);
	if (result == TLS_CLOSED)
		return fail_set(fail, FAIL_UNAVAILABLE, _("the server closed the connection"));
	return result != TLS_FAILED || connection_lost(c, fail);
}

void connection_own_literal(const struct connection *c, struct buf *out)
{
	struct endpoint own;
	if (!endpoint_of_local(stream_descriptor(c->stream), &own, NULL) || !endpoint_is_ip(&own)) {
		buf_add_str(out, STR("[127.0.0.1]"));
		return;
	}
	buf_add_str(out, own.any.sa_family == AF_INET6 ? STR("[IPv6:") : STR("["));
	endpoint_print_ip(out, &own);
	buf_add_char(out, ']');
}
