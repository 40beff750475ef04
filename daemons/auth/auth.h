/*
 * auth: who may log in, who a recipient is, and who tries too often. The only program that opens directory.db.
 *
 * One event loop answers; hashing runs in two threads (worker.h), so a look-up never waits for a password.
 *
 * Invariants
 *  1. auth, never porter, names the account of a connection: to master (SESSION_ACCOUNT) or to queue (TOKEN), and
 *     always before porter hears AUTH_OK.
 *  2. Unknown name, wrong password and disabled account get the same answer at the same time: answer_time_ms after the
 *     client's last message plus the delay that earlier failures of the address and of the name have earned.
 *  3. A failure is counted when it is known, whether or not the client is still there.
 *  4. A token is alive exactly as long as a connection that porter keeps is logged in (or trusted) with it.
 *  5. Passwords are wiped when they have been checked, and no log line has one. A name that somebody typed is logged
 *     only when it is an account's: people type passwords there.
 */
#ifndef POSTHORN_AUTH_AUTH_H
#define POSTHORN_AUTH_AUTH_H

#include "daemon.h"
#include "directory_account.h"
#include "hash.h"
#include "network.h"
#include "recent.h"
#include "sasl.h"
#include "services.h"
#include "worker.h"

struct auth {
	struct daemon daemon;
	struct directory *directory;
	struct sasl *sasl;
	struct sasl_directory secrets;
	struct workers *workers;
	struct directory_credential_cost cost;
	struct directory_credential decoy; /* what is checked for a name that is nobody's */
	unsigned char hash_key[32];        /* random, for auth_key */
	struct recent *failures;
	struct recent *verified;           /* passwords that were right */
	struct recent *pop3_logins;        /* for LOGIN-DELAY */
	struct recent *revoked;            /* accounts, for tokens that queue may still tell of */
	struct map *addresses;             /* connections open from each */
	struct porter *porters;
	struct ipc_peer queue;
	bool has_queue;
	struct map *quotas_told;           /* account → what queue knows of its limits */
	uint64_t generation_told;
	uint64_t revocations;              /* counts calls of auth_revoke */
	unsigned mechanisms;               /* offered now */
	bool offers_apop;
	struct door *doors;                /* listening sockets for posthornctl and password changes */
	unsigned local_peers;              /* connected to SERVICE_PASSWORD */
};

/* A channel to one porter. */
struct porter {
	struct auth *auth;
	struct porter *next;
	struct ipc_peer peer;     /* peer.id: by which master knows it */
	struct map *connections;  /* number → struct connection */
	struct map *logged_in;    /* number → struct earlier: sessions that an auth before this one let in, until porter tells of them */
};

/* Where a client comes from. */
struct source {
	char text[65];
	bool counted;  /* an IP address that is not exempt: limits, delays and blocking hold */
	bool exempt, trusted, loopback;
	struct recent_key key; /* of its address, IPv6: of its /64 */
};

