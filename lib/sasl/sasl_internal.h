/*
 * Inside lib/sasl only: the exchange, and what both sides do with GNU SASL.
 */
#ifndef POSTHORN_SASL_INTERNAL_H
#define POSTHORN_SASL_INTERNAL_H

#include "sasl.h"

#include <gsasl.h>

enum mechanism_traits {
	CLEARTEXT = 1 << 0,     /* sends the password: only under TLS, unless allowed */
	BINDS = 1 << 1,         /* -PLUS */
	SCRAM = 1 << 2,
	SERVER_FIRST = 1 << 3,
	SHA_1 = 1 << 4,         /* needs an opted-in account */
	MD5 = 1 << 5,           /* likewise */
};

struct mechanism {
	const char *name;
	unsigned traits;
	enum sasl_secret_kind kind;
	enum sasl_result (*server_step)(struct sasl_exchange *x, struct str input, bool initial, struct buf *output);
	enum sasl_result (*client_step)(struct sasl_exchange *x, struct str input, struct buf *output);
};

struct sasl {
	Gsasl *library;
};

struct sasl_exchange {
	const struct mechanism *mechanism;
	Gsasl_session *session;  /* NULL for PLAIN and LOGIN */
	const struct sasl_directory *directory;  /* NULL on the client side */
	unsigned steps;
	bool over;
	bool asked;              /* secret is filled */
	bool proved;             /* SCRAM: the last message is out, the client's empty answer is awaited */
	const char *why;
	struct buf exporter;     /* base64, for GNU SASL */
	struct buf unique;
	size_t name_length;
	size_t password_length;
	char name[SASL_NAME_MAX + 1];
	char password[LIMIT_PASSWORD_MAX + 1];
	struct sasl_secret secret;
};

/* One step of GNU SASL, its output appended. */
int sasl_session_step(struct sasl_exchange *x, struct str input, struct buf *output);

enum sasl_result sasl_fail(struct sasl_exchange *x, const char *why);

/* Counts a step; false, with the exchange failed, when there must be none. output is cleared. */
bool sasl_step_begin(struct sasl_exchange *x, struct str input, struct buf *output);

/* False when it does not fit. */
bool sasl_keep_name(struct sasl_exchange *x, struct str name);
bool sasl_keep_password(struct sasl_exchange *x, struct str password);

/* What GNU SASL asks of the server side. */
int sasl_server_property(struct sasl_exchange *x, Gsasl_session *session, Gsasl_property property);

enum sasl_result sasl_server_plain(struct sasl_exchange *x, struct str input, bool initial, struct buf *output);
enum sasl_result sasl_server_login(struct sasl_exchange *x, struct str input, bool initial, struct buf *output);
enum sasl_result sasl_server_scram(struct sasl_exchange *x, struct str input, bool initial, struct buf *output);
enum sasl_result sasl_server_cram(struct sasl_exchange *x, struct str input, bool initial, struct buf *output);
enum sasl_result sasl_client_plain(struct sasl_exchange *x, struct str input, struct buf *output);
enum sasl_result sasl_client_login(struct sasl_exchange *x, struct str input, struct buf *output);
enum sasl_result sasl_client_scram(struct sasl_exchange *x, struct str input, struct buf *output);
enum sasl_result sasl_client_cram(struct sasl_exchange *x, struct str input, struct buf *output);

#endif
