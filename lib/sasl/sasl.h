/*
 * SASL exchanges (RFC 4422), server and client side, over GNU SASL.
 *
 * Mechanisms: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), SCRAM-SHA-1 (RFC 5802), SCRAM-SHA-256
 * (RFC 7677), both also -PLUS with tls-exporter (RFC 9266) or tls-unique (RFC 5929); GNU SASL has
 * no tls-server-end-point. EXTERNAL and DIGEST-MD5 are not offered. APOP (RFC 1939 §7) is here
 * too, being the same business.
 *
 * Bytes go in and out raw; base64 is the protocols' matter. Nothing here waits: PLAIN and LOGIN end
 * with SASL_PASSWORD, and the caller checks the password where it may take its time. They are
 * parsed here and not by GNU SASL, which would put every password through SASLprep: one hashed by
 * another server, or normalised by RFC 8265, could then never be right.
 *
 * Guarantees: messages are at most SASL_MESSAGE_MAX octets, an exchange has at most SASL_STEPS_MAX
 * steps; after SASL_FAILED, SASL_DONE or SASL_PASSWORD an exchange takes no further step. An authorization
 * identity must be empty or the account itself. An unknown user's exchange looks like a known one's
 * and always fails. Secrets are wiped when the exchange is freed, as far as GNU SASL lets us.
 * After sasl_new no file is opened and no module is loaded. One struct sasl per thread.
 */
#ifndef POSTHORN_SASL_H
#define POSTHORN_SASL_H

#include "buf.h"
#include "fail.h"
#include "limits.h"

#define SASL_MESSAGE_MAX 8192
#define SASL_STEPS_MAX 6
#define SASL_NAME_MAX 1024

enum sasl_result {
	SASL_MORE,      /* send output, give the answer to the next step */
	SASL_PASSWORD,  /* server: sasl_password is to be checked for sasl_identity */
	SASL_DONE,      /* server: sasl_identity has proved itself. client: the server too, where it can */
	SASL_FAILED,    /* it has not; why is for the log */
};

/* What may be offered depends on the connection and on what accounts have. */
struct sasl_facts {
	bool tls;
	bool cleartext_allowed;   /* PLAIN and LOGIN even without TLS */
	bool scram_sha1;          /* an account has opted in */
	bool cram_md5;
	struct str tls_exporter;  /* 32 octets (RFC 9266 §2), empty when there is none */
	struct str tls_unique;    /* TLS 1.2 only */
};

struct sasl;

struct sasl *sasl_new(void);
void sasl_free(struct sasl *s);

/* For CLEANUP. */
void sasl_cleanup(struct sasl **s);

/* --- server --- */

enum sasl_secret_kind { SASL_SCRAM_SHA_256, SASL_SCRAM_SHA_1, SASL_CLEAR };

#define SASL_KEY_MAX 32
#define SASL_SALT_MAX 64

/* What the directory knows of a name. Filled by the callback; wiped by the exchange. */
struct sasl_secret {
	bool known;                     /* false: unknown, disabled, or without this kind of secret */
	char canonical[SASL_NAME_MAX + 1];  /* always: one form for all ways to write the name */
	uint32_t iterations;            /* SCRAM; for an unknown name what a new account would get */
	size_t salt_length;
	unsigned char salt[SASL_SALT_MAX];
	unsigned char stored_key[SASL_KEY_MAX];
	unsigned char server_key[SASL_KEY_MAX];
	char clear[LIMIT_PASSWORD_MAX + 1];  /* SASL_CLEAR */
};

/* Called at most once per exchange, while sasl_server_step runs. secret is zeroed before. */
struct sasl_directory {
	void (*find)(void *context, struct str name, enum sasl_secret_kind kind, struct sasl_secret *secret);
	void *context;
	unsigned char fake_key[32];  /* the same for life: unknown users' salts come from it */
};

struct sasl_exchange;

/* NULL with FAIL_INVALID when the mechanism (any case) is unknown or not offered under facts.
 * directory must outlive the exchange; facts is copied. */
struct sasl_exchange *sasl_server_start(struct sasl *s, struct str mechanism, const struct sasl_facts *facts,
                                        const struct sasl_directory *directory, struct fail **fail);

/* initial: input is an initial response (RFC 4954 §4); begin with initial false and empty input
 * when the client sent none. output is cleared; empty output with SASL_MORE is an empty challenge. */
enum sasl_result sasl_server_step(struct sasl_exchange *x, struct str input, bool initial, struct buf *output);

/* The account as the client wrote it; the directory's canonical form for SCRAM and CRAM-MD5.
 * Valid until the exchange is freed. */
struct str sasl_identity(const struct sasl_exchange *x);

/* After SASL_PASSWORD: the bytes the client sent. */
struct str sasl_password(const struct sasl_exchange *x);

/* Why it failed, for the log; never for the client. */
const char *sasl_why(const struct sasl_exchange *x);

/* --- client --- */

/* NULL with FAIL_INVALID for an unknown mechanism, or -PLUS without channel binding in facts. */
struct sasl_exchange *sasl_client_start(struct sasl *s, struct str mechanism, const struct sasl_facts *facts,
                                        struct str name, struct str password, struct fail **fail);

/* The first step takes no input unless the mechanism speaks second (LOGIN, CRAM-MD5). */
enum sasl_result sasl_client_step(struct sasl_exchange *x, struct str input, struct buf *output);

/* True when the client speaks first, so that its first message can be an initial response. */
bool sasl_client_speaks_first(const struct sasl_exchange *x);

void sasl_exchange_free(struct sasl_exchange *x);

/* For CLEANUP. */
void sasl_exchange_cleanup(struct sasl_exchange **x);

/* --- APOP, RFC 1939 §7 --- */

/* "<random.seconds@host>": never the same twice. */
void sasl_apop_timestamp(struct str host, struct buf *timestamp);

/* digest: 32 hexadecimal digits, in lower case as the RFC says, or upper. In constant time. */
bool sasl_apop_check(struct str timestamp, struct str secret, struct str digest);

#endif
