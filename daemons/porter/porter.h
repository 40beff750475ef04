/*
 * porter: the clients' sockets, TLS to the end of each connection, and the dialogue up to log-in or
 * the first MAIL. One event loop; nothing here waits. Two kinds of porter exist, so that strangers on port 25
 * never share a process with users, and several workers of each.
 *
 * A connection's life:
 *
 *	OPENING ──verdict──► GREETING ──► DIALOGUE ◄──► WAITING (auth or master has the word)
 *	                                     │  ▲            │
 *	                                     ▼  └─ return ─┐ ▼
 *	                                  HANDED (plain: the process behind has the socket; only the number is kept)
 *	                                  PUMPING (TLS: bytes pass through here)
 *	any ──► CLOSING (what is still to be written goes out) ──► GONE (freed when the round is over)
 *
 * Invariants
 *  1. Input is looked at only in DIALOGUE; in WAITING it stays in the buffer, in order.
 *  2. What was read before TLS began is never used after it (RFC 3207 §4.2, RFC 2595 §4): STARTTLS with bytes
 *     behind it closes the connection.
 *  3. porter never names an account: it relays what auth answered.
 *  4. A client costs the others a bounded time: nothing is taken from one that does not read its answers, and one that never pauses
 *     has its turn like all others.
 */
#ifndef POSTHORN_PORTER_PORTER_H
#define POSTHORN_PORTER_PORTER_H

#include "endpoint.h"
#include "daemon.h"
#include "hash.h"
#include "services.h"
#include "smtp_line.h"
#include "tls.h"

enum {
	INPUT_MAX = 65536,         /* more than the longest line and the largest leftover */
	OUTPUT_MAX = 1 << 20,
	OUTPUT_PAUSE = 1 << 18,    /* more than this unread: no more is taken from the client, whose next answer still fits */
	PUMP_PIECE = 65536,
	GREETING_PATIENCE_MS = 5000, /* how long a client waits for auth to come back */
};

enum phase { PHASE_OPENING, PHASE_GREETING, PHASE_DIALOGUE, PHASE_WAITING, PHASE_HANDED, PHASE_PUMPING, PHASE_CLOSING,
	PHASE_GONE };

/* What a WAITING connection waits for. */
enum waits_for { WAITS_FOR_NOTHING, WAITS_FOR_AUTH, WAITS_FOR_MASTER };

struct connection;

/* A protocol's part of the dialogue. */
struct dialogue {
	void (*greet)(struct connection *c);
	/* Takes what it can from c->input; called whenever there may be something to take and the phase is DIALOGUE. */
	void (*input)(struct connection *c);
	void (*tls_began)(struct connection *c);
	void (*challenge)(struct connection *c, struct str challenge);
	/* Log-in succeeded: hand over, or say so. */
	void (*authenticated)(struct connection *c, struct str additional);
	void (*refused)(struct connection *c, enum auth_reason reason, struct str text);
	/* The hand-over failed. */
	void (*session_refused)(struct connection *c, struct str text);
	void (*returned)(struct connection *c);
	/* Last words: too long silent, too many connections, shutting down. */
	void (*farewell)(struct connection *c, enum fail_kind kind);
	const char *too_busy; /* said to a connection that never becomes one of ours */
};

extern const struct dialogue smtp_dialogue, pop3_dialogue, imap_dialogue;

struct imap_dialogue;

struct connection {
	struct porter *porter;
	struct connection *next_gone;
	const struct dialogue *dialogue;
	enum service service;
	enum phase phase;
	enum waits_for waits_for;
	uint64_t id;
	int descriptor;
	struct tls_connection *tls; /* NULL before TLS */
	bool tls_handshake;         /* under way */
	bool tls_wants_write;       /* what the handshake waits for */
	struct watch watch;
	struct timer timer;         /* pregreet wait, silence, length of the log-in dialogue */
	struct timer turn;          /* others have theirs first */
	struct buf input;
	struct buf output;
	char peer[64], local[64];
	uint16_t peer_port;
	bool loopback;
	bool trusted, exempt;
	bool hung_up;               /* the client sends no more */
	/* pumping */
	int inner;
	struct watch inner_watch;
	struct buf to_inner;
	bool inner_ended;
	/* what the dialogue keeps */
	unsigned flags;             /* enum session_flags */
	unsigned errors;
	unsigned transactions;
	bool authenticating;        /* within AUTH: lines are responses */
	bool exchange_lost;         /* with the auth that began it */
	uint64_t chunk_left;        /* octets of a refused BDAT that are still to come: they are no commands */
	struct ipc_id token;
	char account[LIMIT_ADDRESS_MAX + 1];
	char user[LIMIT_ADDRESS_MAX + 1];             /* POP3 USER */
	struct smtp_line_reader lines;
	bool discarding;            /* POP3: inside a line that is too long */
	struct imap_dialogue *imap; /* IMAP, until it is handed over */
	char client_id[1025];       /* IMAP ID, escaped for logs */
	char helo[256];
	char language[17];
	char apop_timestamp[129];
	char server_name[256];      /* SNI */
};

