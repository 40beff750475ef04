/*
 * The commands of SMTP, submission and LMTP as one table: who may give which one, when. porter (up to authentication or
 * the first MAIL) and smtpd (after the hand-over) use the same rows; what they do with a command is theirs.
 *
 * smtp_command_check answers every command that may not be given now by itself, in this order: 500 unknown or of the
 * other protocol, 502 not offered, 530 TLS or log-in needed, 503 out of order, 501 argument missing or not wanted, 538
 * for AUTH. A handler never checks state again. The phase is derived from what the session holds, never stored.
 */
#ifndef POSTHORN_SMTP_COMMAND_H
#define POSTHORN_SMTP_COMMAND_H

#include "smtp_reply.h"

enum smtp_protocol { SMTP_ON_MX, SMTP_ON_SUBMISSION, SMTP_ON_LMTP }; /* port 25; 587 and 465; RFC 2033 */

enum smtp_phase {
	SMTP_CONNECTED = 1,   /* no EHLO, HELO or LHLO yet */
	SMTP_READY = 2,       /* no transaction */
	SMTP_MAIL_GIVEN = 4,  /* no recipient accepted yet */
	SMTP_RCPT_GIVEN = 8,
	SMTP_CHUNK_GIVEN = 16, /* a BDAT without LAST was accepted */
	SMTP_ANY_PHASE = 31,
};

/* The one way to a phase. */
enum smtp_phase smtp_phase_of(bool greeted, bool mail_given, size_t recipients, bool chunk_given);

enum smtp_command_id {
	SMTP_COMMAND_EHLO, SMTP_COMMAND_HELO, SMTP_COMMAND_LHLO, SMTP_COMMAND_STARTTLS, SMTP_COMMAND_AUTH,
	SMTP_COMMAND_MAIL, SMTP_COMMAND_RCPT, SMTP_COMMAND_DATA, SMTP_COMMAND_BDAT, SMTP_COMMAND_RSET,
	SMTP_COMMAND_NOOP, SMTP_COMMAND_HELP, SMTP_COMMAND_VRFY, SMTP_COMMAND_EXPN, SMTP_COMMAND_QUIT, SMTP_COMMAND_COUNT
};

enum smtp_trait {
	SMTP_LAST_IN_GROUP = 1 << 0,   /* RFC 2920 §3.1: nothing may be pipelined behind it */
	SMTP_CLEARTEXT_OK = 1 << 1,    /* allowed where TLS is required and not there yet, RFC 3207 §4 */
	SMTP_STRANGER_OK = 1 << 2,     /* allowed where log-in is required and not done yet, RFC 4954 §6 */
	SMTP_SUBMISSION_ONLY = 1 << 3,
	SMTP_LMTP_ONLY = 1 << 4,       /* RFC 2033 §4.1 */
	SMTP_SMTP_ONLY = 1 << 5,       /* not in LMTP */
	SMTP_BEFORE_HANDOVER = 1 << 6, /* porter's business alone: 503 after it */
	SMTP_AFTER_HANDOVER = 1 << 7,  /* porter hands the session over with it */
	SMTP_NO_ARGUMENT = 1 << 8,
	SMTP_NEEDS_ARGUMENT = 1 << 9,
	SMTP_TEXT_BODY = 1 << 10,      /* not for BODY=BINARYMIME, RFC 3030 §3 */
	SMTP_NOT_OFFERED = 1 << 11,    /* known but never done here */
};

struct smtp_command {
	const char *name;
	const char *prefix;  /* what the argument begins with, "FROM:"; NULL for none */
	enum smtp_command_id id;
	unsigned phases;
	unsigned traits;
};

/* The facts of the session at this moment. */
enum smtp_fact {
	SMTP_TLS_ACTIVE = 1 << 0,
	SMTP_TLS_OFFERED = 1 << 1,    /* there is a certificate and the port does STARTTLS */
	SMTP_TLS_REQUIRED = 1 << 2,
	SMTP_LOGGED_IN = 1 << 3,
	SMTP_LOGIN_REQUIRED = 1 << 4,
	SMTP_CLEAR_LOGIN_OK = 1 << 5, /* the administrator allows passwords without TLS */
	SMTP_HANDED_OVER = 1 << 6,    /* the asker is smtpd */
	SMTP_BINARY_MAIL = 1 << 7,    /* the transaction has BODY=BINARYMIME */
	SMTP_BYTES_BEHIND = 1 << 8,   /* there is input behind this line already */
};

struct smtp_request {
	const struct smtp_command *command; /* NULL for an unknown one */
	struct str argument;                /* behind the name, or the prefix; points into the line */
	uint64_t octets_behind;             /* of a BDAT chunk: they follow even when it is refused, and must be read */
	bool jumped_ahead;                  /* input behind a LAST_IN_GROUP command: for logs and for judging strangers */
	bool must_close;                    /* after the reply: what follows can't be trusted to be commands */
};

const struct smtp_command *smtp_command_find(struct str name);

/* Looks at one command line (without CRLF). NULL when it is to be carried out, else the refusal; request is filled in
 * as far as possible either way. */
const struct smtp_reply *smtp_command_check(enum smtp_protocol protocol, enum smtp_phase phase, unsigned facts,
                                            struct str line, struct smtp_request *request);

#endif
