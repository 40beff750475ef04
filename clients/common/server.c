#include "server.h"

#include "endpoint.h"
#include "smtp_path.h"
#include "text.h"
#include "words.h"

static const char *const protocol_names[SERVER_PROTOCOL_COUNT] = {
	[SERVER_POP3] = "pop3", [SERVER_IMAP] = "imap", [SERVER_SMTP] = "smtp",
};

static const char *const tls_names[SERVER_TLS_COUNT] = {
	[SERVER_TLS_IMPLICIT] = "implicit", [SERVER_TLS_STARTTLS] = "starttls", [SERVER_TLS_NONE] = "none",
};

static const uint16_t ports[SERVER_PROTOCOL_COUNT][SERVER_TLS_COUNT] = {
	[SERVER_POP3] = { 995, 110, 110 }, [SERVER_IMAP] = { 993, 143, 143 }, [SERVER_SMTP] = { 465, 587, 587 },
};

static bool find(const char *const *names, unsigned count, struct str name, unsigned *found)
{
	for (*found = 0; *found < count; ++*found)
		if (str_equal_nocase(name, str_of(names[*found])))
			return true;
	return false;
}

bool server_protocol_find(struct str name, enum server_protocol *protocol)
{
	unsigned found;
	if (!find(protocol_names, SERVER_PROTOCOL_COUNT, name, &found))
		return false;
	*protocol = (enum server_protocol)found;
	return true;
}

const char *server_protocol_name(enum server_protocol protocol)
{
	must((unsigned)protocol < SERVER_PROTOCOL_COUNT);
	return protocol_names[protocol];
}

bool server_tls_find(struct str name, enum server_tls *tls)
{
	unsigned found;
	if (!find(tls_names, SERVER_TLS_COUNT, name, &found))
		return false;
	*tls = (enum server_tls)found;
	return true;
}

const char *server_tls_name(enum server_tls tls)
{
	must((unsigned)tls < SERVER_TLS_COUNT);
	return tls_names[tls];
}

bool server_is_url(struct str text)
{
	return str_find(text, STR("://")) < text.length;
}

static bool bad(struct str text, const char *why, struct fail **fail)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(1000);
	text_escape(&shown, text, 200);
	return fail_set(fail, FAIL_INVALID, "\"%s\": %s", buf_text(&shown), _(why));
}

/* Users go into protocol lines: no control characters, and UTF-8 only. */
static bool is_user(struct str user)
{
	for (size_t i = 0; i < user.length; i++)
		if ((unsigned char)user.data[i] < 0x20 || user.data[i] == 0x7f)
			return false;
	return user.length > 0 && user.length <= LIMIT_ADDRESS_MAX && text_is_utf8(user);
}

/* RFC 3986 §2.1. */
static bool decode_percent(struct str text, struct buf *out)
{
	unsigned char byte;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] != '%') {
			buf_add_char(out, text.data[i]);
			continue;
		}
		if (text.length - i < 3 || !text_hex_decode(str_from(text.data + i + 1, 2), &byte, 1))
			return false;
		buf_add_char(out, (char)byte);
		i += 2;
	}
	return !out->overflowed;
}

static bool parse_user(struct str text, struct server *s, struct fail **fail)
{
	CLEANUP(buf_release) struct buf user = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX);
	if (str_find_char(text, ':') < text.length)
		return fail_set(fail, FAIL_INVALID,
		                _("a password does not belong into a URL: use --password-file, or be asked for it"));
	if (!decode_percent(text, &user) || !is_user(buf_str(&user)))
		return bad(text, N_("this is no user name"), fail);
	memcpy(s->user, user.data, user.length);
	return true;
}

static bool parse_port(struct str text, struct server *s, struct fail **fail)
{
	uint64_t port;
	if (!str_to_u64(text, UINT16_MAX, &port) || port == 0)
		return bad(text, N_("this is no port"), fail);
	s->port = (uint16_t)port;
	return true;
}