struct porter {
	struct daemon daemon;
	enum kind kind;
	struct tls_server *tls;      /* NULL without a certificate */
	struct ipc_peer auth;
	bool has_auth;
	unsigned mechanisms;        /* that auth offers now */
	bool offers_apop;
	struct ipc_channel pool;    /* SMTP sessions go here */
	bool has_pool, pool_full;
	struct map *connections;    /* id → struct connection */
	unsigned accepted;          /* in its life, for retiring */
	uint64_t id;                /* by which master and smtpd know this process */
	bool draining;
	struct listening *listening;
	char piece[PUMP_PIECE];     /* bytes on their way between TLS and a session, within one call */
	struct connection *gone;
	struct timer gone_timer;
};

/* ---- connection.c ------------------------------------------------------------------------------ */

void connection_new(struct porter *porter, enum service service, int descriptor);
const struct dialogue *connection_dialogue(enum service service);

/* Says what is in the output buffer, then ends. */
void connection_close_after_output(struct connection *c);

/* Ends it at once. The struct stays readable until the round of the loop is over, so callers up the stack need not
 * care. */
void connection_end(struct connection *c);

/* The verdict is there: greets, or begins TLS. */
void connection_greet(struct connection *c);

/* It came back with its socket. */
void connection_take_descriptor(struct connection *c, int descriptor);

/* Sends what it can of the output and arranges for the rest. */
void connection_flush(struct connection *c);

/* May the dialogue go on with the next line? Not while it waits for a word, has ended, begins TLS, or is not read. */
bool connection_takes_input(const struct connection *c);

/* Between 1 and size octets; 0: ended; -1: nothing now. */
ssize_t connection_read(struct connection *c, char *room, size_t size);
ssize_t connection_write(struct connection *c, const char *data, size_t size);

/* From here on bytes are TLS; false when no certificate is there. Anything buffered must have been refused before. */
bool connection_begin_tls(struct connection *c);

bool connection_is_secure(const struct connection *c);

/* May a password come over this connection? */
bool connection_allows_password(const struct connection *c);

/* Back to the dialogue, which goes on with what is buffered. */
void connection_resume(struct connection *c);
void connection_set_timer(struct connection *c, int64_t ms, void (*fire)(void *owner));
void connection_on_silence(void *connection);

/* ---- handover.c ----------------------------------------------------------------------------------- */

/* Sends the session to master (POP3, IMAP), which brings it to the account's mailbox process. */
void handover_to_mailbox(struct connection *c);

/* Sends it to an smtpd with everything that is buffered; false: the pool is full. */
bool handover_to_smtpd(struct connection *c);

bool handover_returned(struct porter *porter, struct ipc_frame *frame);
void handover_taken(struct connection *c);
void handover_ended(struct connection *c);

/* The administrator wants no more of it; where another process has the socket, that one is told too and ends it. */
void handover_drop(struct connection *c);

/* ---- imap_dialogue.c ------------------------------------------------------------------------------ */

/* The tag of the command that logs in. */
struct str imap_dialogue_tag(const struct connection *c);

/* Forgets what it kept; nothing for the other protocols. */
void imap_dialogue_end(struct connection *c);

/* ---- pump.c ------------------------------------------------------------------------------------------- */

/* Begins to move bytes between the TLS connection and inner, which becomes the connection's. */
void pump_begin(struct connection *c, int inner);
void pump_client_ready(struct connection *c);
void pump_stop(struct connection *c);

/* ---- link.c: talk with auth --------------------------------------------------------------------------- */

void link_opened(struct connection *c);
void link_closed(struct connection *c);

/* The connection waits from here on until challenge, authenticated or refused of its dialogue is called. */
void link_auth_start(struct connection *c, struct str mechanism, bool has_initial, struct str initial);
void link_auth_step(struct connection *c, struct str response);
void link_auth_cancel(struct connection *c);
void link_auth_password(struct connection *c, struct str user, struct str password);
void link_auth_apop(struct connection *c, struct str user, struct str digest);

/* ---- porter.c ------------------------------------------------------------------------------------------ */

/* Asks for a fresh one in its place and takes no more connections. */
void porter_retire(struct porter *porter);

/* A draining porter ends with its last connection. */
void porter_check_done(struct porter *porter);

bool link_wire(struct porter *porter, struct ipc_frame *frame);

#endif