struct connection {
	struct porter *porter;
	uint64_t id;
	enum service service;
	struct source source;
	char apop_timestamp[129];
	unsigned failures;
	struct sasl_exchange *exchange; /* under way */
	uint64_t exchange_began;        /* revocations then */
	struct attempt *attempt;        /* being decided */
	uint64_t account;               /* logged in as, 0: not */
	char address[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	int64_t since;                  /* wall clock seconds */
	bool has_token;
	struct ipc_id token;
};

/* ---- auth.c -------------------------------------------------------------------------------- */

/* A keyed hash of kind and both parts: equal for equal ones, tells nothing else. */
struct recent_key auth_key(const struct auth *auth, const char *kind, struct str one, struct str two);

/* After a change of the directory: tells porters what is offered and queue what to forget, if anything is different. */
void auth_directory_changed(struct auth *auth);

/* After another directory took its place: what is kept of it here. */
void auth_directory_replaced(struct auth *auth);

/* The account must prove itself anew everywhere: sessions, tokens and remembered log-ins end. */
void auth_revoke(struct auth *auth, uint64_t account);

/* That was so a short time ago. */
bool auth_has_revoked(const struct auth *auth, uint64_t account);

/* Overwrites a secret inside a received frame. */
void auth_wipe(struct str secret);

/* ---- connection.c -------------------------------------------------------------------------- */

/* WIRE of a porter. */
void porter_add(struct auth *auth, const struct msg_wire *wire, int descriptor);

/* Tells it what is offered. */
void porter_offer(struct porter *porter);

/* A connection of one of them is logged in, as an auth before this one found: told by master, of one that a mailbox
 * process serves, or with its token by queue, of one that submits. That one is ended when it may not go on. False:
 * these are more than there can be. */
bool connection_was_logged_in(struct auth *auth, uint64_t porter, uint64_t connection, uint64_t account,
                              const struct ipc_id *token);

/* Forgets what was told of the account, and ends of it what submits. */
void connection_revoke_earlier(struct auth *auth, uint64_t account);

/* Master ends it, wherever it is served. */
void connection_drop(struct auth *auth, uint64_t porter, uint64_t connection);

/* All porters' connections, in no order; visit adds and removes none. */
void connection_each(struct auth *auth, void (*visit)(struct connection *c, void *context), void *context);

bool connection_is_pop3(const struct connection *c);

/* Gives the connection a token that queue takes for its account (0: a trusted network's). */
void connection_give_token(struct connection *c);

/* Forgets the log-in. */
void connection_log_out(struct connection *c);

/* ---- login.c ------------------------------------------------------------------------------- */

/* What porters of users may ask. */
bool login_start(struct ipc_peer *peer, struct ipc_frame *frame);
bool login_step(struct ipc_peer *peer, struct ipc_frame *frame);
bool login_cancel(struct ipc_peer *peer, struct ipc_frame *frame);
bool login_password(struct ipc_peer *peer, struct ipc_frame *frame);
bool login_apop(struct ipc_peer *peer, struct ipc_frame *frame);

/* The connection closes: what is under way goes on without it. */
void login_abandon(struct connection *c);

/* What SCRAM and CRAM-MD5 need to know of a name. */
void login_find_secret(void *auth, struct str name, enum sasl_secret_kind kind, struct sasl_secret *secret);

/* ---- attempt.c: one try to prove who one is ------------------------------------------------ */

struct attempt {
	struct auth *auth;
	void *owner;
	/* Called once, when the answer is to be given; it frees the attempt. NULL: nobody waits any more. */
	void (*settled)(struct attempt *a);
	uint64_t session;            /* for the log */
	const char *service;
	const struct source *source; /* a copy of the connection's, or NULL for a local user */
	struct source source_copy;
	struct recent_key name_key;
	struct directory_login login;
	bool no_app_passwords;
	int64_t began_ms;
	struct timer timer;
	bool passed;
	enum auth_reason reason;     /* if not */
	const char *why;             /* the same for the log */
};

/* Begins now: the answer's time counts from here. source may be NULL. */
struct attempt *attempt_new(struct auth *auth, uint64_t session, const char *service, const struct source *source,
                            void *owner, void (*settled)(struct attempt *a));
void attempt_free(struct attempt *a);

/* Nobody waits for the answer any more; it is still counted, and frees itself. */
void attempt_abandon(struct attempt *a);

/* Is the password right for the name? Calls settled, now or later. */
void attempt_password(struct attempt *a, struct str name, struct str password);

/* Otherwise decided: the name has proved itself, or not. */
void attempt_proved(struct attempt *a, struct str name);
void attempt_failed(struct attempt *a, struct str name, enum auth_reason reason, const char *why);

/* ---- penalty.c ----------------------------------------------------------------------------- */

/* Milliseconds that the failures so far cost the next one. */
int64_t penalty_delay_ms(struct auth *auth, const struct recent_key *key);
bool penalty_is_blocked(struct auth *auth, const struct recent_key *key);

/* account and label: what may be shown of it. Returns the number of failures now. */
unsigned penalty_count(struct auth *auth, const struct recent_key *key, uint64_t account, const char *label);
void penalty_forget(struct auth *auth, const struct recent_key *key);

/* ---- cache.c: verified log-ins ------------------------------------------------------------- */

bool cache_has(struct auth *auth, uint64_t account, struct str password);
void cache_add(struct auth *auth, uint64_t account, struct str password);

/* ---- resolve.c: what queue asks ------------------------------------------------------------ */

/* The first time that queue hears of an account, or a session of it begins, queue hears its limits before. */
void queue_tell_quota(struct auth *auth, uint64_t account);

void queue_wire(struct auth *auth, int descriptor);
void queue_token(const struct connection *c);
void queue_token_ended(struct auth *auth, const struct ipc_id *token);

/* What is known of addresses and limits may be different now. */
void queue_directory_changed(struct auth *auth);

/* ---- control.c, password.c: who comes by a local socket ------------------------------------ */

void control_accepted(struct auth *auth, int descriptor);
void password_accepted(struct auth *auth, int descriptor);

/* The end of an answer: done, or why not. */
void control_done(struct ipc_peer *peer, const struct fail *fail);

#endif
