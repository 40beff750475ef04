/*
 * TLS over a connected descriptor, for event loops and for blocking sessions, with OpenSSL 3.
 *
 * Servers choose a certificate by the name a client asks for (SNI); clients verify the server's
 * name (RFC 6125, RFC 9525). TLS 1.2 and 1.3 only; no compression, renegotiation, session resumption or
 * early data, and no client certificates. Certificates and keys come as PEM in memory: nothing here opens
 * a file but tls_preload, tls_client_new and tls_read_authorities.
 *
 * A connection does not own its descriptor and never closes it; SIGPIPE is not raised. An idle connection
 * keeps no record buffers. Failures are sticky: after TLS_CLOSED or TLS_FAILED every call gives the same.
 * One thread at a time uses a connection; a server or client may serve several threads' connections.
 */
#ifndef POSTHORN_TLS_TLS_H
#define POSTHORN_TLS_TLS_H

#include "buf.h"
#include "fail.h"
#include "limits.h"
#include "str.h"

#include <stddef.h>
#include <stdint.h>

/* Octets of a list of authorities. */
enum { TLS_AUTHORITIES_MAX = 4 << 20 };

enum tls_minimum { TLS_MINIMUM_1_2, TLS_MINIMUM_1_3 };

/* Loads what OpenSSL would open lazily (its configuration, error texts, providers, random seed). Before the
 * sandbox. */
void tls_preload(void);

/* ---- servers ---- */

struct tls_server;

/* Has no certificate yet: every handshake fails until tls_server_add. */
struct tls_server *tls_server_new(enum tls_minimum minimum);
void tls_server_free(struct tls_server *server);
void tls_server_cleanup(struct tls_server **server);

/* Adds a certificate (first in chain, its issuers behind it) with its key, both PEM text. It answers for its DNS
 * names, or without any for its common name; a name that an earlier certificate has stays there. The first
 * certificate answers everybody else. */
bool tls_server_add(struct tls_server *server, struct str chain, struct str key, struct fail **fail);

/* ---- clients ---- */

struct tls_client;

/* Trusts the authorities in a PEM file, or those of the system for NULL. */
struct tls_client *tls_client_new(enum tls_minimum minimum, const char *ca_file, struct fail **fail);

/* The same with the authorities as PEM text in memory: nothing is opened later either (the system's directory of
 * authorities is looked into whenever a certificate is checked). Empty trusts none: for DANE and for connections that
 * verify nothing. */
struct tls_client *tls_client_new_from(enum tls_minimum minimum, struct str authorities, struct fail **fail);

/* Reads such text: a PEM file, or the system's bundle for NULL. out needs a limit of TLS_AUTHORITIES_MAX. */
bool tls_read_authorities(const char *file, struct buf *out, struct fail **fail);

void tls_client_free(struct tls_client *client);
void tls_client_cleanup(struct tls_client **client);

/* ---- connections ---- */

struct tls_connection;

enum tls_result {
	TLS_DONE,
	TLS_WANT_READ,  /* call again when the descriptor is readable (blocking descriptor: time is up) */
	TLS_WANT_WRITE, /* call again, with the same bytes, when it is writable */
	TLS_CLOSED,     /* the peer said good-bye: no more input */
	TLS_FAILED,     /* see tls_failure */
};

/* The server must outlive the connection. */
struct tls_connection *tls_accept(struct tls_server *server, int fd);

/* host is the name (A-labels) or IP address that the certificate must be for. NULL with *fail set when it is
 * neither. */
struct tls_connection *tls_connect(struct tls_client *client, int fd, const char *host, struct fail **fail);

/* Takes any certificate, or none: protects from those who only listen (RFC 7435). host is what is asked for by SNI
 * when it is a name. */
struct tls_connection *tls_connect_unverified(struct tls_client *client, int fd, const char *host);

/* As tls_connect, but a certificate that is not good enough does not end the handshake: tls_certificate_problem says
 * what is wrong with it. */
struct tls_connection *tls_connect_observed(struct tls_client *client, int fd, const char *host, struct fail **fail);

/* A TLSA record, RFC 6698 §2.1. */
struct tls_tlsa {
	uint8_t usage, selector, matching;
	struct str data;
};

/* Is it one of those that DANE for SMTP uses (RFC 7672 §3.1): DANE-TA or DANE-EE, and of known selector and matching
 * type? */
bool tls_tlsa_is_usable(const struct tls_tlsa *record);

/* The certificate must match one of the records (RFC 7672); those that are not usable are passed over, and at least
 * one is. host, a name, is what is asked for; with DANE-TA the certificate must be for one of host and names. NULL
 * with *fail set when host is no name, or a record is malformed. */
struct tls_connection *tls_connect_dane(struct tls_client *client, int fd, const char *host, const char *const *names,
                                        size_t name_count, const struct tls_tlsa *records, size_t record_count,
                                        struct fail **fail);

void tls_free(struct tls_connection *connection);
void tls_cleanup(struct tls_connection **connection);

/* Until TLS_DONE; bounding its time is the caller's. TLS_CLOSED is possible. */
enum tls_result tls_handshake(struct tls_connection *connection);

/* Some bytes, at least one with TLS_DONE. Read until TLS_WANT_READ before waiting for the descriptor, or ask
 * tls_buffered: a record may hold more than was asked for. */
enum tls_result tls_read(struct tls_connection *connection, void *room, size_t size, size_t *got);

/* At most one record (16 KB) of length > 0 bytes; *written is at least 1 with TLS_DONE. */
enum tls_result tls_write(struct tls_connection *connection, const void *data, size_t length, size_t *written);

/* Decoded bytes that tls_read gives without waiting. */
size_t tls_buffered(struct tls_connection *connection);

/* Sends close_notify, once; does not wait for the peer's. Closing without it looks like an attack to the peer. */
enum tls_result tls_shutdown(struct tls_connection *connection);

/* Why it failed, in words for logs and people; "" when it did not. */
const char *tls_failure(const struct tls_connection *connection);

/* Why a certificate was not accepted. */
enum tls_problem {
	TLS_PROBLEM_NONE,      /* the failure, if there was one, is another one */
	TLS_PROBLEM_NAME,      /* it is for another name */
	TLS_PROBLEM_EXPIRED,
	TLS_PROBLEM_UNTRUSTED, /* no chain to an authority, or no TLSA record matches */
	TLS_PROBLEM_OTHER,
};
enum tls_problem tls_certificate_problem(const struct tls_connection *connection);

struct tls_facts {
	char version[16];                        /* "TLSv1.3" */
	char cipher[64];                         /* "TLS_AES_256_GCM_SHA384" */
	int bits;                                /* strength of the cipher */
	char server_name[LIMIT_DOMAIN_MAX + 1];  /* what the client asked for, lower case; "" for none */
	bool has_binding;                        /* false for TLS 1.2 without extended master secret, RFC 9266 §2 */
	unsigned char binding[32];               /* tls-exporter channel binding, RFC 9266 */
};

/* After the handshake. */
void tls_get_facts(const struct tls_connection *connection, struct tls_facts *facts);

/* For people: the peer chose these texts, and they may be cut. */
struct tls_certificate {
	char subject[256];   /* "CN=mail.example.org", RFC 4514; "" for none */
	char issuer[256];
	int64_t valid_until; /* seconds since 1970 */
	char sha256[65];     /* of the whole, in hexadecimal */
};

/* After the handshake. False where the peer has shown none. */
bool tls_get_certificate(const struct tls_connection *connection, struct tls_certificate *certificate);

#endif
