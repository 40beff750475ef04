/*
 * Values inside messages that several programs share.
 */
#ifndef POSTHORN_IPC_SERVICES_H
#define POSTHORN_IPC_SERVICES_H

#include "buf.h"
#include "fail.h"

/* The doors a client can come in by. */
enum service {
	SERVICE_SMTP,
	SERVICE_LMTP,
	SERVICE_SUBMISSION,
	SERVICE_SUBMISSIONS,
	SERVICE_POP3,
	SERVICE_POP3S,
	SERVICE_IMAP,
	SERVICE_IMAPS,
	SERVICE_CONTROL, /* posthornctl, as root */
	SERVICE_PASSWORD, /* any local user, to change the own password */
	SERVICE_COUNT
};

/* "submission" and so on: the name in the configuration and in log lines. */
const char *service_name(enum service service);

/* Does TLS begin with the first byte? */
bool service_is_tls(enum service service);

/* Porters and smtpds come in two kinds, so that strangers never share a process with users. */
enum kind { KIND_WORLD, KIND_USERS, KIND_COUNT };
enum kind service_kind(enum service service);

/* msg_session.flags, msg_session_return.flags */
enum session_flags {
	SESSION_TLS = 1 << 0,
	SESSION_UTF8 = 1 << 1,      /* POP3 UTF8, RFC 6856 */
	SESSION_ESMTP = 1 << 2,     /* EHLO or LHLO was given, not HELO */
	SESSION_LOGGED_IN = 1 << 3,
	SESSION_TRUSTED = 1 << 4,   /* from a trusted network: may submit without log-in */
	SESSION_POOL_WAIT = 1 << 5, /* returned only to wait for the client's next command */
	SESSION_EXEMPT = 1 << 6,    /* from a network that nothing is held against */
};

/* msg_auth_offer.mechanisms: SASL mechanisms, strongest first. */
enum mechanism {
	MECHANISM_SCRAM_SHA_256_PLUS = 1 << 0,
	MECHANISM_SCRAM_SHA_256 = 1 << 1,
	MECHANISM_SCRAM_SHA_1_PLUS = 1 << 2,
	MECHANISM_SCRAM_SHA_1 = 1 << 3,
	MECHANISM_CRAM_MD5 = 1 << 4,
	MECHANISM_PLAIN = 1 << 5,
	MECHANISM_LOGIN = 1 << 6,
};

/* The names of those in offered that make sense on this connection, separated by spaces: channel binding only with
 * TLS, passwords in the clear only where they are allowed. */
void mechanism_list(struct buf *out, unsigned offered, bool tls, bool password_allowed);

/* Its bit, or 0. */
unsigned mechanism_find(struct str name);

/* True for those that send the password itself (PLAIN, LOGIN). */
bool mechanism_sends_password(unsigned mechanism);

/* msg_auth_failed.reason */
enum auth_reason {
	AUTH_REASON_CREDENTIALS, /* unknown user or wrong password: nobody is told which */
	AUTH_REASON_SYNTAX,      /* the mechanism's data made no sense */
	AUTH_REASON_MECHANISM,   /* not offered */
	AUTH_REASON_DISABLED,
	AUTH_REASON_BLOCKED,     /* too many failures from this address */
	AUTH_REASON_TEMPORARY,
	AUTH_REASON_LOGIN_DELAY, /* POP3 LOGIN-DELAY, RFC 2449 §6.5 */
};

/* msg_resolved.verdict */
enum resolve_verdict { RESOLVE_OK, RESOLVE_UNKNOWN_USER, RESOLVE_NOT_OURS, RESOLVE_DISABLED, RESOLVE_TEMPORARY };

/* msg_mail_verdict.kind, msg_recipient_verdict.kind, msg_mail_done.kind(s): what the queue thinks of it. smtpd has
 * the one table from these to replies. */
enum verdict_kind {
	VERDICT_OK,
	VERDICT_UNKNOWN_USER,     /* 550 5.1.1 */
	VERDICT_RELAY_DENIED,     /* 550 5.7.1 */
	VERDICT_DISABLED,         /* 550 5.2.1 */
	VERDICT_OVER_QUOTA,       /* 452 4.2.2, may pass */
	VERDICT_TOO_BIG_FOR_ACCOUNT, /* 552 5.2.2: would not fit into the empty account */
	VERDICT_TOO_BIG,          /* 552 5.3.4 */
	VERDICT_NO_SPACE,         /* 452 4.3.1 */
	VERDICT_TOO_MANY,         /* 452 4.5.3 */
	VERDICT_TEMPORARY,        /* 451 4.3.0 */
	VERDICT_SENDER_DENIED,    /* 550 5.7.1 */
	VERDICT_LOOP,             /* 554 5.4.6 */
	VERDICT_GREYLISTED,       /* 451 4.7.1 */
	VERDICT_LIMIT,            /* 450 4.7.1: sends too much for now */
	VERDICT_COUNT
};