/* A name, an IPv4 address, or an IPv6 address whose brackets are gone. */
static bool set_host(struct str host, struct server *s, struct fail **fail)
{
	struct endpoint address;
	char canonical[LIMIT_DOMAIN_MAX + 1];
	if (endpoint_parse_ip(host, 1, &address, NULL)) {
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX);
		endpoint_print_ip(&text, &address);
		memcpy(s->host, buf_text(&text), text.length + 1);
		return true;
	}
	if (!smtp_domain_parse(host, SMTP_PATH_UTF8 | SMTP_PATH_SLOPPY, canonical))
		return bad(host, N_("this is neither a host name nor an IP address"), fail);
	memcpy(s->host, canonical, strlen(canonical) + 1);
	return true;
}

bool server_parse_host(struct str text, struct server *s, struct fail **fail)
{
	struct str host = text, port = {};
	bool has_port = false;
	size_t colon = str_find_last_char(text, ':');
	s->port = 0;
	s->host[0] = '\0';
	if (text.length && text.data[0] == '[') {
		size_t end = str_find_char(text, ']');
		host = str_from(text.data + 1, (end < text.length ? end : text.length) - 1);
		port = str_from_index(text, end + 1);
		if (end == text.length || (port.length && port.data[0] != ':'))
			return bad(text, N_("this is no address in brackets"), fail);
		has_port = port.length > 0;
		port = str_from_index(port, 1);
	} else if (colon < text.length && str_find_char(text, ':') == colon) {
		host = str_first(text, colon);
		port = str_from_index(text, colon + 1);
		has_port = true;
	}
	return set_host(host, s, fail) && (!has_port || parse_port(port, s, fail));
}

/* "pop3s" → POP3 with implicit TLS. */
static bool parse_scheme(struct str scheme, struct server *s)
{
	bool secure = scheme.length > 1 && char_lower(scheme.data[scheme.length - 1]) == 's';
	s->tls = secure ? SERVER_TLS_IMPLICIT : SERVER_TLS_STARTTLS;
	return server_protocol_find(str_first(scheme, scheme.length - secure), &s->protocol);
}

bool server_parse_url(struct str text, struct server *s, struct fail **fail)
{
	size_t colon = str_find(text, STR("://"));
	struct str rest = str_from_index(text, colon + 3);
	*s = (struct server){};
	if (colon == text.length || !parse_scheme(str_first(text, colon), s))
		return bad(text, N_("a URL begins with pop3s:, pop3:, smtps:, smtp:, imaps: or imap: and two slashes"), fail);
	if (rest.length && rest.data[rest.length - 1] == '/')
		rest.length--;
	/* A user is an address as often as not: the last @ counts. */
	size_t at = str_find_last_char(rest, '@');
	if (at < rest.length && !parse_user(str_first(rest, at), s, fail))
		return false;
	return server_parse_host(at < rest.length ? str_from_index(rest, at + 1) : rest, s, fail);
}

uint16_t server_port(const struct server *s)
{
	must((unsigned)s->protocol < SERVER_PROTOCOL_COUNT && (unsigned)s->tls < SERVER_TLS_COUNT);
	return s->port ? s->port : ports[s->protocol][s->tls];
}

static void print_user(struct buf *out, struct str user)
{
	static const char safe[] = "-._~!$&'()*+,;=@";
	for (size_t i = 0; i < user.length; i++) {
		char c = user.data[i];
		if (char_is_alpha(c) || char_is_digit(c) || strchr(safe, c))
			buf_add_char(out, c);
		else
			buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

static void print_host(struct buf *out, const struct server *s)
{
	bool v6 = strchr(s->host, ':') != NULL;
	buf_printf(out, v6 ? "[%s]" : "%s", s->host);
}

void server_print_url(struct buf *out, const struct server *s)
{
	buf_printf(out, "%s%s://", server_protocol_name(s->protocol), s->tls == SERVER_TLS_IMPLICIT ? "s" : "");
	if (s->user[0]) {
		print_user(out, str_of(s->user));
		buf_add_char(out, '@');
	}
	print_host(out, s);
	if (s->port && s->port != ports[s->protocol][s->tls])
		buf_printf(out, ":%u", s->port);
}

void server_print_mailbox(struct buf *out, const struct server *s)
{
	print_user(out, str_of(s->user));
	buf_add_char(out, '@');
	print_host(out, s);
	buf_printf(out, ":%u", server_port(s));
}
