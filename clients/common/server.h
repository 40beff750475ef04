/*
 * struct server: where a mail server is and how to reach it, as people write it: pop3s://user@host:port.
 *
 * Plain value; hosts are kept as A-labels in lower case or as IP addresses without brackets. With the scheme of a URL
 * comes the kind of TLS: "s" behind the name means TLS from the first byte (RFC 8314 §3), without it STARTTLS or STLS
 * is demanded; only an explicit choice gives no TLS. A password in a URL is refused: other users could see it.
 */
#ifndef POSTHORN_COMMON_SERVER_H
#define POSTHORN_COMMON_SERVER_H

#include "buf.h"
#include "fail.h"
#include "limits.h"

enum server_protocol { SERVER_POP3, SERVER_IMAP, SERVER_SMTP, SERVER_PROTOCOL_COUNT };
enum server_tls { SERVER_TLS_IMPLICIT, SERVER_TLS_STARTTLS, SERVER_TLS_NONE, SERVER_TLS_COUNT };

struct server {
	enum server_protocol protocol;
	enum server_tls tls;
	uint16_t port;                        /* 0: the protocol's own, see server_port */
	char host[LIMIT_DOMAIN_MAX + 1];      /* "" where there is no server */
	char user[LIMIT_ADDRESS_MAX + 1];     /* "" where none was given */
};

/* "pop3", "implicit" and so on; false for other words. */
bool server_protocol_find(struct str name, enum server_protocol *protocol);
const char *server_protocol_name(enum server_protocol protocol);
bool server_tls_find(struct str name, enum server_tls *tls);
const char *server_tls_name(enum server_tls tls);

/* True for a text that has "://" in it. */
bool server_is_url(struct str text);

/* scheme://[user@]host[:port][/]. The user may hold %XX and, unquoted, "@". */
bool server_parse_url(struct str text, struct server *s, struct fail **fail);

/* host or host:port; protocol and tls are as they are in *s. */
bool server_parse_host(struct str text, struct server *s, struct fail **fail);

/* The port, or what the protocol has by default with this kind of TLS (RFC 1939, 9051, 6409, 8314). */
uint16_t server_port(const struct server *s);

/* The URL, with the port only where it is not the default. */
void server_print_url(struct buf *out, const struct server *s);

/* "user@host:port", which names a mailbox wherever it is spoken of. */
void server_print_mailbox(struct buf *out, const struct server *s);

#endif