/* msg_mail_begin.flags */
enum mail_flags {
	MAIL_SMTPUTF8 = 1 << 0,
	MAIL_REQUIRETLS = 1 << 1,
	MAIL_LMTP = 1 << 2,
	MAIL_HOLD_FOR = 1 << 3,  /* hold_until was asked for as an interval, RFC 4865 */
	MAIL_BY_RETURN = 1 << 4, /* deliver_by, RFC 2852: given up then, not only told of */
	MAIL_BY_TRACE = 1 << 5,
	MAIL_KNOWN_HOST = 1 << 6, /* the host is exempt, or in a list of good ones: its mail is not greylisted */
};

/* msg_relay_job.flags */
enum relay_flags {
	RELAY_8BIT = 1 << 0,        /* it has octets beyond ASCII */
	RELAY_SMTPUTF8 = 1 << 1,    /* RFC 6531: it came with SMTPUTF8 */
	RELAY_REQUIRETLS = 1 << 2,  /* RFC 8689 */
	RELAY_TLS_OPTIONAL = 1 << 3, /* RFC 8689 §5: TLS-Required: No */
	RELAY_SIGNED = 1 << 4,      /* a change of its content would break a signature */
	RELAY_BY_RETURN = 1 << 5,   /* deliver_by is kept by giving up, RFC 2852 */
	RELAY_BY_TRACE = 1 << 6,
};

/* msg_relay_result.outcome */
enum relay_outcome {
	RELAY_DELIVERED,
	RELAY_RELAYED,     /* delivered, to a host that does not speak DSN (RFC 3461): who asked for success is told "relayed" */
	RELAY_DEFERRED,    /* may pass */
	RELAY_FAILED,      /* for good */
	RELAY_OUTCOME_COUNT
};

/* msg_relay_done.reach, msg_relay_result.reach: what the job says of its destination. */
enum relay_reach {
	RELAY_REACHED,     /* a host took part in a whole dialogue, whatever it answered, or the mail failed for a reason of its own */
	RELAY_REFUSED,     /* hosts were there and refused the session for now: fewer connections would be wise */
	RELAY_UNREACHABLE, /* no host, or none that could be used */
	RELAY_REACH_COUNT
};

/* msg_relay_job.recipients: one after another, in the manner of targets. */
struct relay_recipient {
	uint32_t place;    /* in the envelope */
	uint32_t notify;   /* of RFC 3461, as in envelope.h */
	struct str address;
	struct str orcpt;  /* "rfc822;…" as the client wrote it (decoded), or empty */
};

void relay_recipient_add(struct buf *recipients, const struct relay_recipient *recipient);
bool relay_recipient_next(struct str *rest, struct relay_recipient *recipient);

/* msg_relay_result.recipients, msg_relay_held.recipients. */
void relay_place_add(struct buf *places, uint32_t place);
bool relay_place_next(struct str *rest, uint32_t *place);

/* msg_relay_noted.jobs: their numbers. */
void relay_number_add(struct buf *numbers, uint64_t number);
bool relay_number_next(struct str *rest, uint64_t *number);

/* msg_resolved.targets: one after another, each as target_add wrote it. */
struct target {
	uint64_t account;   /* 0: a remote address */
	struct str address; /* the account's own address, or the remote one */
	struct str detail;  /* subaddress, RFC 5233 */
};

void target_add(struct buf *targets, const struct target *target);

/* Takes the next one out of *rest; false at the end or when it is malformed (*rest is then not empty). */
bool target_next(struct str *rest, struct target *target);

/* msg_deliver.flags */
enum deliver_flags {
	DELIVER_AGAIN = 1,   /* was sent before */
	DELIVER_DURABLE = 2, /* STORED says that it is durable, not only that it is there */
};

/* msg_stored.places, in the same manner. */
struct delivery_place {
	uint64_t sequence;
	uint32_t recipient;
};

void delivery_place_add(struct buf *places, const struct delivery_place *place);
bool delivery_place_next(struct str *rest, struct delivery_place *place);

#endif
