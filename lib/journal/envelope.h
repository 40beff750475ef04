/*
 * The envelope of a message in the queue: what MAIL and RCPT said, who said it, and what became
 * of each recipient. It stands before the body in a journal record, and in the message's own file.
 *
 * Encoding is versioned (3 is written; 2, which had no times, and 1, which had no details either, are read),
 * little-endian, in a fixed order, with its own total length at the front, so that what follows (the body) is found.
 * Decoding takes only what encoding can have made: known version and values, lengths within limits, nothing left
 * over, text without control characters (an address never smuggles a line into a dialogue); anything else is
 * FAIL_CORRUPT. The views of a decoded envelope look into the bytes given; recipients live in the arena.
 */
#ifndef POSTHORN_JOURNAL_ENVELOPE_H
#define POSTHORN_JOURNAL_ENVELOPE_H

#include "arena.h"
#include "buf.h"
#include "fail.h"
#include "journal.h"
#include "limits.h"

enum envelope_body {
	ENVELOPE_7BIT,
	ENVELOPE_8BITMIME, /* RFC 6152 */
	ENVELOPE_BODY_COUNT
};

/* RET of RFC 3461 §4.3. */
enum envelope_return {
	ENVELOPE_RETURN_UNSAID,
	ENVELOPE_RETURN_FULL,
	ENVELOPE_RETURN_HEADERS,
	ENVELOPE_RETURN_COUNT
};

/* NOTIFY of RFC 3461 §4.1; 0 is unsaid. NEVER stands alone. */
enum {
	ENVELOPE_NOTIFY_NEVER = 1,
	ENVELOPE_NOTIFY_SUCCESS = 2,
	ENVELOPE_NOTIFY_FAILURE = 4,
	ENVELOPE_NOTIFY_DELAY = 8,
};

enum envelope_state {
	ENVELOPE_PENDING,
	ENVELOPE_APPLIED, /* in the mailbox, or taken by the next host */
	ENVELOPE_FAILED,  /* given up; the bounce is a message of its own */
	ENVELOPE_STATE_COUNT
};

enum {
	ENVELOPE_ENVID_MAX = 100, /* RFC 3461 §4.4 */
	ENVELOPE_ORCPT_MAX = 500, /* RFC 3461 §4.2 */
	ENVELOPE_FACT_MAX = 255,
	ENVELOPE_PRIORITY_MAX = 9, /* either sign, RFC 6710 §4.1 */
};

/* Its place in the list is its name: applied(journal uuid, sequence, recipient). */
struct envelope_recipient {
	uint64_t account;   /* local: whose; 0: remote */
	struct str address; /* local: as it was given; remote: where to; at most LIMIT_ADDRESS_MAX */
	struct str orcpt;
	struct str detail;  /* local: the subaddress that led there, RFC 5233; at most LIMIT_LOCAL_PART_MAX */
	uint8_t notify;
	enum envelope_state state;
};

struct envelope {
	uint64_t id;               /* queue id, stable for the life of the message; never 0 */
	int64_t received;          /* wall clock, seconds */
	struct str reverse_path;   /* empty: the null sender */
	uint64_t account;          /* who submitted, as attested; 0: nobody */
	struct str peer;           /* facts for the log: address; of a report: what it tells of */
	struct str helo;
	struct str session;
	struct str protocol;       /* "ESMTPSA" and so on, RFC 3848 */
	enum envelope_body body_type;
	bool smtputf8;             /* RFC 6531 */
	bool require_tls;          /* RFC 8689 */
	bool quarantine;           /* what was found in it says Junk */
	enum envelope_return ret;
	struct str envid;
	int8_t priority;           /* RFC 6710 */
	int64_t hold_until;        /* wall clock, seconds: not sent before, RFC 4865; 0: at once */
	bool hold_is_interval;     /* it was asked for as so many seconds from received, not as a time */
	int64_t deliver_by;        /* wall clock, seconds, RFC 2852; 0: none */
	bool by_return;            /* then it is given up; else only told of */
	bool by_trace;
	bool tls_optional;         /* "TLS-Required: No", RFC 8689 §5 */
	bool has_8bit;             /* octets beyond ASCII */
	bool is_signed;            /* a change of its content would break a signature */
	bool body_in_file;         /* the body is not behind the envelope but in a file of its own, spoolfile.h */
	uint64_t body_size;
	struct journal_uuid origin; /* the journal record this was copied from; sequence 0: none */
	uint64_t origin_sequence;
	struct envelope_recipient *recipients;
	size_t recipient_count;    /* 1 to LIMIT_ENVELOPE_RECIPIENTS_MAX */
};

/* Adds the encoding to out. FAIL_INVALID when it breaks a limit that decoding checks;
 * FAIL_TOO_BIG when out has no room. */
bool envelope_encode(const struct envelope *e, struct buf *out, struct fail **fail);

/* Decodes what stands at the front of bytes; *rest is what follows. */
bool envelope_decode(struct str bytes, struct arena *arena, struct envelope *e, struct str *rest, struct fail **fail);

/* A whole journal record: the rest is the body, of the size that the envelope tells, or none. */
bool envelope_decode_record(struct str payload, struct arena *arena, struct envelope *e, struct str *body,
                            struct fail **fail);

/* 16 lower-case hexadecimal digits and a NUL: the queue id in logs, Received fields and file names. */
void envelope_id_text(uint64_t id, char text[17]);

#endif
